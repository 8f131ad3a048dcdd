//! One client's connection to a replay, without I/O.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::recording::Event;
use super::request::Request;
use super::store::Store;
use crate::limits::Limits;
use crate::link::Peer;
use crate::session::Session;
use crate::sync::lock;

pub(super) struct ReplayPeer {
    session: Session,
    store: Arc<Mutex<Store>>,
    /// The events at the beginning, until negotiation is complete.
    events: VecDeque<Event>,
    /// Whether `quit` was answered: QEMU then ends, and closes the connection.
    has_quit: bool,
}

impl ReplayPeer {
    pub(super) fn new(session: Session, store: Arc<Mutex<Store>>, events: Vec<Event>) -> Self {
        Self { session, store, events: events.into(), has_quit: false }
    }

    pub(super) fn limits() -> Limits {
        Limits::default()
    }

    fn send(&mut self, events: &[Event]) {
        for event in events {
            self.session.event(&event.name, event.data.as_deref(), event.timestamp);
        }
    }
}

impl Peer for ReplayPeer {
    fn receive(&mut self, bytes: &[u8]) {
        self.session.receive(bytes);
    }

    fn advance(&mut self) -> Option<Vec<u8>> {
        loop {
            let output = self.session.take_output();
            if !output.is_empty() {
                return Some(output);
            }
            if self.has_quit {
                return None;
            }
            let request = self.session.next_request();
            if self.session.is_negotiated() {
                let events: Vec<Event> = self.events.drain(..).collect();
                self.send(&events);
            }
            let Some(request) = request else {
                let output = self.session.take_output();
                return (!output.is_empty()).then_some(output);
            };
            let sent = Request {
                name: request.name,
                arguments: request.arguments,
                out_of_band: request.ticket.is_out_of_band(),
            };
            let answer = lock(&self.store).answer(&sent);
            self.send(&answer.before);
            self.has_quit = sent.name == "quit" && matches!(answer.reply, Some(Ok(_)));
            match answer.reply {
                Some(reply) => self.session.reply(request.ticket, &reply),
                // As in the recording, the client waits in vain.
                None => self.session.finish(request.ticket),
            }
            self.send(&answer.after);
        }
    }

    fn is_closed(&self) -> bool {
        self.has_quit || self.session.closed().is_some()
    }
}
