//! A reply that is decoded in the same pass as its envelope.
//!
//! The slow path reads a reply three times: for its end, for its members, and for its value. A driver
//! that knows the type of the only reply that it waits for has the value read first
//! ([`Input::decode_early`]), without the lock that guards the connection. Then the connection decides
//! whether that reply may be taken ([`Connection::take_early`]). If not, or if anything about the reply
//! is unusual, it stays in the input, and takes the slow path.

use serde::de::DeserializeOwned;

use super::{Connection, Phase, SHORT};
use crate::id::CallId;
use crate::input::Input;
use crate::line::{RETURN, value_before_id};

impl Input {
    /// Decodes the value of a success response to `id` that is all that has arrived: a short line, as
    /// QEMU writes it, with a value that `T` accepts. A line that ends as the response to another call is
    /// not looked at, and nothing is taken.
    #[doc(hidden)]
    #[must_use]
    pub fn decode_early<T: DeserializeOwned>(&self, id: CallId) -> Option<T> {
        let bytes = self.short_lines(SHORT)?;
        let value = value_before_id(bytes.strip_prefix(RETURN)?, id)?;
        let text = std::str::from_utf8(value).ok()?;
        let (value, length) = qmp_types::decode_beginning(text)?;
        (length == text.len()).then_some(value)
    }
}

impl Connection {
    /// Takes a reply that [`Input::decode_early`] has decoded out of the same input, with everything
    /// that arrived with it, and returns true. Returns false if the reply must take the slow path;
    /// [`next`](Self::next) returns it.
    ///
    /// Other calls may have finished with it: ask [`next_finished`](Self::next_finished) for them.
    #[doc(hidden)]
    #[must_use = "a reply that is not taken has to take the slow path"]
    pub fn take_early(&mut self, id: CallId, input: &mut Input) -> bool {
        let is_usual = matches!(self.phase, Phase::Ready)
            && !self.is_agent()
            && self.exchange.returns_ids()
            && !self.negotiation.is_probing()
            && !self.exchange.calls.has_finished()
            && !self.exchange.recorder.is_listening()
            && input.short_lines(self.longest_line()).is_some();
        if !is_usual || !self.exchange.complete_awaited(id, self.dropped.garbage > 0) {
            return false;
        }
        self.traffic.received += input.take_received();
        input.take_all();
        true
    }
}
