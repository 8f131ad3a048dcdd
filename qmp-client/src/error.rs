//! What can go wrong, by whose fault it is.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use qmp_types::{DecodeError, ErrorClass, QmpError};

use crate::machine::Garbage;

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
    /// The program that was to open the monitor ended before it did.
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
                Misuse::ForeignTicket => None,
            },
            Self::Timeout(timeout) => match &timeout.waited_for {
                WaitedFor::Reply(command) => Some(command),
                _ => None,
            },
            Self::Closed(closed) => closed.command.as_deref(),
            _ => None,
        }
    }

    /// Whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
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
            Self::Server(error) => Some(&error.error),
            Self::Protocol(error) => error.source(),
            Self::Decode(error) => Some(&error.error),
            Self::Misuse(error) => error.source(),
            Self::Transport(error) => Some(&error.error),
            Self::Timeout(error) => error.cause.as_ref().map(|cause| &**cause as _),
            Self::Closed(error) => Some(&*error.reason),
            Self::Lagged(_) => None,
            Self::Launch(error) => error.error.as_ref().map(|error| error as _),
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

/// The operating system failed us.
#[derive(Debug)]
#[non_exhaustive]
pub struct TransportError {
    /// What was tried, such as "cannot connect to unix:/run/vm.sock".
    pub attempt: Box<str>,
    /// What the operating system said.
    pub error: io::Error,
}

impl TransportError {
    pub(crate) fn new(attempt: impl Into<Box<str>>, error: io::Error) -> Self {
        Self { attempt: attempt.into(), error }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attempt)
    }
}

/// What a deadline was set for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WaitedFor {
    /// The connection to this address.
    Connection(Box<str>),
    /// The greeting, and the negotiation that follows it.
    Greeting,
    /// The reply to this command.
    Reply(Cow<'static, str>),
    /// An event; with its name if only one would do.
    Event(Option<&'static str>),
    /// The end of the program that was launched.
    Exit,
}

/// A deadline passed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Timeout {
    /// What was waited for.
    pub waited_for: WaitedFor,
    /// How long.
    pub within: Duration,
    /// What may have been the cause: the last failed attempt, or garbage that came instead.
    pub cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Timeout {
    pub(crate) fn new(waited_for: WaitedFor, within: Duration) -> Self {
        Self { waited_for, within, cause: None }
    }

    pub(crate) fn because(self, cause: Option<impl Into<Box<dyn StdError + Send + Sync>>>) -> Self {
        Self { cause: cause.map(Into::into), ..self }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = self.within;
        match &self.waited_for {
            WaitedFor::Connection(address) => {
                write!(f, "no connection to {address} within {within:?}")
            }
            WaitedFor::Greeting => write!(
                f,
                "no greeting within {within:?}; a monitor serves one client at a time, so another \
                 one may be connected"
            ),
            WaitedFor::Reply(command) => write!(f, "no reply to `{command}` within {within:?}"),
            WaitedFor::Event(Some(name)) => write!(f, "no such event `{name}` within {within:?}"),
            WaitedFor::Event(None) => write!(f, "no event within {within:?}"),
            WaitedFor::Exit => write!(f, "the program did not end within {within:?}"),
        }
    }
}

/// The connection has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// The command that was not answered; nothing if none was waiting.
    pub command: Option<Cow<'static, str>>,
    /// Why the connection ended.
    pub reason: Arc<End>,
}

impl Closed {
    pub(crate) fn new(command: Option<Cow<'static, str>>, reason: &Arc<End>) -> Self {
        Self { command, reason: Arc::clone(reason) }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "the connection ended before the reply to `{command}`"),
            None => f.write_str("the connection has ended"),
        }
    }
}

/// Why a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// The peer closed it.
    Eof,
    /// The peer closed it in the middle of a message.
    Truncated(Garbage),
    /// The operating system reported an error.
    Transport(io::Error),
    /// The peer broke the protocol so that nothing it sends can be understood any more.
    Protocol(ProtocolError),
    /// Greeting and negotiation were not through in time.
    Handshake(Timeout),
    /// The server refused the negotiation.
    Negotiation(QmpError),
    /// This side closed it.
    Local,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("the peer closed it"),
            Self::Truncated(_) => f.write_str("the peer closed it in the middle of a message"),
            Self::Transport(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Handshake(timeout) => timeout.fmt(f),
            Self::Negotiation(_) => f.write_str("the server refused the negotiation"),
            Self::Local => f.write_str("it was closed on this side"),
        }
    }
}

impl StdError for End {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Truncated(garbage) => Some(garbage),
            Self::Transport(error) => error.source(),
            Self::Protocol(error) => error.source(),
            Self::Negotiation(error) => Some(error),
            Self::Handshake(timeout) => timeout.cause.as_ref().map(|cause| &**cause as _),
            Self::Eof | Self::Local => None,
        }
    }
}

/// A program that ended before it opened its monitor.
#[derive(Debug)]
#[non_exhaustive]
pub struct LaunchError {
    /// The program.
    pub program: Box<str>,
    /// How it ended; nothing if it did not start, or if it closed its monitor but runs on.
    pub status: Option<std::process::ExitStatus>,
    /// The last lines that it wrote to its standard error.
    pub stderr: Box<str>,
    /// Why it did not start.
    pub error: Option<io::Error>,
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = &self.program;
        match (&self.error, &self.status) {
            (Some(_), _) => return write!(f, "cannot start {program}"),
            (None, Some(status)) => write!(f, "{program} ended before its monitor was open")
                .and_then(|()| write!(f, " ({status})"))?,
            (None, None) => write!(f, "{program} closed its monitor")?,
        }
        match self.stderr.trim() {
            "" => Ok(()),
            stderr => write!(f, "; it said: {stderr}"),
        }
    }
}
