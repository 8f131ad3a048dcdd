//! Deadlines that have passed.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::printable::{Excerpt, NAME, Within};

/// How many bytes of an address or of a state an error shows.
const MOST: usize = 800;

/// The subject of a deadline.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WaitedFor {
    /// The connection to this address.
    Connection(Box<str>),
    /// The greeting.
    Greeting,
    /// The first answer of a guest agent.
    Agent,
    /// The reply to this command.
    Reply(Cow<'static, str>),
    /// An event.
    Event {
        /// Its name; `None` if any of several events would do.
        name: Option<&'static str>,
        /// The command that the event was to follow, if it was executed in the same call.
        command: Option<Cow<'static, str>>,
    },
    /// A state that is described here, such as "the program to exit".
    State(Cow<'static, str>),
}

/// A deadline that has passed.
#[non_exhaustive]
pub struct Timeout {
    /// The subject of the deadline.
    pub waited_for: WaitedFor,
    /// The time from the start of the wait to the deadline.
    pub within: Duration,
    /// The likely cause, if one is known: the last failed attempt, or garbage that arrived instead.
    pub cause: Option<Box<dyn StdError + Send + Sync>>,
    /// Whether a command had been sent by then, so that it may have been executed, or may still be.
    /// False if the command was queued, or if no command was waiting.
    pub sent: bool,
}

impl Timeout {
    /// Creates a timeout without a known cause. If it is that of a command, that counts as sent.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_protocol::{Timeout, WaitedFor};
    ///
    /// let timeout = Timeout::new(WaitedFor::Reply("query-block".into()), Duration::from_secs(2));
    /// assert_eq!(timeout.to_string(), "timed out after 2 s waiting for the reply to `query-block`");
    /// ```
    #[must_use]
    pub fn new(waited_for: WaitedFor, within: Duration) -> Self {
        let sent =
            matches!(waited_for, WaitedFor::Reply(_) | WaitedFor::Event { command: Some(_), .. });
        Self { waited_for, within, cause: None, sent }
    }

    /// Adds the likely cause.
    ///
    /// ```
    /// use std::error::Error;
    /// use std::time::Duration;
    ///
    /// use qmp_protocol::{Timeout, WaitedFor};
    ///
    /// let timeout = Timeout::new(WaitedFor::Greeting, Duration::from_secs(2))
    ///     .because(Some("the last attempt was refused"));
    /// let cause = timeout.source().map(ToString::to_string);
    /// assert_eq!(cause.as_deref(), Some("the last attempt was refused"));
    /// ```
    #[must_use]
    pub fn because(self, cause: Option<impl Into<Box<dyn StdError + Send + Sync>>>) -> Self {
        Self { cause: cause.map(Into::into), ..self }
    }

    /// Returns the command that was not answered, or whose event did not arrive.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_protocol::{Timeout, WaitedFor};
    ///
    /// let timeout = |waited_for| Timeout::new(waited_for, Duration::from_secs(2));
    /// assert_eq!(timeout(WaitedFor::Reply("quit".into())).command(), Some("quit"));
    /// assert_eq!(timeout(WaitedFor::Greeting).command(), None);
    /// ```
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match &self.waited_for {
            WaitedFor::Reply(command) => Some(command),
            WaitedFor::Event { command, .. } => command.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = if self.sent { " (sent)" } else { "" };
        qmp_types::debug_error(f, "Timeout", self, format_args!("{sent}"))
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out after {} waiting for ", Within(self.within))?;
        match &self.waited_for {
            WaitedFor::Connection(address) => {
                write!(f, "the connection to {}", Excerpt(&**address, MOST))
            }
            WaitedFor::Greeting if self.cause.is_some() => f.write_str("the greeting"),
            WaitedFor::Greeting => f.write_str(
                "the greeting; another client may be connected, since most monitors serve one \
                 client at a time",
            ),
            WaitedFor::Agent if self.cause.is_some() => f.write_str("the guest agent"),
            WaitedFor::Agent => f.write_str(
                "the guest agent; it may not be running, or another client may be connected",
            ),
            WaitedFor::Reply(command) => write!(f, "the reply to `{}`", Excerpt(&**command, NAME)),
            WaitedFor::Event { name, command } => {
                f.write_str(name.unwrap_or("an event"))?;
                match command {
                    Some(command) => write!(f, " after `{}`", Excerpt(&**command, NAME)),
                    None => Ok(()),
                }
            }
            WaitedFor::State(state) => Excerpt(&**state, MOST).fmt(f),
        }
    }
}

impl StdError for Timeout {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caller that waits for several things must be told which one did not happen.
    #[test]
    fn a_timeout_names_what_did_not_happen() {
        let timeout = |name, command: Option<&'static str>| {
            let waited_for = WaitedFor::Event { name, command: command.map(Cow::Borrowed) };
            Timeout::new(waited_for, Duration::from_secs(2))
        };
        assert_eq!(timeout(None, None).to_string(), "timed out after 2 s waiting for an event");
        assert_eq!(timeout(Some("STOP"), None).to_string(), "timed out after 2 s waiting for STOP");
        let unplug = timeout(Some("DEVICE_DELETED"), Some("device_del"));
        assert_eq!(
            unplug.to_string(),
            "timed out after 2 s waiting for DEVICE_DELETED after `device_del`"
        );
        assert_eq!(unplug.command(), Some("device_del"));
    }
}
