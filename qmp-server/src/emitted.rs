//! An event on its way to the clients.

use qmp_types::{Event, Timestamp};

use crate::json::to_json;

/// An event to send to all clients.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) name: &'static str,
    /// The event's data in JSON, if it has any.
    pub(crate) data: Option<String>,
    pub(crate) timestamp: Timestamp,
}

impl Emitted {
    pub(crate) fn new<E: Event>(event: &E, timestamp: Timestamp) -> Self {
        let data = to_json(event).ok().filter(|data| data != "{}" && data != "null");
        Self { name: E::NAME, data, timestamp }
    }
}
