//! The counters of calls, under the lock of their connection.

use std::time::Duration;

use qmp_protocol::Error;
use serde_json::value::RawValue;

use super::{CallStats, Histogram};

/// The counters of calls. The memory is allocated for the first call.
#[derive(Debug, Default)]
pub(crate) struct Counters(Option<Box<(CallStats, Histogram)>>);

impl Counters {
    fn parts(&mut self) -> &mut (CallStats, Histogram) {
        self.0.get_or_insert_default()
    }

    /// Counts a call that has been submitted.
    pub(crate) fn submitted(&mut self) {
        self.parts().0.submitted += 1;
    }

    /// Counts a call that has its result. The latency is asked for if the call was answered.
    #[inline]
    pub(crate) fn finished(
        &mut self,
        result: Result<&RawValue, &Error>,
        latency: impl FnOnce() -> Duration,
    ) {
        let (calls, latencies) = self.parts();
        match result {
            Ok(_) => {
                calls.succeeded += 1;
                latencies.record(latency());
            }
            Err(Error::Server(refusal)) => {
                *calls.refused.of(&refusal.error.class) += 1;
                latencies.record(latency());
            }
            Err(Error::Timeout(_)) => calls.timed_out += 1,
            Err(Error::Closed(_)) => calls.closed += 1,
            Err(_) => calls.failed += 1,
        }
    }

    /// Counts a call that was given up.
    pub(crate) fn canceled(&mut self) {
        self.parts().0.canceled += 1;
    }

    /// Records that the reply of a call that had succeeded does not match the type.
    pub(crate) fn mismatched(&mut self) {
        let (calls, _) = self.parts();
        calls.succeeded = calls.succeeded.saturating_sub(1);
        calls.mismatched += 1;
    }

    /// Returns what was counted. The calls in flight are known elsewhere.
    #[inline]
    pub(crate) fn snapshot(&self) -> (CallStats, Histogram) {
        self.0.as_deref().cloned().unwrap_or_default()
    }
}
