//! Errors of the operating system.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use qmp_protocol::Excerpt;

/// An error of the operating system.
///
/// Programs can create one from errors of their own system calls, so that [`Error`](crate::Error)
/// covers everything they do. An [`io::Error`] alone does not convert, since it does not say what
/// was attempted:
///
/// ```no_run
/// use std::fs::File;
///
/// use qmp_client::TransportError;
///
/// # fn example() -> qmp_client::Result<()> {
/// let path = "disk.qcow2";
/// let image = File::open(path)
///     .map_err(|error| TransportError::new(format!("cannot open {path}"), error))?;
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub struct TransportError {
    /// The operation that was attempted, such as "cannot connect to unix:/run/vm.sock".
    pub attempt: Box<str>,
    /// The operating system's error.
    pub error: io::Error,
}

impl TransportError {
    /// Creates an error from what was attempted, such as "cannot open disk.qcow2", and the
    /// operating system's error.
    ///
    /// ```
    /// use std::io;
    ///
    /// use qmp_client::{Error, TransportError};
    ///
    /// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    /// let error = Error::from(TransportError::new("cannot connect to the tunnel", refused));
    /// assert!(error.report().starts_with("cannot connect to the tunnel: "));
    /// ```
    pub fn new(attempt: impl Into<Box<str>>, error: io::Error) -> Self {
        Self { attempt: attempt.into(), error }
    }
}

impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "TransportError", self, format_args!(""))
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Excerpt(&*self.attempt, 900).fmt(f)
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}
