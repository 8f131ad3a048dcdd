//! Statistics of connections: calls by outcome, latencies, events and bytes.
//!
//! What happens is counted where it happens, under the lock that is held anyway:
//!
//! ```text
//!   Waiters: outcomes, latencies ──┐
//!   Subscriptions: events ─────────┼──> Client::stats ──> Stats (+ Stats + ... of a fleet)
//!   Connection: bytes, dropped ────┘
//! ```
//!
//! A connection that has made no call has no memory for outcomes and latencies.

// Few programs look at them. What they call is `#[inline]`, so that only those programs compile it.
mod counters;
mod histogram;

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::time::{Duration, SystemTime};

use qmp_protocol::Dropped;
use qmp_types::ErrorClass;

pub(crate) use counters::Counters;
pub use histogram::Histogram;

/// The statistics of a connection so far, or of several connections together.
///
/// [`Client::stats`](crate::Client::stats) returns it. The statistics of several connections are
/// added:
///
/// ```
/// # #[cfg(feature = "blocking")]
/// fn fleet(clients: &[qmp_client::blocking::Client]) -> qmp_client::Stats {
///     clients.iter().map(|client| client.stats()).sum()
/// }
/// ```
///
/// Its [`Display`](fmt::Display) form is one line for a log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of connections.
    pub connections: u64,
    /// The time at which the connection was established: of several, the first.
    pub connected: Option<SystemTime>,
    /// Calls, by outcome.
    pub calls: CallStats,
    /// The time from the submission of a command until its reply was read, of calls that were
    /// answered. It includes the time for which a command was queued.
    pub latency: Histogram,
    /// Events.
    pub events: EventStats,
    /// Bytes that were sent, or are being sent.
    pub bytes_sent: u64,
    /// Bytes that were received.
    pub bytes_received: u64,
    /// Messages that were received and dropped.
    pub dropped: Dropped,
}

/// The number of calls, by outcome.
///
/// Each call that was submitted is in flight, or has one outcome. The commands that dropped guards
/// of an asynchronous client leave to be executed are not included.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CallStats {
    /// Calls that were submitted.
    pub submitted: u64,
    /// Calls that are not answered.
    pub in_flight: u64,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that the server answered with an error.
    pub refused: Refusals,
    /// Calls whose deadline passed.
    pub timed_out: u64,
    /// Calls that were given up before they were answered: the future or the ticket was dropped.
    pub canceled: u64,
    /// Calls that were not answered before the connection ended.
    pub closed: u64,
    /// Calls whose reply does not match the type, or made its decoding panic.
    pub mismatched: u64,
    /// Calls that failed in another way: the reply was damaged, lost, too deep or too large, or
    /// out-of-band execution was not negotiated.
    pub failed: u64,
}

impl CallStats {
    /// Returns the number of calls that have an outcome.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) {
    /// let calls = vm.stats().calls;
    /// assert_eq!(calls.submitted, calls.in_flight + calls.finished());
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn finished(&self) -> u64 {
        let failed = self.timed_out + self.canceled + self.closed + self.mismatched + self.failed;
        self.succeeded + self.refused.total() + failed
    }
}

/// The number of calls that the server answered with an error, by the error's class.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Refusals {
    /// [`ErrorClass::GenericError`].
    pub generic: u64,
    /// [`ErrorClass::CommandNotFound`].
    pub command_not_found: u64,
    /// [`ErrorClass::DeviceNotActive`].
    pub device_not_active: u64,
    /// [`ErrorClass::DeviceNotFound`].
    pub device_not_found: u64,
    /// [`ErrorClass::KvmMissingCap`].
    pub kvm_missing_cap: u64,
    /// A class that this version does not know.
    pub other: u64,
}

impl Refusals {
    /// Returns the number of all of them.
    ///
    /// ```
    /// # fn example(calls: &qmp_client::CallStats) {
    /// println!("{} of {} calls were refused", calls.refused.total(), calls.finished());
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn total(&self) -> u64 {
        self.by_class().iter().map(|(_, count)| count).sum()
    }

    /// Returns the number for each class, by the name that it has on the wire; `other` for classes
    /// that this version does not know.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) {
    /// for (class, count) in vm.stats().calls.refused.by_class() {
    ///     println!("{class}: {count}");
    /// }
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn by_class(&self) -> [(&'static str, u64); 6] {
        [
            ("GenericError", self.generic),
            ("CommandNotFound", self.command_not_found),
            ("DeviceNotActive", self.device_not_active),
            ("DeviceNotFound", self.device_not_found),
            ("KVMMissingCap", self.kvm_missing_cap),
            ("other", self.other),
        ]
    }

    fn of(&mut self, class: &ErrorClass) -> &mut u64 {
        match class {
            ErrorClass::GenericError => &mut self.generic,
            ErrorClass::CommandNotFound => &mut self.command_not_found,
            ErrorClass::DeviceNotActive => &mut self.device_not_active,
            ErrorClass::DeviceNotFound => &mut self.device_not_found,
            ErrorClass::KvmMissingCap => &mut self.kvm_missing_cap,
            _ => &mut self.other,
        }
    }
}

/// The number of events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EventStats {
    /// Events that arrived, whether or not any subscription takes them.
    pub received: u64,
    /// Events that subscriptions took. An event counts once for each of them.
    pub delivered: u64,
    /// Events that a subscription took and then dropped, since its queue was full, or that did not
    /// fit into an empty one.
    pub lagged: u64,
}

