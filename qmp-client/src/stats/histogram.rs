//! Latencies, by size.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// The binary logarithm of the first bucket's bound, in microseconds: 8 us.
const FIRST: u32 = 3;
/// The binary logarithm of the last bound, in microseconds: 134 s.
const LAST: u32 = 27;
/// The first bucket, two for each power of two, and one for everything that takes longer.
const BUCKETS: usize = 2 * (LAST - FIRST) as usize + 2;

/// A distribution of latencies: how many were how long.
///
/// The buckets are the same for all histograms, so that those of a fleet can be added. The first one
/// has what took less than 8 us. Then each power of two has two buckets of equal width, up to 134 s
/// (8 to 12 us, 12 to 16 us, 16 to 24 us, ...), so that a [quantile](Self::quantile) is at most half
/// too large. The last bucket has everything that took longer.
#[derive(Clone, Eq, PartialEq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl Histogram {
    /// Creates an empty histogram.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Histogram;
    ///
    /// let mut latencies = Histogram::new();
    /// latencies.record(Duration::from_micros(80));
    /// assert_eq!(latencies.count(), 1);
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: [0; BUCKETS], sum: Duration::ZERO }
    }

    /// Adds a latency.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Histogram;
    ///
    /// let mut latencies = Histogram::new();
    /// latencies.record(Duration::from_micros(100));
    /// assert_eq!(latencies.count(), 1);
    /// ```
    pub fn record(&mut self, latency: Duration) {
        self.counts[index(latency)] += 1;
        self.sum = self.sum.saturating_add(latency);
    }

    /// Returns the number of latencies.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Histogram;
    ///
    /// let mut latencies = Histogram::new();
    /// latencies.record(Duration::from_micros(80));
    /// assert_eq!(latencies.count(), 1);
    /// ```
    #[must_use]
    #[inline]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns whether the histogram is empty.
    ///
    /// ```
    /// assert!(qmp_client::Histogram::new().is_empty());
    /// ```
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns the sum of all latencies.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Histogram;
    ///
    /// let mut latencies = Histogram::new();
    /// latencies.record(Duration::from_micros(80));
    /// latencies.record(Duration::from_micros(20));
    /// assert_eq!(latencies.sum(), Duration::from_micros(100));
    /// ```
    #[must_use]
    #[inline]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns the mean of all latencies; `None` if the histogram is empty.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Histogram;
    ///
    /// let mut latencies = Histogram::new();
    /// assert_eq!(latencies.mean(), None);
    /// latencies.record(Duration::from_micros(100));
    /// latencies.record(Duration::from_micros(300));
    /// assert_eq!(latencies.mean(), Some(Duration::from_micros(200)));
    /// ```
    #[must_use]
    #[inline]
    pub fn mean(&self) -> Option<Duration> {
        let count = u128::from(self.count());
        let nanoseconds = self.sum.as_nanos().checked_div(count)?;
        Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }

    /// Returns each bucket's upper bound and the number of latencies that are shorter than that, and
    /// not shorter than the bound before. The last bucket's bound is [`Duration::MAX`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Histogram;
    ///
    /// let mut latencies = Histogram::new();
    /// latencies.record(Duration::from_micros(10));
    /// let counted = latencies.buckets().find(|(_, count)| *count > 0);
    /// assert_eq!(counted, Some((Duration::from_micros(12), 1)));
    /// ```
    #[inline]
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts.iter().enumerate().map(|(index, count)| (bound(index), *count))
    }

    /// Returns the upper bound of the bucket that has the latency below which this share of all
    /// latencies is, such as 0.99; `None` if the histogram is empty. A share outside of 0 to 1 is
    /// limited to that.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Histogram;
    ///
    /// let mut latencies = Histogram::new();
    /// (1..=100).for_each(|n| latencies.record(Duration::from_micros(n)));
    /// let median = latencies.quantile(0.5).expect("not empty");
    /// assert!(median >= Duration::from_micros(50) && median <= Duration::from_micros(75));
    /// ```
    #[must_use]
    #[inline]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        // Exact for all counts that a program reaches.
        #[expect(clippy::cast_precision_loss, reason = "a quantile is an estimate")]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        let rank = ((count as f64 * share.clamp(0.0, 1.0)).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        self.buckets().find_map(|(bound, count)| {
            below += count;
            (below >= rank).then_some(bound)
        })
    }
}

