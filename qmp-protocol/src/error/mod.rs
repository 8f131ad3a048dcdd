//! Errors: a file for each kind, by whose fault they are.

mod closed;
mod end;
mod mismatch;
mod misuse;
mod protocol;
mod server;
mod timeout;

use std::error::Error as StdError;
use std::fmt;

pub use closed::Closed;
pub use end::End;
pub use mismatch::{Mismatch, Subject};
pub use misuse::Misuse;
pub use protocol::ProtocolError;
pub use server::ServerError;
pub use timeout::{Timeout, WaitedFor};

/// The failure of a call, by whose fault it is.
///
/// [`Display`](fmt::Display) describes its own layer, and [`source`](StdError::source) gives the
/// next one.
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error.
    Server(Box<ServerError>),
    /// The peer violated the protocol.
    Protocol(Box<ProtocolError>),
    /// The reply does not match the schema, which is older or newer than the peer.
    Decode(Box<Mismatch>),
    /// The caller made a mistake.
    Misuse(Misuse),
    /// A deadline passed.
    Timeout(Box<Timeout>),
    /// The connection has ended.
    Closed(Box<Closed>),
}

impl Error {
    fn inner(&self) -> &(dyn StdError + 'static) {
        match self {
            Self::Server(error) => &**error,
            Self::Protocol(error) => &**error,
            Self::Decode(error) => &**error,
            Self::Misuse(error) => error,
            Self::Timeout(error) => &**error,
            Self::Closed(error) => &**error,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.inner(), f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner().source()
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
    Timeout(Timeout),
    Closed(Closed),
);

impl From<Misuse> for Error {
    fn from(error: Misuse) -> Self {
        Self::Misuse(error)
    }
}
