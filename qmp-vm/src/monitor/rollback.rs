//! The time that undoing the steps of a workflow may take.

#[cfg(feature = "blocking")]
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(any(feature = "blocking", feature = "qga"))]
use std::time::{Duration, Instant};

#[cfg(feature = "blocking")]
use qmp_client::Error;
use qmp_client::Result;

/// The time that a client waits for the commands that undo the steps of a workflow. After a step that
/// timed out they are sent, and not waited for, because QEMU executes commands in order. Otherwise
/// they share one deadline on the blocking client, and the asynchronous one does not wait for guards
/// that are dropped.
#[derive(Clone, Debug, Default)]
pub struct Rollback {
    /// The deadline, if it is not that of the first command.
    #[cfg(feature = "blocking")]
    within: Option<Duration>,
    #[cfg(feature = "blocking")]
    time: Arc<Mutex<Time>>,
}

#[cfg(feature = "blocking")]
#[derive(Clone, Copy, Debug, Default)]
enum Time {
    #[default]
    Unused,
    Until(Instant),
    Over,
}

impl Rollback {
    /// Creates one that ends at this time, or never; when it has been restarted, `within` is its
    /// deadline. It also counts after a step that timed out: a guest agent is synchronized with before
    /// it is sent another command, so that a command that is not waited for is not sent.
    #[cfg(feature = "qga")]
    pub fn until(end: Option<Instant>, within: Duration) -> Self {
        #[cfg(feature = "blocking")]
        {
            let time = end.map_or(Time::Unused, Time::Until);
            Self { within: Some(within), time: Arc::new(Mutex::new(time)) }
        }
        #[cfg(not(feature = "blocking"))]
        {
            let _ = (end, within);
            Self {}
        }
    }

    /// Starts again: the next command has its own deadline.
    #[cfg(feature = "qga")]
    pub fn restart(&self) {
        #[cfg(feature = "blocking")]
        {
            *self.time.lock().unwrap_or_else(PoisonError::into_inner) = Time::Unused;
        }
    }

    /// Takes note of the result of a step, and returns it.
    pub fn note<T>(&self, result: Result<T>) -> Result<T> {
        #[cfg(feature = "blocking")]
        if self.within.is_none() && result.as_ref().is_err_and(Error::is_timeout) {
            *self.time.lock().unwrap_or_else(PoisonError::into_inner) = Time::Over;
        }
        result
    }

    /// Returns the time that is left for a command whose own deadline is `default`.
    #[cfg(feature = "blocking")]
    pub fn left(&self, now: Instant, default: Duration) -> Duration {
        let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        match *time {
            Time::Unused => {
                let within = self.within.unwrap_or(default);
                *time = now.checked_add(within).map_or(Time::Unused, Time::Until);
                within
            }
            Time::Until(end) => end.saturating_duration_since(now),
            Time::Over => Duration::ZERO,
        }
    }
}
