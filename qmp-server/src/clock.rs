//! The time by which events are stamped and limited.

use std::fmt;
use std::time::{Duration, Instant};

use qmp_types::Timestamp;

/// A source of time. [`SystemClock`] is real time; tests may bring a clock that they drive.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time since a fixed moment. It never decreases.
    fn now(&self) -> Duration;

    /// Returns the date and time for the timestamps of events.
    fn timestamp(&self) -> Timestamp;

    /// Blocks the thread until the given time on this clock. It may return early.
    fn sleep_until(&self, time: Duration);
}

/// The system's clock.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, time: Duration) {
        std::thread::sleep(time.saturating_sub(self.now()));
    }
}
