//! The effects of command handlers beyond their machine: events, and the end of the server.

use qmp_types::{Event, Timestamp};

use crate::json::to_json;

/// A handle that command handlers use to emit events and to end the server.
#[derive(Debug, Default)]
pub struct Context {
    pub(crate) out_of_band: bool,
    pub(crate) events: Vec<Emitted>,
    pub(crate) after_reply: Vec<Emitted>,
    pub(crate) ends: bool,
}

/// An event to send to all clients.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) name: &'static str,
    /// The event's data in JSON, if it has any.
    pub(crate) data: Option<String>,
    pub(crate) timestamp: Timestamp,
}

impl Context {
    /// Sends an event to all clients, before the command's reply. As in QEMU, events that a guest
    /// could emit in floods are limited to one per second.
    pub fn emit<E: Event>(&mut self, event: &E) {
        self.events.push(Emitted::new(event));
    }

    /// Calls `action` immediately, but sends the events that it emits after the command's reply.
    /// Use this for events that the guest causes in response to the command.
    pub fn after_reply<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> T {
        let mut inner = Self { out_of_band: self.out_of_band, ..Self::default() };
        let result = action(&mut inner);
        self.after_reply.extend(inner.events.into_iter().chain(inner.after_reply));
        self.ends |= inner.ends;
        result
    }

    /// Ends the server: all connections are closed after the reply and the events.
    pub fn end(&mut self) {
        self.ends = true;
    }

    /// Returns whether the command is executed out-of-band.
    #[must_use]
    pub fn is_out_of_band(&self) -> bool {
        self.out_of_band
    }

    /// Returns whether the handler has neither emitted an event nor ended the server.
    pub(crate) fn is_quiet(&self) -> bool {
        self.events.is_empty() && self.after_reply.is_empty() && !self.ends
    }
}

impl Emitted {
    fn new<E: Event>(event: &E) -> Self {
        let data = to_json(event).ok().filter(|data| data != "{}" && data != "null");
        Self { name: E::NAME, data, timestamp: Timestamp::now() }
    }
}
