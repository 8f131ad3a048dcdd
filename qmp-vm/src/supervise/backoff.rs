//! The pauses between attempts to connect.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The shortest time that is due. Without a pause, attempts that fail at once would keep a thread busy, with
/// all tasks on it, and twice no time would never be more.
const LEAST: Duration = Duration::from_millis(1);

/// The pauses between attempts to connect: each about twice as long as the one before, up to a limit.
/// Those of many connections that end at once differ.
#[derive(Debug)]
pub(super) struct Backoff {
    shortest: Duration,
    longest: Duration,
    stable: Duration,
    next: Duration,
    random: RandomState,
    count: u64,
}

impl Backoff {
    /// Creates one that starts again after a connection that has lasted for `stable`.
    pub(super) fn new(shortest: Duration, longest: Duration, stable: Duration) -> Self {
        let longest = longest.max(LEAST);
        let shortest = shortest.max(LEAST).min(longest);
        let random = RandomState::new();
        Self { shortest, longest, stable, next: shortest, random, count: 0 }
    }

    /// Notes how long a connection has lasted.
    pub(super) fn lasted(&mut self, time: Duration) {
        if time >= self.stable {
            self.next = self.shortest;
        }
    }

    /// Returns the next pause: between half of the time that is due and all of it.
    pub(super) fn pause(&mut self) -> Duration {
        let due = self.next;
        self.next = due.saturating_mul(2).min(self.longest);
        self.count += 1;
        // The top 53 bits are exact as a floating-point number.
        let random = self.random.hash_one(self.count) >> 11;
        let part = 0.5 + random as f64 / (1_u64 << 54) as f64;
        due.mul_f64(part.clamp(0.5, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_limit_and_start_again() {
        let mut backoff = Backoff::new(MILLISECOND, MILLISECOND * 6, MILLISECOND * 100);
        for due in [1, 2, 4, 6, 6] {
            let pause = backoff.pause();
            assert!(pause >= MILLISECOND * due / 2 && pause <= MILLISECOND * due, "{pause:?}");
        }
        backoff.lasted(MILLISECOND * 99);
        assert!(backoff.pause() >= MILLISECOND * 3);
        backoff.lasted(MILLISECOND * 100);
        assert!(backoff.pause() <= MILLISECOND);
    }

    /// A host whose machines all lose their connections at once is not asked by all of them at once.
    #[test]
    fn pauses_differ() {
        let limit = Duration::from_secs(1);
        let pauses: Vec<_> =
            (0..100).map(|_| Backoff::new(limit, limit, limit).pause().as_millis() / 50).collect();
        let distinct = pauses.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(distinct >= 5, "{pauses:?}");
    }

    #[test]
    fn extreme_limits_are_no_error() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX, Duration::ZERO);
        assert!(backoff.pause() >= Duration::from_secs(1));
        let mut backoff = Backoff::new(MILLISECOND, Duration::ZERO, Duration::ZERO);
        for _ in 0..3 {
            let pause = backoff.pause();
            assert!(!pause.is_zero() && pause <= MILLISECOND, "{pause:?}");
        }
        // Pauses that begin with none become longer, too.
        let mut backoff = Backoff::new(Duration::ZERO, Duration::from_secs(1), Duration::ZERO);
        assert!((0..11).map(|_| backoff.pause()).sum::<Duration>() > Duration::from_secs(1));
    }
}
