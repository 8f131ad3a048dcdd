//! Error replies.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use qmp_types::{ErrorClass, QmpError};

use crate::printable::{Excerpt, NAME, Printable};

/// An error reply of the server to a command.
///
/// [`Display`](fmt::Display) shows the command and the server's description, such as
/// ``device_add failed: Bus 'pcie.0' does not support hotplugging``. The class and everything else
/// are in [`error`](Self::error).
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerError {
    /// The command.
    pub command: Cow<'static, str>,
    /// The error, as the server reported it.
    pub error: QmpError,
}

impl ServerError {
    /// Creates the error of a command.
    ///
    /// ```
    /// use qmp_protocol::ServerError;
    /// use qmp_types::{ErrorClass, QmpError};
    ///
    /// let error = QmpError::new(ErrorClass::GenericError, "Bus 'pcie.0' does not support hotplugging");
    /// let error = ServerError::new("device_add".into(), error);
    /// assert_eq!(
    ///     error.to_string(),
    ///     "device_add failed: Bus 'pcie.0' does not support hotplugging"
    /// );
    /// ```
    #[must_use]
    pub fn new(command: Cow<'static, str>, error: QmpError) -> Self {
        Self { command, error }
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error.class {
            ErrorClass::GenericError => {
                qmp_types::debug_error(f, "ServerError", self, format_args!(""))
            }
            class => {
                let class = class.as_str();
                qmp_types::debug_error(f, "ServerError", self, format_args!(" ({class})"))
            }
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", Excerpt(&*self.command, NAME), Printable(&self.error.desc))
    }
}

impl StdError for ServerError {}
