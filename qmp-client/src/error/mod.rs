//! What can go wrong, by whose fault it is.

mod caller;
mod peer;
mod world;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use qmp_types::{ErrorClass, QmpError};

use crate::address::AddressError;

pub use caller::Misuse;
pub use peer::{Mismatch, ProtocolError, ServerError, Subject};
pub use world::{Closed, End, LaunchError, Timeout, TransportError, WaitedFor};

/// What went wrong, by whose fault it is.
///
/// [`Display`](fmt::Display) says its own layer, [`source`](StdError::source) gives the next one;
/// [`report`](Self::report) prints them all.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The server refused the command.
    Server(Box<ServerError>),
    /// The peer does not speak the protocol.
    Protocol(Box<ProtocolError>),
    /// The peer speaks it, but what it sent is not what the schema says: it is older or newer.
    Decode(Box<Mismatch>),
    /// The caller asked for what cannot be.
    Misuse(Misuse),
    /// The operating system failed us.
    Transport(Box<TransportError>),
    /// A deadline passed.
    Timeout(Box<Timeout>),
    /// The connection has ended.
    Closed(Box<Closed>),
    /// So many events were dropped, since nobody took them in time.
    Lagged(u64),
    /// The program that was to open the monitor did not: it did not start, ended, or took too long.
    Launch(Box<LaunchError>),
}

/// The result of most of what a client does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The server's own error, if it is one.
    #[must_use]
    pub fn server(&self) -> Option<&QmpError> {
        match self {
            Self::Server(server) => Some(&server.error),
            _ => None,
        }
    }

    /// The class of the server's error, if it is one.
    #[must_use]
    pub fn class(&self) -> Option<&ErrorClass> {
        self.server().map(|error| &error.class)
    }

    /// The command that failed, by its name on the wire.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::Server(server) => Some(&server.command),
            Self::Protocol(error) => match &**error {
                ProtocolError::BadReply { command, .. }
                | ProtocolError::LostReply { command, .. }
                | ProtocolError::TooDeep { command, .. } => Some(command),
                _ => None,
            },
            Self::Decode(mismatch) => match &mismatch.subject {
                Subject::Reply(command) => Some(command),
                Subject::Event(_) => None,
            },
            Self::Misuse(misuse) => match misuse {
                Misuse::Arguments { command, .. }
                | Misuse::OobNotEnabled { command }
                | Misuse::NoDescriptors { command }
                | Misuse::TooManyDescriptors { command } => Some(command),
                Misuse::ForeignTicket | Misuse::NoSuchKey { .. } => None,
            },
            Self::Timeout(timeout) => match &timeout.waited_for {
                WaitedFor::Reply(command) => Some(command),
                WaitedFor::Event { command, .. } => command.as_deref(),
                _ => None,
            },
            Self::Closed(closed) => closed.command.as_deref(),
            _ => None,
        }
    }

    /// Whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout(_) => true,
            Self::Launch(error) => error.timeout.is_some(),
            _ => false,
        }
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Whether the server does not have the command, or not in its present state.
    #[must_use]
    pub fn is_command_not_found(&self) -> bool {
        self.class() == Some(&ErrorClass::CommandNotFound)
    }

    /// The error and all that led to it, in one line.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            text = format!("{text}: {error}");
            next = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Misuse(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::Timeout(error) => error.fmt(f),
            Self::Closed(error) => error.fmt(f),
            Self::Lagged(count) => write!(f, "{count} events were dropped, nobody took them"),
            Self::Launch(error) => error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Server(error) => error.source(),
            Self::Protocol(error) => error.source(),
            Self::Decode(error) => error.source(),
            Self::Misuse(error) => error.source(),
            Self::Transport(error) => error.source(),
            Self::Timeout(error) => error.source(),
            Self::Closed(error) => error.source(),
            Self::Lagged(_) => None,
            Self::Launch(error) => error.source(),
        }
    }
}

macro_rules! boxed_into_error {
    ($($variant:ident($payload:ty)),* $(,)?) => {$(
        impl From<$payload> for Error {
            fn from(error: $payload) -> Self {
                Self::$variant(Box::new(error))
            }
        }
    )*};
}

boxed_into_error!(
    Server(ServerError),
    Protocol(ProtocolError),
    Decode(Mismatch),
    Transport(TransportError),
    Timeout(Timeout),
    Closed(Closed),
    Launch(LaunchError),
);

impl From<Misuse> for Error {
    fn from(error: Misuse) -> Self {
        Self::Misuse(error)
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        let error = io::Error::new(io::ErrorKind::InvalidInput, error);
        TransportError::new("cannot connect", error).into()
    }
}

/// During the handshake, the reason for the end is the error itself.
pub(crate) fn handshake_error(end: Option<Arc<End>>) -> Error {
    match Arc::try_unwrap(end.unwrap_or_else(|| Arc::new(End::Local))) {
        Ok(End::Protocol(error)) => error.into(),
        Ok(End::Handshake(timeout)) => timeout.into(),
        Ok(End::Negotiation(error)) => ServerError::new("qmp_capabilities".into(), error).into(),
        Ok(end) => Closed::new(None, &Arc::new(end)).into(),
        Err(end) => Closed::new(None, &end).into(),
    }
}
