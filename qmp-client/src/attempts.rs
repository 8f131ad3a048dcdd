//! Repeated attempts to connect, until the socket exists.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use qmp_protocol::{Timeout, WaitedFor};

use crate::address::Address;
use crate::error::{LaunchError, Result, TransportError};
use crate::obstacle;
use crate::options::Options;
use crate::trace;

/// The limit of one attempt, if the options set none.
const ATTEMPT: Duration = Duration::from_secs(30);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The attempts to connect to one address.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    address: &'a Address,
    begin: Instant,
    limit: Option<Duration>,
    /// The limit for a server that is busy.
    patience: Duration,
    /// The time that had passed when the current attempt began.
    elapsed: Duration,
    pause: Duration,
    /// The number of attempts.
    number: u32,
    /// The error of the last attempt.
    last: Option<io::Error>,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(address: &'a Address, options: &Options, now: Instant) -> Self {
        Self {
            address,
            begin: now,
            limit: options.wait_for_socket,
            patience: options.greeting_within,
            elapsed: Duration::ZERO,
            pause: Duration::from_millis(1),
            number: 0,
            last: None,
        }
    }

    /// Returns the time that the attempt which begins now may take.
    pub(crate) fn next(&mut self, now: Instant) -> Duration {
        self.number = self.number.saturating_add(1);
        self.elapsed = now.saturating_duration_since(self.begin);
        self.limit.map_or(ATTEMPT.min(self.patience), |limit| limit.saturating_sub(self.elapsed))
    }

    /// Records that the attempt has succeeded.
    pub(crate) fn succeeded(&self, options: &Options) {
        trace::connected(&options.monitor, self.address, self.number);
    }

    /// Records that the attempt has failed, and returns the pause before the next one.
    ///
    /// # Errors
    /// No further attempt is to be made.
    pub(crate) fn failed(&mut self, error: io::Error) -> Result<Duration> {
        // An attempt for which no time was left says less than those before it.
        let error = match self.last.take() {
            Some(last) if error.kind() == io::ErrorKind::TimedOut => last,
            _ => error,
        };
        // A server that is busy is there: without a limit, it is waited for as for the greeting.
        let limit = match error.kind() {
            io::ErrorKind::WouldBlock => self.limit.or(Some(self.patience)),
            _ => self.limit,
        };
        let Some(limit) = limit.filter(|_| may_pass(&error)) else {
            let mut attempt = format!("cannot connect to {}", self.address);
            if let Some(obstacle) = obstacle::describe(self.address, &error) {
                attempt += &format!(", {obstacle}");
            }
            return Err(TransportError::new(attempt, error).into());
        };
        let left = limit.saturating_sub(self.elapsed);
        if left.is_zero() {
            let waited_for = WaitedFor::Connection(self.address.to_string().into());
            return Err(Timeout::new(waited_for, limit).because(Some(error)).into());
        }
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.last = Some(error);
        Ok(pause)
    }
}

/// Checks whether the process that is expected to open the socket may still do so.
///
/// # Errors
/// The process has ended.
pub(crate) fn check_alive(
    try_wait: &mut dyn FnMut() -> io::Result<Option<ExitStatus>>,
) -> Result<()> {
    match try_wait() {
        Ok(Some(status)) => Err(LaunchError::exited("the process", Some(status), "").into()),
        // If the system does not say, the deadline decides.
        _ => Ok(()),
    }
}

/// Returns whether another attempt may succeed: the socket does not exist yet, or no server listens
/// yet.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, NotFound, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | NotFound | TimedOut | WouldBlock)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    /// The last attempt is often cut short, and that no server answered within a millisecond is not
    /// the cause.
    #[test]
    fn the_cause_is_the_failure_and_not_the_lack_of_time() {
        let address = "tcp:localhost:4444".parse().unwrap();
        let options = Options::new().wait_for_socket(Duration::from_secs(1));
        let begin = Instant::now();
        let mut attempts = Attempts::new(&address, &options, begin);
        assert_eq!(attempts.next(begin), Duration::from_secs(1));
        attempts.failed(io::ErrorKind::ConnectionRefused.into()).unwrap();
        attempts.failed(io::ErrorKind::TimedOut.into()).unwrap();
        assert_eq!(attempts.next(begin + Duration::from_secs(1)), Duration::ZERO);
        let error = attempts.failed(io::ErrorKind::TimedOut.into()).unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert!(error.report().contains("refused"), "{}", error.report());
    }
}
