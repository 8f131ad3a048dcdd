//! Reasons for the end of a connection.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use qmp_types::QmpError;

use super::protocol::ProtocolError;
use super::timeout::Timeout;
use crate::garbage::Garbage;
use crate::printable::{Excerpt, Printable};

/// The reason why a connection ended.
#[non_exhaustive]
pub enum End {
    /// The peer closed the connection.
    Eof,
    /// The peer closed the connection in the middle of a message.
    Truncated(Garbage),
    /// The operating system reported an error.
    Transport(io::Error),
    /// The peer violated the protocol in a way that makes everything after it unintelligible.
    Protocol(ProtocolError),
    /// The greeting and the negotiation did not complete in time.
    Handshake(Timeout),
    /// The server refused the negotiation.
    Negotiation(QmpError),
    /// This side closed the connection.
    Local,
    /// The driver, which does the I/O of an asynchronous client, was dropped.
    NoDriver,
    /// The transcript hook panicked.
    Transcript,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "End", self, format_args!(""))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("the peer closed it"),
            Self::Truncated(_) => f.write_str("the peer closed it in the middle of a message"),
            Self::Transport(error) => Excerpt(error, 900).fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Handshake(timeout) => timeout.fmt(f),
            Self::Negotiation(error) => {
                write!(f, "the server refused the negotiation: {}", Printable(&error.desc))
            }
            Self::Local => f.write_str("this side closed it"),
            Self::NoDriver => f.write_str("its driver was dropped"),
            Self::Transcript => f.write_str("its transcript hook panicked"),
        }
    }
}

impl StdError for End {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Truncated(garbage) => Some(garbage),
            Self::Transport(error) => error.source(),
            Self::Protocol(error) => error.source(),
            Self::Handshake(timeout) => timeout.source(),
            Self::Eof | Self::Negotiation(_) | Self::Local | Self::NoDriver | Self::Transcript => {
                None
            }
        }
    }
}
