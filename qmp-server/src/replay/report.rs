//! The report about requests that do not fit a recording.

use std::fmt;

use qmp_types::Printable;

/// A request that does not fit a recording.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The recording does not contain the request.
    NotRecorded {
        /// The request, with its arguments in JSON.
        request: String,
    },
    /// The recording continues with another request.
    OutOfOrder {
        /// The request, with its arguments in JSON.
        request: String,
        /// The request with which the recording continues.
        expected: String,
    },
    /// The client has not sent a request of the recording.
    NotSent {
        /// The request, with its arguments in JSON.
        request: String,
    },
    /// The request is not valid according to the schema.
    Invalid {
        /// The request, with its arguments in JSON.
        request: String,
        /// The reason, in QEMU's words.
        reason: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRecorded { request } => {
                write!(f, "not in the recording: {}", Printable(request))
            }
            Self::OutOfOrder { request, expected } => {
                write!(f, "expected {}, got {}", Printable(expected), Printable(request))
            }
            Self::NotSent { request } => write!(f, "not sent: {}", Printable(request)),
            Self::Invalid { request, reason } => {
                write!(f, "invalid: {}: {}", Printable(request), Printable(reason))
            }
        }
    }
}

/// The error for a client whose requests do not fit the recording.
///
/// `Display` and `Debug` show one fault per line.
#[derive(Clone)]
pub struct ReplayError(pub(super) Vec<Fault>);

impl ReplayError {
    /// Returns the faults, in the order in which they occurred.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client's requests do not fit the recording")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl fmt::Debug for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ReplayError {}
