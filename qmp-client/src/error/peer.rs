//! What the peer does: it refuses, it breaks the protocol, it speaks of what is not known.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use qmp_types::{DecodeError, QmpError};

use crate::machine::Garbage;

/// The server refused a command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerError {
    /// The command.
    pub command: Cow<'static, str>,
    /// What the server said.
    pub error: QmpError,
}

impl ServerError {
    pub(crate) fn new(command: Cow<'static, str>, error: QmpError) -> Self {
        Self { command, error }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused `{}`", self.command)
    }
}

impl StdError for ServerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}

/// How the peer breaks the protocol.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The peer is a monitor for people.
    HumanMonitor {
        /// The banner that it greeted with.
        banner: Box<str>,
    },
    /// The first that the peer sent is nothing that a QMP server sends.
    NotQmp(Garbage),
    /// A message is larger than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A reply is nested deeper than the limit.
    TooDeep {
        /// The command.
        command: Cow<'static, str>,
        /// How deep it is.
        depth: usize,
        /// The limit.
        limit: usize,
    },
    /// The reply to a command is damaged.
    BadReply {
        /// The command.
        command: Cow<'static, str>,
        /// What came instead.
        garbage: Arc<Garbage>,
    },
    /// A later command was answered, this one was not, and garbage arrived in between.
    LostReply {
        /// The command.
        command: Cow<'static, str>,
        /// What came instead.
        garbage: Arc<Garbage>,
    },
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HumanMonitor { banner } => write!(
                f,
                "this is a monitor for people, it greets with `{banner}`; a QMP monitor is opened \
                 with `-qmp unix:PATH,server=on,wait=off`, or with `mode=control` in `-mon`"
            ),
            Self::NotQmp(_) => f.write_str("the peer is no QMP server"),
            Self::TooLarge { limit } => write!(f, "a message exceeds the limit of {limit} bytes"),
            Self::TooDeep { command, depth, limit } => {
                write!(f, "the reply to `{command}` is nested {depth} deep, the limit is {limit}")
            }
            Self::BadReply { command, .. } => write!(f, "the reply to `{command}` is damaged"),
            Self::LostReply { command, .. } => write!(f, "the reply to `{command}` was lost"),
        }
    }
}

impl StdError for ProtocolError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NotQmp(garbage) => Some(garbage),
            Self::BadReply { garbage, .. } | Self::LostReply { garbage, .. } => Some(&**garbage),
            _ => None,
        }
    }
}

/// What did not fit the schema.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Subject {
    /// The reply to this command.
    Reply(Cow<'static, str>),
    /// The data of this event.
    Event(Box<str>),
}

/// A reply or an event that does not fit the schema.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mismatch {
    /// What did not fit.
    pub subject: Subject,
    /// Which member of it, and why.
    pub error: DecodeError,
}

impl Mismatch {
    pub(crate) fn reply(command: Cow<'static, str>, error: DecodeError) -> Self {
        Self { subject: Subject::Reply(command), error }
    }

    pub(crate) fn event(name: &str, error: DecodeError) -> Self {
        Self { subject: Subject::Event(name.into()), error }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Reply(command) => write!(f, "the reply to `{command}` does not fit"),
            Subject::Event(name) => write!(f, "the data of event `{name}` does not fit"),
        }
    }
}

impl StdError for Mismatch {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}
