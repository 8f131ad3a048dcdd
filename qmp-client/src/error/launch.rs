//! Programs that did not open their monitor.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitStatus;

use qmp_protocol::{Excerpt, Timeout};

/// A program that was expected to open a monitor and did not.
#[non_exhaustive]
pub enum LaunchError {
    /// The program did not start.
    #[non_exhaustive]
    NotStarted {
        /// The program.
        program: Box<str>,
        /// The operating system's error.
        error: io::Error,
    },
    /// The program ended before its monitor was open.
    #[non_exhaustive]
    Exited {
        /// The program.
        program: Box<str>,
        /// Its exit status; `None` if other code of this process has waited for it.
        status: Option<ExitStatus>,
        /// The last lines that it wrote to its standard error; empty if that was not captured.
        stderr: Box<str>,
    },
    /// The program is running, but did not open its monitor in time.
    #[non_exhaustive]
    NotReady {
        /// The program.
        program: Box<str>,
        /// The last lines that it wrote to its standard error; empty if that was not captured.
        stderr: Box<str>,
        /// The deadline that passed.
        timeout: Timeout,
    },
}

impl LaunchError {
    /// Creates the error of a program that did not start.
    ///
    /// ```
    /// use std::io;
    ///
    /// use qmp_client::LaunchError;
    ///
    /// let error = LaunchError::not_started("qemu", io::ErrorKind::NotFound.into());
    /// assert!(error.status().is_none());
    /// ```
    pub fn not_started(program: impl Into<Box<str>>, error: io::Error) -> Self {
        Self::NotStarted { program: program.into(), error }
    }

    /// Creates the error of a program that ended before its monitor was open.
    ///
    /// ```
    /// use qmp_client::LaunchError;
    ///
    /// let error = LaunchError::exited("qemu", None, "qemu: unknown machine type");
    /// assert_eq!(error.stderr(), "qemu: unknown machine type");
    /// ```
    pub fn exited(
        program: impl Into<Box<str>>,
        status: Option<ExitStatus>,
        stderr: impl Into<Box<str>>,
    ) -> Self {
        Self::Exited { program: program.into(), status, stderr: stderr.into() }
    }

    /// Creates the error of a program that did not open its monitor in time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::{LaunchError, Timeout, WaitedFor};
    ///
    /// let timeout = Timeout::new(WaitedFor::Greeting, Duration::from_secs(10));
    /// let error = LaunchError::not_ready("qemu", "", timeout);
    /// assert_eq!(error.stderr(), "");
    /// ```
    pub fn not_ready(
        program: impl Into<Box<str>>,
        stderr: impl Into<Box<str>>,
        timeout: Timeout,
    ) -> Self {
        Self::NotReady { program: program.into(), stderr: stderr.into(), timeout }
    }

    /// Returns the last lines that the program wrote to its standard error.
    ///
    /// ```
    /// # fn example(error: &qmp_client::LaunchError) {
    /// for line in error.stderr().lines() {
    ///     eprintln!("qemu: {line}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn stderr(&self) -> &str {
        match self {
            Self::NotStarted { .. } => "",
            Self::Exited { stderr, .. } | Self::NotReady { stderr, .. } => stderr,
        }
    }

    /// Returns the exit status of the program, if it ended and the status is known.
    ///
    /// ```
    /// # fn example(error: &qmp_client::LaunchError) {
    /// if let Some(status) = error.status() {
    ///     eprintln!("QEMU ended with {status}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        match self {
            Self::Exited { status, .. } => *status,
            _ => None,
        }
    }
}

impl fmt::Debug for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "LaunchError", self, format_args!(""))
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotStarted { program, .. }
        | Self::Exited { program, .. }
        | Self::NotReady { program, .. }) = self;
        let program = Excerpt(&**program, 300);
        match self {
            Self::NotStarted { .. } => return write!(f, "cannot start {program}"),
            Self::Exited { status, .. } => {
                write!(f, "{program} ended before its monitor was open")?;
                if let Some(status) = status {
                    write!(f, " ({status})")?;
                }
            }
            Self::NotReady { .. } => {
                write!(f, "{program} is running but did not open its monitor in time")?;
            }
        }
        match self.stderr().trim() {
            "" => {}
            // Its last lines say most.
            stderr => write!(f, "; it wrote: {}", Excerpt(last(stderr, 450), 500))?,
        }
        match self.status() {
            Some(status) if status.success() => {
                f.write_str("; it must stay in the foreground, without `-daemonize`")
            }
            _ => Ok(()),
        }
    }
}

/// Returns the end of a text, at most `longest` bytes of it.
fn last(text: &str, longest: usize) -> &str {
    let mut start = text.len().saturating_sub(longest);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

impl StdError for LaunchError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NotStarted { error, .. } => Some(error),
            Self::Exited { .. } => None,
            Self::NotReady { timeout, .. } => Some(timeout),
        }
    }
}
