//! The machine's buffers, apart from it.
//!
//! A driver that shares its machine with other threads holds a lock while it uses it. It reads
//! and writes without that lock, on buffers that are its own meanwhile.

use std::sync::Arc;

use super::{CallId, Framer, Machine, Output, State};
use crate::error::End;

impl Machine {
    /// A buffer to read into: it is swapped in for a [`drain`](Self::drain), and out again.
    pub(crate) fn new_input(&self) -> Framer {
        Framer::new(self.settings.message_size)
    }

    /// Puts the bytes that arrived in, or takes what is left of them out again.
    pub(crate) fn swap_input(&mut self, input: &mut Framer) {
        std::mem::swap(&mut self.framer, input);
    }

    /// Hands out all that is to be sent, in exchange for an empty buffer.
    pub(crate) fn take_output(&mut self, output: &mut Output) {
        if output.is_empty() && !self.output.is_empty() {
            std::mem::swap(&mut self.output, output);
        }
    }

    /// Not all of what was handed out has been sent, and it will not be.
    pub(crate) fn not_all_sent(&mut self) {
        self.unsent = true;
    }

    /// Sends these commands before it is their turn, if anything may be sent: it will not come.
    pub(crate) fn hurry(&mut self, which: impl Fn(CallId) -> bool) {
        if let State::Ready | State::Syncing = self.state {
            self.calls.take_waiting(which).into_iter().for_each(|waiting| self.launch(waiting));
        }
    }

    /// Whether no call is left.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_idle()
    }

    /// Whether a command has been sent, or is about to be, and is not answered.
    pub(crate) fn is_in_flight(&self, id: CallId) -> bool {
        self.calls.is_flying(id)
    }

    /// Why the connection ended, for whoever is the first and only one to ask.
    pub(crate) fn take_ended(&mut self) -> Option<Arc<End>> {
        match &mut self.state {
            State::Ended(end) => Some(std::mem::replace(end, Arc::new(End::Local))),
            _ => None,
        }
    }
}
