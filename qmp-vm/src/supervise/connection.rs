//! The connections of a supervised monitor, and its end.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use qmp_client::{Closed, End, Error};

use super::identity::{Identity, SameQemu};

/// A connection that has been made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connection<C> {
    /// The client, which works until this connection ends.
    pub client: C,
    /// The number of the connection, from one on. Gaps mean that others have come and gone.
    pub number: u64,
    /// The facts that are known about the QEMU.
    pub identity: Arc<Identity>,
    /// Whether it is the same QEMU as that of the connection that was reported before.
    pub same_qemu: SameQemu,
}

impl<C> Connection<C> {
    /// Returns whether events may have been missed: always, except for the first connection that is
    /// reported.
    #[must_use]
    pub fn events_missed(&self) -> bool {
        !matches!(self.same_qemu, SameQemu::First)
    }
}

/// The present state of a supervised monitor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// Connected.
    #[non_exhaustive]
    Connected {
        /// The number of the connection.
        number: u64,
    },
    /// Not connected.
    #[non_exhaustive]
    Outage {
        /// The number of attempts that have failed since the outage began.
        attempts: u32,
        /// The failure of the last attempt.
        error: Option<Arc<Error>>,
        /// The end of the connection before, if there was one.
        lost: Option<Closed>,
    },
    /// Ended for good.
    Ended(Ended),
}

/// The reason why a supervised monitor is not connected to any more.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// This program closed it.
    Local,
    /// The process of QEMU has ended.
    #[non_exhaustive]
    Process {
        /// The process.
        pid: u32,
    },
    /// The [policy](super::Supervision::retry_if) of the program does not allow another attempt.
    Policy(Arc<Error>),
    /// The monitor could not be connected to for too long.
    #[non_exhaustive]
    GaveUp {
        /// The limit that has passed.
        within: Duration,
        /// The failure of the last attempt.
        error: Arc<Error>,
    },
    /// The keeper was dropped, as by a runtime that shuts down.
    NoKeeper,
}

impl Ended {
    /// Returns the error of a call after the end, or of a wait for the connection.
    pub(super) fn error(&self, command: Option<&str>) -> Error {
        let reason = match self {
            Self::Local => End::Local,
            ended => End::Transport(io::Error::other(ended.clone())),
        };
        let command = command.filter(|command| !command.is_empty());
        Closed::new(command.map(|command| command.to_owned().into()), &Arc::new(reason)).into()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("this program closed the supervised connection"),
            Self::Process { pid } => write!(f, "the process {pid} of QEMU has ended"),
            Self::Policy(_) => f.write_str("the policy allows no further attempt to connect"),
            Self::GaveUp { within, .. } => {
                write!(f, "gave up connecting after {} s", within.as_secs_f64())
            }
            Self::NoKeeper => f.write_str("the keeper of the supervised connection was dropped"),
        }
    }
}

impl StdError for Ended {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Policy(error) | Self::GaveUp { error, .. } => Some(&**error),
            _ => None,
        }
    }
}
