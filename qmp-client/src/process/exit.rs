//! How a process ended.

use std::fmt;
use std::process::ExitStatus;

/// How a process ended, as far as that is known.
///
/// It is not if somebody else took the status away: a program that waits for whatever child ends,
/// as the first process of a container does, or that ignores `SIGCHLD`. The process has ended all
/// the same, which is no error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exit {
    status: Option<ExitStatus>,
}

impl Exit {
    pub(super) const UNKNOWN: Self = Self { status: None };

    /// What the system reported; nothing if somebody else was told.
    #[must_use]
    pub fn status(self) -> Option<ExitStatus> {
        self.status
    }

    /// Whether it is known to have ended well.
    #[must_use]
    pub fn success(self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The number that it ended with; nothing if a signal ended it, or if it is not known.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { status: Some(status) }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => status.fmt(f),
            None => f.write_str("ended, exit status unknown"),
        }
    }
}
