//! The observers of a connection's messages: the transcript and the trace.

#[cfg(feature = "tracing")]
use qmp_types::Redactor;

use crate::masking::Masking;
use crate::output::Output;
#[cfg(feature = "tracing")]
use crate::printable::Excerpt;
use crate::transcript::{Direction, Transcript};

/// Passes each message to the transcript and to `tracing`.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    transcript: Option<Transcript>,
    /// Exists from the first observer on.
    masking: Option<Box<dyn Masking>>,
    panicked: bool,
}

impl Recorder {
    pub(crate) fn set_transcript(&mut self, transcript: Option<Transcript>) {
        if let (None, Some(transcript)) = (&self.masking, &transcript) {
            self.masking = Some(transcript.new_masking());
        }
        self.transcript = transcript;
    }

    /// Returns, once, whether the transcript has panicked.
    pub(crate) fn take_panicked(&mut self) -> bool {
        std::mem::take(&mut self.panicked)
    }

    /// Returns whether anything listens to the messages.
    #[inline]
    pub(crate) fn is_listening(&self) -> bool {
        self.transcript.is_some() || is_traced()
    }

    /// Records a message, with its secrets masked.
    #[inline]
    pub(crate) fn record(&mut self, direction: Direction, message: &[u8]) {
        if self.is_listening() {
            self.show(direction, message);
        }
    }

    #[cold]
    fn show(&mut self, direction: Direction, message: &[u8]) {
        #[cfg(feature = "tracing")]
        self.masking.get_or_insert_with(|| Box::new(Redactor::new()));
        let Some(masking) = &mut self.masking else { return };
        let text = masking.mask(direction, message.trim_ascii());
        #[cfg(feature = "tracing")]
        tracing::trace!(target: "qmp_protocol", ?direction, message = %Excerpt(&text, usize::MAX));
        let Some(transcript) = &self.transcript else { return };
        if !transcript.show(direction, &text) {
            self.transcript = None;
            self.panicked = true;
        }
    }

    /// Records what has been appended to the output since its length was `start`.
    #[inline]
    pub(crate) fn record_output(&mut self, output: &mut Output, start: usize) {
        if !self.is_listening() {
            return;
        }
        let sent = &output.end()[start..];
        if !sent.is_empty() {
            self.record(Direction::Sent, sent.strip_prefix(&[0xFF]).unwrap_or(sent));
        }
    }
}

/// Returns whether anything listens to the messages as events of `tracing`.
fn is_traced() -> bool {
    #[cfg(feature = "tracing")]
    return tracing::enabled!(target: "qmp_protocol", tracing::Level::TRACE);
    #[cfg(not(feature = "tracing"))]
    false
}
