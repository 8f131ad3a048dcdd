//! The client's errors: the protocol's, and those of the world around it.

mod launch;
mod transport;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use qmp_protocol::{
    Closed, End, Excerpt, Mismatch, Misuse, ProtocolError, ServerError, Subject, Timeout,
};
use qmp_types::{ErrorClass, QmpError};

use crate::address::AddressError;

pub use launch::LaunchError;
pub use transport::TransportError;

/// The longest report, in bytes.
const LONGEST_REPORT: usize = 1020;

/// The failure of an operation, by whose fault it is.
///
/// [`Display`](fmt::Display) describes its own layer, [`source`](StdError::source) gives the next
/// one, and [`report`](Self::report) puts all of them on one line. So does [`Debug`](fmt::Debug), with
/// the name of the error's type, the server's class of the error, and whether a command had been sent:
/// `main` may return an error as it is.
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error.
    Server(Box<ServerError>),
    /// The peer violated the protocol.
    Protocol(Box<ProtocolError>),
    /// A reply or an event does not match the schema, which is older or newer than the peer.
    Decode(Box<Mismatch>),
    /// The caller made a mistake.
    Misuse(Misuse),
    /// The operating system reported an error.
    Transport(Box<TransportError>),
    /// A deadline passed.
    Timeout(Box<Timeout>),
    /// The connection has ended.
    Closed(Box<Closed>),
    /// This many events were dropped because they were not taken in time.
    Lagged(u64),
    /// The program that was to open the monitor did not start, ended, or took too long.
    Launch(Box<LaunchError>),
}

/// The result of most operations of a client.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns the server's own error, if it is one.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::DeviceDel;
    ///
    /// if let Err(error) = vm.execute(DeviceDel::new("d0")) {
    ///     match error.server() {
    ///         Some(refused) => println!("{}: {}", refused.class, refused.desc),
    ///         None => println!("{}", error.report()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn server(&self) -> Option<&QmpError> {
        match self {
            Self::Server(server) => Some(&server.error),
            _ => None,
        }
    }

    /// Returns the class of the server's error, if it is one.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::ErrorClass;
    /// use qmp_client::qmp::commands::DeviceDel;
    ///
    /// let deleted = vm.execute(DeviceDel::new("d0"));
    /// match deleted {
    ///     Err(error) if error.class() == Some(&ErrorClass::DeviceNotFound) => println!("gone"),
    ///     other => drop(other?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn class(&self) -> Option<&ErrorClass> {
        self.server().map(|error| &error.class)
    }

    /// Returns the command that failed, by its name on the wire.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::DeviceDel;
    ///
    /// if let Err(error) = vm.execute(DeviceDel::new("d0")) {
    ///     println!("{} failed", error.command().unwrap_or("the connection"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(&error.command),
            Self::Protocol(error) => error.command(),
            Self::Decode(mismatch) => match &mismatch.subject {
                Subject::Reply(command) => Some(command),
                _ => None,
            },
            Self::Misuse(misuse) => misuse.command(),
            Self::Timeout(timeout) => timeout.command(),
            Self::Closed(closed) => closed.command.as_deref(),
            _ => None,
        }
    }

    /// Returns whether a deadline passed.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{QueryStatus, Stop};
    ///
    /// match vm.execute(Stop::new()) {
    ///     // QEMU may have stopped the guest: ask.
    ///     Err(error) if error.is_timeout() => println!("{}", vm.execute(QueryStatus::new())?.status),
    ///     other => drop(other?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout(_) => true,
            Self::Launch(error) => matches!(**error, LaunchError::NotReady { .. }),
            _ => false,
        }
    }

    /// Returns whether the connection has ended.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::Quit;
    ///
    /// match vm.execute(Quit::new()) {
    ///     Err(error) if error.is_closed() => println!("QEMU has ended already"),
    ///     other => drop(other?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Returns whether the server does not have the command, or not in its present state.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryAccelerators;
    ///
    /// match vm.execute(QueryAccelerators::new()) {
    ///     Err(error) if error.is_command_not_found() => println!("older than 10.2"),
    ///     other => drop(other?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_command_not_found(&self) -> bool {
        self.class() == Some(&ErrorClass::CommandNotFound)
    }

    /// Returns the error and its causes, on one line of at most a kibibyte. What a peer wrote is
    /// escaped, and long parts are cut off.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::DeviceDel;
    ///
    /// if let Err(error) = vm.execute(DeviceDel::new("d0")) {
    ///     // One line for a log, whatever the peer has sent.
    ///     eprintln!("{}", error.report());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn report(&self) -> String {
        let mut layers = Vec::new();
        let mut next = Some(self as &(dyn StdError + 'static));
        while let Some(error) = next {
            layers.push(Excerpt(error, LONGEST_REPORT).to_string());
            next = error.source();
        }
        let separator = ": ";
        let length: usize = layers.iter().map(|layer| layer.len() + separator.len()).sum();
        if length > LONGEST_REPORT {
            // Each cause gets its share, so that none is lost.
            let share = (LONGEST_REPORT / layers.len()).saturating_sub("…".len() + separator.len());
            layers.iter_mut().for_each(|layer| *layer = Excerpt(layer, share).to_string());
        }
        layers.join(separator)
    }

    fn inner(&self) -> Option<&(dyn StdError + 'static)> {
        Some(match self {
            Self::Server(error) => &**error,
            Self::Protocol(error) => &**error,
            Self::Decode(error) => &**error,
            Self::Misuse(error) => error,
            Self::Transport(error) => &**error,
            Self::Timeout(error) => &**error,
            Self::Closed(error) => &**error,
            Self::Launch(error) => &**error,
            Self::Lagged(_) => return None,
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner() {
            Some(error) => fmt::Debug::fmt(error, f),
            None => qmp_types::debug_error(f, "Lagged", self, format_args!("")),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.inner()) {
            (_, Some(error)) => fmt::Display::fmt(error, f),
            (Self::Lagged(1), _) => f.write_str("1 event was dropped because the queue was full"),
            (Self::Lagged(count), _) => {
                write!(f, "{count} events were dropped because the queue was full")
            }
            (_, None) => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner().and_then(StdError::source)
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

impl From<qmp_protocol::Error> for Error {
    fn from(error: qmp_protocol::Error) -> Self {
        use qmp_protocol::Error as Protocol;
        match error {
            Protocol::Server(error) => Self::Server(error),
            Protocol::Protocol(error) => Self::Protocol(error),
            Protocol::Decode(error) => Self::Decode(error),
            Protocol::Misuse(error) => Self::Misuse(error),
            Protocol::Timeout(error) => Self::Timeout(error),
            Protocol::Closed(error) => Self::Closed(error),
            // A kind of error that is newer than this crate: the caller can only print it.
            other => {
                let error = io::Error::other(other);
                TransportError::new("the protocol reported an unknown error", error).into()
            }
        }
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        let error = io::Error::new(io::ErrorKind::InvalidInput, error);
        TransportError::new("cannot connect", error).into()
    }
}

/// Returns the error of a handshake that failed: the reason for the end is the error itself.
pub(crate) fn handshake_error(end: Option<Arc<End>>) -> Error {
    match Arc::try_unwrap(end.unwrap_or_else(|| Arc::new(End::Local))) {
        Ok(End::Protocol(error)) => error.into(),
        Ok(End::Handshake(timeout)) => timeout.into(),
        Ok(End::Negotiation(error)) => ServerError::new("qmp_capabilities".into(), error).into(),
        Ok(end) => Closed::new(None, &Arc::new(end)).into(),
        Err(end) => Closed::new(None, &end).into(),
    }
}
