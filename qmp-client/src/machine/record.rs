//! What passes, for whoever wants to see it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::Machine;
use crate::error::End;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the server.
    Received,
    /// To the server.
    Sent,
}

type Hook = dyn FnMut(Direction, &str) + Send;

/// What is shown every message, both ways.
#[derive(Clone)]
pub struct Transcript(Arc<Mutex<Hook>>);

impl Transcript {
    /// A function that is shown each message as its text, without what stands between messages.
    /// It must not call the client that calls it. If it panics, the connection ends.
    pub fn new(hook: impl FnMut(Direction, &str) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(hook)))
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transcript")
    }
}

impl Machine {
    /// Shows every message to somebody, from now on.
    pub fn set_transcript(&mut self, transcript: Option<Transcript>) {
        self.transcript = transcript;
        // A guest agent is spoken to from the beginning.
        self.record_output(0);
    }

    pub(super) fn record(&mut self, direction: Direction, message: &[u8]) {
        #[cfg(feature = "tracing")]
        tracing::trace!(target: "qmp_client", ?direction, message = %String::from_utf8_lossy(message.trim_ascii()));
        let Some(Transcript(hook)) = &self.transcript else { return };
        let text = String::from_utf8_lossy(message);
        // It may be in the middle of anything here, and of what others wait for.
        let shown = catch_unwind(AssertUnwindSafe(|| {
            let mut hook = hook.lock().unwrap_or_else(PoisonError::into_inner);
            hook(direction, text.trim());
        }));
        if shown.is_err() {
            self.transcript = None;
            self.end(End::Transcript);
        }
    }

    /// What has been written to the output since it was so long.
    pub(super) fn record_output(&mut self, start: usize) {
        if self.transcript.is_none() && cfg!(not(feature = "tracing")) {
            return;
        }
        let sent = self.output.end().split_off(start);
        if sent.is_empty() {
            return;
        }
        self.record(Direction::Sent, sent.strip_prefix(&[0xFF]).unwrap_or(&sent));
        self.output.end().extend_from_slice(&sent);
    }
}
