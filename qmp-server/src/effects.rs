//! The wishes of command handlers besides their reply.

use crate::emitted::Emitted;

/// The effects that a handler has asked for.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) events: Vec<Emitted>,
    pub(crate) after_reply: Vec<Emitted>,
    pub(crate) ends: bool,
}

impl Effects {
    /// Returns whether the handler has neither emitted an event nor ended the server.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.after_reply.is_empty() && !self.ends
    }
}
