//! What the caller does wrong.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// What the caller did wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Misuse {
    /// The arguments cannot be written as a JSON object.
    Arguments {
        /// The command.
        command: Cow<'static, str>,
        /// Why not; nothing when they are JSON, but no object.
        error: Option<serde_json::Error>,
    },
    /// Out-of-band execution was not negotiated: the server does not offer it, or the options
    /// switch it off.
    OobNotEnabled {
        /// The command.
        command: Cow<'static, str>,
    },
    /// Descriptors cannot travel over this connection: it is no Unix socket.
    NoDescriptors {
        /// The command.
        command: Cow<'static, str>,
    },
    /// More descriptors than QEMU takes with one command: 16.
    TooManyDescriptors {
        /// The command.
        command: Cow<'static, str>,
    },
    /// The ticket belongs to another client.
    ForeignTicket,
    /// A keyboard does not have this character.
    NoSuchKey {
        /// The character.
        character: char,
    },
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments { command, .. } => {
                write!(f, "the arguments of `{command}` are no JSON object")
            }
            Self::OobNotEnabled { command } => {
                write!(f, "`{command}` cannot be executed out-of-band: `oob` is not negotiated")
            }
            Self::NoDescriptors { command } => write!(
                f,
                "no descriptor can be sent with `{command}`: the connection is no Unix socket"
            ),
            Self::TooManyDescriptors { command } => {
                write!(f, "more than 16 descriptors cannot be sent with `{command}`")
            }
            Self::ForeignTicket => f.write_str("the ticket belongs to another client"),
            Self::NoSuchKey { character } => write!(f, "there is no key for {character:?}"),
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
