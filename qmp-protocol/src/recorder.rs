//! The observers of a connection's messages: the transcript and the trace.

use crate::output::Output;
use crate::transcript::{Direction, Transcript};

/// Passes each message to the transcript and to `tracing`.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    transcript: Option<Transcript>,
    panicked: bool,
}

impl Recorder {
    pub(crate) fn set_transcript(&mut self, transcript: Option<Transcript>) {
        self.transcript = transcript;
    }

    /// Returns, once, whether the transcript has panicked.
    pub(crate) fn take_panicked(&mut self) -> bool {
        std::mem::take(&mut self.panicked)
    }

    pub(crate) fn record(&mut self, direction: Direction, message: &[u8]) {
        #[cfg(feature = "tracing")]
        tracing::trace!(
            target: "qmp_protocol",
            ?direction,
            message = %String::from_utf8_lossy(message.trim_ascii())
        );
        let Some(transcript) = &self.transcript else { return };
        if !transcript.show(direction, message) {
            self.transcript = None;
            self.panicked = true;
        }
    }

    /// Records what has been appended to the output since its length was `start`.
    pub(crate) fn record_output(&mut self, output: &mut Output, start: usize) {
        if self.transcript.is_none() && cfg!(not(feature = "tracing")) {
            return;
        }
        let sent = &output.end()[start..];
        if !sent.is_empty() {
            self.record(Direction::Sent, sent.strip_prefix(&[0xFF]).unwrap_or(sent));
        }
    }
}
