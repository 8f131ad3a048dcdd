//! The end of a connection.

use std::fmt;

/// The reason why a connection has ended, or is about to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server has ended, for example by `quit`. Pending output is still sent.
    Server,
    /// The client did not read, and its pending output would have reached this number of bytes. The
    /// output is discarded.
    OutputOverflow(usize),
    /// The server had as many connections as its limits allow.
    ConnectionLimit,
    /// The client has disconnected.
    Client,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server has ended"),
            Self::OutputOverflow(bytes) => write!(f, "the client left {bytes} bytes unread"),
            Self::ConnectionLimit => f.write_str("the server accepts no further connections"),
            Self::Client => f.write_str("the client has closed the connection"),
        }
    }
}