impl AddAssign<&Self> for Stats {
    #[inline]
    fn add_assign(&mut self, other: &Self) {
        self.connections += other.connections;
        self.connected = self.connected.into_iter().chain(other.connected).min();
        self.calls += &other.calls;
        self.latency += &other.latency;
        self.events += other.events;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.dropped.late_replies += other.dropped.late_replies;
        self.dropped.foreign_replies += other.dropped.foreign_replies;
        self.dropped.garbage += other.dropped.garbage;
        self.dropped.transcript += other.dropped.transcript;
    }
}

impl AddAssign for Stats {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self += &other;
    }
}

impl Add for Stats {
    type Output = Self;

    #[inline]
    fn add(mut self, other: Self) -> Self {
        self += &other;
        self
    }
}

impl Sum for Stats {
    fn sum<I: Iterator<Item = Self>>(stats: I) -> Self {
        stats.fold(Self::default(), Add::add)
    }
}

impl AddAssign<&Self> for CallStats {
    #[inline]
    fn add_assign(&mut self, other: &Self) {
        self.submitted += other.submitted;
        self.in_flight += other.in_flight;
        self.succeeded += other.succeeded;
        self.refused += &other.refused;
        self.timed_out += other.timed_out;
        self.canceled += other.canceled;
        self.closed += other.closed;
        self.mismatched += other.mismatched;
        self.failed += other.failed;
    }
}

impl AddAssign<&Self> for Refusals {
    #[inline]
    fn add_assign(&mut self, other: &Self) {
        self.generic += other.generic;
        self.command_not_found += other.command_not_found;
        self.device_not_active += other.device_not_active;
        self.device_not_found += other.device_not_found;
        self.kvm_missing_cap += other.kvm_missing_cap;
        self.other += other.other;
    }
}

impl AddAssign for EventStats {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.delivered += other.delivered;
        self.lagged += other.lagged;
    }
}

impl fmt::Display for Stats {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallStats { submitted, in_flight, succeeded, .. } = self.calls;
        let failed = self.calls.finished() - succeeded;
        write!(f, "{submitted} calls: {succeeded} succeeded, {failed} failed")?;
        write!(f, ", {in_flight} in flight")?;
        if let (Some(median), Some(slow)) =
            (self.latency.quantile(0.5), self.latency.quantile(0.99))
        {
            write!(f, "; latency: half below {}, 99 % below {}", Span(median), Span(slow))?;
        }
        let EventStats { received, delivered, lagged } = self.events;
        write!(f, "; {received} events: {delivered} delivered, {lagged} dropped")?;
        write!(f, "; {} bytes sent, {} received", self.bytes_sent, self.bytes_received)
    }
}

/// Displays a duration with a unit that suits its size.
struct Span(Duration);

impl fmt::Display for Span {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::MAX => f.write_str("more than two minutes"),
            span if span < Duration::from_millis(1) => write!(f, "{} us", span.as_micros()),
            span if span < Duration::from_secs(1) => {
                write!(f, "{:.1} ms", span.as_secs_f64() * 1e3)
            }
            span => write!(f, "{:.1} s", span.as_secs_f64()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    fn sample(factor: u64) -> Stats {
        let mut latency = Histogram::new();
        (0..factor).for_each(|_| latency.record(Duration::from_micros(200)));
        let [submitted, succeeded, timed_out] = [4, 1, 1].map(|each| each * factor);
        Stats {
            connections: 1,
            connected: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(factor)),
            calls: CallStats {
                submitted,
                in_flight: factor,
                succeeded,
                refused: Refusals { generic: factor, ..Refusals::default() },
                timed_out,
                ..CallStats::default()
            },
            latency,
            events: EventStats { received: 3 * factor, delivered: 2 * factor, lagged: factor },
            bytes_sent: 10 * factor,
            bytes_received: 20 * factor,
            dropped: Dropped::default(),
        }
    }

    /// The sum of a fleet has every field, and the earliest time.
    #[test]
    fn statistics_of_a_fleet_add_up() {
        let sum: Stats = [sample(2), sample(3)].into_iter().sum();
        let expected = Stats { connections: 2, connected: sample(2).connected, ..sample(5) };
        assert_eq!(sum, expected);
        assert_eq!(Stats::default() + sample(1), sample(1));
        let calls = &sum.calls;
        assert_eq!(calls.finished() + calls.in_flight, calls.submitted);
    }

    #[test]
    fn a_line_for_a_log() {
        assert_eq!(
            sample(1).to_string(),
            "4 calls: 1 succeeded, 2 failed, 1 in flight; latency: half below 256 us, 99 % below \
             256 us; 3 events: 2 delivered, 1 dropped; 10 bytes sent, 20 received"
        );
        let empty = Stats::default().to_string();
        assert!(empty.starts_with("0 calls: 0 succeeded"), "{empty}");
        let spans = [1_500, 1_500_000].map(Duration::from_micros).map(Span).map(|s| s.to_string());
        assert_eq!(spans, ["1.5 ms", "1.5 s"]);
    }
}
