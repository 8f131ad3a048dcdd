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
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use qmp_protocol::Deadline;
    ///
    /// let now = Instant::now();
    /// let deadline = Deadline::after(now, Duration::from_secs(2)).expect("two seconds from now");
    /// assert_eq!(deadline.at, now + Duration::from_secs(2));
    /// assert_eq!(Deadline::after(now, Duration::MAX), None);
    /// ```
    #[inline]
    #[must_use]
    pub fn after(now: Instant, within: Duration) -> Option<Self> {
        now.checked_add(within).map(|at| Self { at, within })
    }

    /// Returns the time that is left at `now`.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use qmp_protocol::Deadline;
    ///
    /// let now = Instant::now();
    /// let deadline = Deadline { at: now + Duration::from_secs(2), within: Duration::from_secs(2) };
    /// assert_eq!(deadline.left(now), Duration::from_secs(2));
    /// assert_eq!(deadline.left(now + Duration::from_secs(5)), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn left(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// Returns whether the deadline has passed at `now`.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use qmp_protocol::Deadline;
    ///
    /// let now = Instant::now();
    /// let deadline = Deadline { at: now + Duration::from_secs(2), within: Duration::from_secs(2) };
    /// assert!(!deadline.has_passed(now));
    /// assert!(deadline.has_passed(deadline.at));
    /// ```
    #[must_use]
    pub fn has_passed(&self, now: Instant) -> bool {
        self.at <= now
    }
}

/// Returns the earlier of two moments.
#[inline]
#[must_use]
pub fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    /// A driver sleeps for the time that is left, and not at all after the deadline.
    #[test]
    fn no_time_is_left_when_a_deadline_has_passed() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let deadline = Deadline::after(now, 2 * second).unwrap();
        assert_eq!(deadline.within, 2 * second);
        for (passed, left) in [(0, 2), (1, 1), (2, 0), (3, 0)] {
            assert_eq!(deadline.left(now + passed * second), left * second);
            assert_eq!(deadline.has_passed(now + passed * second), left == 0);
        }
        assert_eq!(Deadline::after(now, Duration::MAX), None);
    }
}
