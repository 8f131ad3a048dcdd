//! Trying to connect until the socket is there.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::error::{LaunchError, Result, Timeout, TransportError, WaitedFor};
use crate::options::Options;

/// How long one attempt may take if nothing else is said.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(30);
/// The pause between two attempts grows to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The attempts to connect to one address.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    address: &'a Address,
    begin: Instant,
    limit: Option<Duration>,
    pause: Duration,
    /// Why the last attempt failed.
    last: Option<io::Error>,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(address: &'a Address, options: &Options, now: Instant) -> Self {
        let limit = options.wait_for_socket;
        Self { address, begin: now, limit, pause: Duration::from_millis(1), last: None }
    }

    /// How much time is left; nothing if there is only one attempt.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.begin);
        self.limit.map(|limit| limit.saturating_sub(elapsed))
    }

    /// How long to pause before the next attempt, after one that was begun with so much time
    /// left.
    ///
    /// # Errors
    /// There is not to be another one.
    pub(crate) fn failed(&mut self, error: io::Error, left: Option<Duration>) -> Result<Duration> {
        // There was no time left for it: those before say more.
        let error = match self.last.take() {
            Some(last) if error.kind() == io::ErrorKind::TimedOut => last,
            _ => error,
        };
        match (self.limit, left) {
            (Some(_), Some(left)) if left > Duration::ZERO && may_pass(&error) => {
                let pause = self.pause.min(left);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.last = Some(error);
                Ok(pause)
            }
            (Some(limit), _) if may_pass(&error) => {
                let waited_for = WaitedFor::Connection(self.address.to_string().into());
                Err(Timeout::new(waited_for, limit).because(Some(error)).into())
            }
            _ => {
                let attempt = format!("cannot connect to {}", self.address);
                Err(TransportError::new(attempt, error).into())
            }
        }
    }
}

/// Whether the process that is to open the socket may still do so.
///
/// # Errors
/// It has ended.
pub(crate) fn check_alive(
    program: &str,
    try_wait: &mut dyn FnMut() -> io::Result<Option<ExitStatus>>,
) -> Result<()> {
    match try_wait() {
        Ok(Some(status)) => Err(LaunchError::ended(program.into(), Some(status), "".into()).into()),
        // If the system does not tell, the deadline will have to do.
        _ => Ok(()),
    }
}

/// What an attempt to connect to a Unix socket gives where there are none.
#[cfg(not(unix))]
pub(crate) fn no_unix_sockets() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets on this system")
}

/// Whether another attempt may fare better: the socket is not there yet, or not listening.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, NotFound, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | NotFound | TimedOut | WouldBlock)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    /// The last attempt is often cut short, and that nobody answered in a millisecond is not what
    /// is wrong.
    #[test]
    fn the_cause_is_what_failed_and_not_the_lack_of_time() {
        let address = "tcp:localhost:4444".parse().unwrap();
        let options = Options::new().wait_for_socket(Duration::from_secs(1));
        let mut attempts = Attempts::new(&address, &options, Instant::now());
        let second = Some(Duration::from_secs(1));
        attempts.failed(io::ErrorKind::ConnectionRefused.into(), second).unwrap();
        attempts.failed(io::ErrorKind::TimedOut.into(), second).unwrap();
        let error = attempts.failed(io::ErrorKind::TimedOut.into(), Some(Duration::ZERO));
        let error = error.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert!(error.report().contains("refused"), "{}", error.report());
    }
}
