//! Deadlines.

use std::time::{Duration, Instant};

/// A moment by which something must have happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// The time from the start of the wait to that moment, for the error message.
    pub within: Duration,
}

impl Deadline {
    /// Returns the deadline `within` after `now`; `None` if `Instant` cannot represent it, so that
    /// [`Duration::MAX`] means "no deadline".
    #[must_use]
    pub fn after(now: Instant, within: Duration) -> Option<Self> {
        now.checked_add(within).map(|at| Self { at, within })
    }

    /// Returns the time that is left at `now`.
    #[must_use]
    pub fn left(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// Returns whether the deadline has passed at `now`.
    #[must_use]
    pub fn has_passed(&self, now: Instant) -> bool {
        self.at <= now
    }
}