/// Returns the bucket of a latency.
fn index(latency: Duration) -> usize {
    let seconds = latency.as_secs().saturating_mul(1_000_000);
    let microseconds = seconds.saturating_add(u64::from(latency.subsec_micros()));
    let Some(power) = microseconds.checked_ilog2().filter(|power| *power >= FIRST) else {
        return 0;
    };
    if power >= LAST {
        return BUCKETS - 1;
    }
    let upper_half = (microseconds >> (power - 1)) & 1;
    1 + 2 * (power - FIRST) as usize + usize::from(upper_half == 1)
}

/// Returns the upper bound of a bucket.
#[inline]
fn bound(index: usize) -> Duration {
    if index >= BUCKETS - 1 {
        return Duration::MAX;
    }
    let start = 1_u64 << (FIRST as usize + index / 2);
    let half = if index % 2 == 1 { start / 2 } else { 0 };
    Duration::from_micros(start + half)
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl AddAssign<&Self> for Histogram {
    #[inline]
    fn add_assign(&mut self, other: &Self) {
        for (count, others) in self.counts.iter_mut().zip(&other.counts) {
            *count += others;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

/// Only the buckets that are not empty, by their upper bounds.
impl fmt::Debug for Histogram {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets().filter(|(_, count)| *count > 0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every latency is in the bucket whose bounds enclose it.
    #[test]
    fn buckets_are_contiguous() {
        let bounds: Vec<Duration> = Histogram::new().buckets().map(|(bound, _)| bound).collect();
        assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        assert_eq!(bounds[0], Duration::from_micros(8));
        assert_eq!(bounds[1..4], [12, 16, 24].map(Duration::from_micros));
        assert_eq!(bounds[BUCKETS - 2], Duration::from_micros(1 << LAST));
        for (at, bound) in bounds.iter().enumerate().take(BUCKETS - 1) {
            assert_eq!(index(*bound), at + 1);
            assert_eq!(index(*bound - Duration::from_nanos(1)), at);
        }
        assert_eq!(index(Duration::ZERO), 0);
        assert_eq!(index(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_upper_bounds() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.quantile(0.5), histogram.mean()), (None, None));
        (1..=100).for_each(|each| histogram.record(Duration::from_micros(100 * each)));
        for (share, exact) in [(0.0, 100), (0.5, 5000), (0.99, 9900), (1.0, 10_000), (7.0, 10_000)]
        {
            let (found, exact) = (histogram.quantile(share), Duration::from_micros(exact));
            assert!(found > Some(exact) && found <= Some(exact * 3 / 2), "{share}: {found:?}");
        }
        assert_eq!(histogram.mean(), Some(Duration::from_micros(5050)));
        assert_eq!(histogram.count(), 100);
    }

    #[test]
    fn histograms_add_up() {
        let (mut all, mut even, mut odd) = (Histogram::new(), Histogram::new(), Histogram::new());
        for each in 0..1000_u64 {
            let latency = Duration::from_micros(each * each * 300);
            all.record(latency);
            if each % 2 == 0 { even.record(latency) } else { odd.record(latency) }
        }
        even += &odd;
        assert_eq!(even, all);
        assert_ne!(odd, all);
        // A sum that is too large is an error of the caller's clock, and no panic.
        even.record(Duration::MAX);
        even.record(Duration::MAX);
        assert_eq!(even.sum(), Duration::MAX);
    }
}
