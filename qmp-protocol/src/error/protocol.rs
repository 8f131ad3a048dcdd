//! Violations of the protocol.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::garbage::Garbage;
use crate::printable::{Excerpt, NAME};
use crate::service::Service;

/// A violation of the protocol by the peer.
#[derive(Clone)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The peer is a human monitor (HMP).
    HumanMonitor {
        /// The banner it greeted with.
        banner: Box<str>,
    },
    /// The first bytes from the peer are not a QMP greeting.
    NotQmp(Garbage),
    /// The peer is a server of another protocol.
    OtherService {
        /// The protocol.
        service: Service,
        /// The first bytes from the peer.
        garbage: Garbage,
    },
    /// The peer is not a guest agent: it sends text, or sends back what it receives, as a terminal
    /// does, or it greets as a monitor does.
    NotAgent(Garbage),
    /// A message is larger than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A reply is nested deeper than the limit.
    TooDeep {
        /// The command.
        command: Cow<'static, str>,
        /// The depth of the reply, in brackets.
        depth: usize,
        /// The limit, in brackets.
        limit: usize,
    },
    /// A reply was dropped: together with the replies that have arrived and not been received, it
    /// exceeds the limit.
    NotReceived {
        /// The command.
        command: Cow<'static, str>,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The reply to a command is damaged.
    BadReply {
        /// The command.
        command: Cow<'static, str>,
        /// The bytes that arrived instead.
        garbage: Arc<Garbage>,
    },
    /// A later command was answered, this one was not, and garbage arrived in between.
    LostReply {
        /// The command.
        command: Cow<'static, str>,
        /// The bytes that arrived instead.
        garbage: Arc<Garbage>,
    },
}

impl ProtocolError {
    /// Returns the command whose reply is affected; `None` if the whole connection is.
    ///
    /// ```
    /// use qmp_protocol::ProtocolError;
    ///
    /// let error = ProtocolError::TooDeep { command: "qom-get".into(), depth: 2000, limit: 1024 };
    /// assert_eq!(error.command(), Some("qom-get"));
    /// // This one concerns the whole connection.
    /// assert_eq!(ProtocolError::TooLarge { limit: 48 << 20 }.command(), None);
    /// ```
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::BadReply { command, .. }
            | Self::LostReply { command, .. }
            | Self::NotReceived { command, .. }
            | Self::TooDeep { command, .. } => Some(command),
            Self::HumanMonitor { .. }
            | Self::NotQmp(_)
            | Self::OtherService { .. }
            | Self::NotAgent(_)
            | Self::TooLarge { .. } => None,
        }
    }
}

impl fmt::Debug for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "ProtocolError", self, format_args!(""))
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = Excerpt(self.command().unwrap_or_default(), NAME);
        match self {
            Self::HumanMonitor { banner } => write!(
                f,
                "the peer is a human monitor (it greeted with `{}`); open a QMP monitor with \
                 `-qmp unix:PATH,server=on,wait=off`",
                Excerpt(&**banner, 700)
            ),
            Self::NotQmp(_) => f.write_str("the peer is not a QMP server"),
            Self::OtherService { service, .. } => write!(
                f,
                "the peer is {service}, not a QMP server; open a QMP monitor with \
                 `-qmp unix:PATH,server=on,wait=off`"
            ),
            Self::NotAgent(_) => f.write_str("the peer is not a guest agent"),
            Self::TooLarge { limit } => write!(
                f,
                "a message exceeds the limit of {limit} bytes (see the option `message_size`)"
            ),
            Self::TooDeep { depth, limit, .. } => write!(
                f,
                "the reply to `{command}` is nested {depth} levels deep, and the limit is {limit} \
                 (see the option `depth`)"
            ),
            Self::NotReceived { limit, .. } => write!(
                f,
                "the reply to `{command}` was dropped: together with replies that have not been \
                 received, it exceeds the limit of {limit} bytes (see the option `message_size`)"
            ),
            Self::BadReply { .. } => write!(f, "the reply to `{command}` is damaged"),
            Self::LostReply { .. } => write!(f, "the reply to `{command}` was lost"),
        }
    }
}

impl StdError for ProtocolError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NotQmp(garbage)
            | Self::OtherService { garbage, .. }
            | Self::NotAgent(garbage) => Some(garbage),
            Self::BadReply { garbage, .. } | Self::LostReply { garbage, .. } => Some(&**garbage),
            _ => None,
        }
    }
}
