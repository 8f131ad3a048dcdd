//! Connections that have ended.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::end::End;
use crate::printable::{Excerpt, NAME};

/// A connection that has ended.
#[derive(Clone)]
#[non_exhaustive]
pub struct Closed {
    /// The command that was not answered; `None` if no command was waiting.
    pub command: Option<Cow<'static, str>>,
    /// The reason why the connection ended.
    pub reason: Arc<End>,
    /// Whether the command has been sent, so that it may have been executed; false if no command was
    /// waiting.
    pub sent: bool,
    /// Whether the command has certainly not been executed, because it has not been sent, or not to
    /// its end. If neither this nor [`sent`](Self::sent) is true, the connection ended while it was
    /// being sent.
    pub not_executed: bool,
}

impl Closed {
    /// Creates the error of a command that has not been sent, or of the connection as a whole.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use qmp_protocol::{Closed, End};
    ///
    /// let closed = Closed::new(Some("stop".into()), &Arc::new(End::Eof));
    /// assert_eq!(closed.to_string(), "the connection ended before the reply to `stop`");
    /// assert!(closed.not_executed && closed.by_peer());
    /// ```
    #[must_use]
    pub fn new(command: Option<Cow<'static, str>>, reason: &Arc<End>) -> Self {
        let not_executed = command.is_some();
        Self { command, reason: Arc::clone(reason), sent: false, not_executed }
    }

    /// Returns whether the peer closed the connection, between two messages and without an error.
    #[must_use]
    pub fn by_peer(&self) -> bool {
        matches!(*self.reason, End::Eof)
    }
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.sent, self.not_executed) {
            (true, _) => " (sent)",
            (_, true) => " (not executed)",
            _ => "",
        };
        qmp_types::debug_error(f, "Closed", self, format_args!("{state}"))
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => {
                let command = Excerpt(&**command, NAME);
                write!(f, "the connection ended before the reply to `{command}`")
            }
            None => f.write_str("the connection has ended"),
        }
    }
}

impl StdError for Closed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.reason)
    }
}
