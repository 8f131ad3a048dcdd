//! Exit statuses.

use std::fmt;
use std::process::ExitStatus;

/// The end of a process, with its exit status as far as that is known.
///
/// The status is unknown if it went elsewhere: to code that waits for all children, as the first
/// process of a container does, or to no one because the program ignores `SIGCHLD`. The process has
/// ended all the same, which is not an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exit {
    status: Option<ExitStatus>,
}

impl Exit {
    pub(super) const UNKNOWN: Self = Self { status: None };

    /// Returns the exit status; `None` if it is unknown.
    ///
    /// ```
    /// # fn example(exit: qmp_vm::Exit) {
    /// println!("{:?}", exit.status());
    /// # }
    /// ```
    #[must_use]
    pub fn status(self) -> Option<ExitStatus> {
        self.status
    }

    /// Returns whether the process is known to have succeeded.
    ///
    /// ```
    /// # fn example(exit: qmp_vm::Exit) {
    /// if !exit.success() {
    ///     eprintln!("QEMU: {exit:?}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn success(self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Returns the exit code; `None` if a signal ended the process, or if it is unknown.
    ///
    /// ```
    /// # fn example(exit: qmp_vm::Exit) {
    /// println!("{:?}", exit.code());
    /// # }
    /// ```
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
            None => f.write_str("exited, status unknown"),
        }
    }
}
