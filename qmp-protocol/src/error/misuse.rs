//! Errors of the caller.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use crate::printable::{Excerpt, NAME};

/// An error of the caller.
#[non_exhaustive]
pub enum Misuse {
    /// The arguments are not a JSON object.
    Arguments {
        /// The command.
        command: Cow<'static, str>,
        /// Why the arguments could not be written; `None` if they are JSON, but not an object.
        error: Option<serde_json::Error>,
    },
    /// Out-of-band execution was not negotiated: the server does not offer it, or the settings
    /// disable it.
    OobNotEnabled {
        /// The command.
        command: Cow<'static, str>,
    },
    /// File descriptors cannot travel over this connection, which is not a Unix socket.
    NoDescriptors {
        /// The command.
        command: Cow<'static, str>,
    },
    /// More than 16 file descriptors were to travel with one command. QEMU accepts no more.
    TooManyDescriptors {
        /// The command.
        command: Cow<'static, str>,
    },
    /// A keyboard has no key for this character.
    NoSuchKey {
        /// The character.
        character: char,
    },
    /// Code that decodes a reply or an event waits for something on the same connection. The thread that
    /// decodes is the one that reads.
    Nested,
    /// The connection leads to a QEMU that cannot open another monitor, which needs 11.1, and not
    /// through a proxy that could.
    OneMonitor,
}

impl Misuse {
    /// Returns the command that could not be sent.
    ///
    /// ```
    /// use qmp_protocol::Misuse;
    ///
    /// let misuse = Misuse::OobNotEnabled { command: "migrate-pause".into() };
    /// assert_eq!(misuse.command(), Some("migrate-pause"));
    /// ```
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::Arguments { command, .. }
            | Self::OobNotEnabled { command }
            | Self::NoDescriptors { command }
            | Self::TooManyDescriptors { command } => Some(command),
            Self::NoSuchKey { .. } | Self::Nested | Self::OneMonitor => None,
        }
    }
}

impl fmt::Debug for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "Misuse", self, format_args!(""))
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = Excerpt(self.command().unwrap_or_default(), NAME);
        match self {
            Self::Arguments { .. } => {
                write!(f, "cannot send `{command}`: its arguments are not a JSON object")
            }
            Self::OobNotEnabled { .. } => {
                write!(f, "cannot execute `{command}` out-of-band: `oob` was not negotiated")
            }
            Self::NoDescriptors { .. } => write!(
                f,
                "cannot send file descriptors with `{command}`: the connection is not a Unix socket"
            ),
            Self::TooManyDescriptors { .. } => {
                write!(f, "cannot send more than 16 file descriptors with `{command}`")
            }
            Self::NoSuchKey { character } => {
                write!(f, "cannot type {character:?}: the keyboard has no key for it")
            }
            Self::Nested => f.write_str(
                "cannot wait on a connection while a reply or an event of it is being decoded; wait \
                 after the value has been returned",
            ),
            Self::OneMonitor => f.write_str(
                "cannot open another monitor: this QEMU has no `monitor-qmp`, and the connection does \
                 not lead through a proxy; launch it with `Launch::shared`, or connect with \
                 `proxy::connect_shared`",
            ),
        }
    }
}

impl StdError for Misuse {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Arguments { error, .. } => error.as_ref().map(|error| error as _),
            _ => None,
        }
    }
}
