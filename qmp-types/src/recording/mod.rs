//! Recordings of sessions: a file with every message between clients and servers.
//!
//! A [`Recorder`] writes a recording, and a [`Reader`] reads it. Clients record if their options have
//! a recorder, and `qmp record` and `qmp proxy --record` between a client and a server. The replay of
//! `qmp-server` answers from a recording.
//!
//! # Format
//!
//! A recording is a text of one JSON object per line. Empty lines are ignored.
//!
//! ```text
//! {"qmp-recording": 1, "by": "qmp record 0.1.0", "started": {"seconds": 1764195600, "microseconds": 5}, "qemu": {"qemu": {...}, "package": ""}}
//! {"time": 312, "direction": "received", "monitor": "vm", "message": {"QMP": {...}}}
//! {"time": 518, "direction": "sent", "monitor": "vm", "fds": 1, "message": {"execute": "getfd", ...}}
//! {"time": 702, "direction": "received", "monitor": "vm", "message": {"return": {}, "id": 1}}
//! ```
//!
//! The first line is the header:
//!
//! - `qmp-recording`: the version of the format. This is version 1. A reader refuses later ones.
//! - `by`: the program that has made the recording.
//! - `started`: when the recording began, like the timestamp of an event.
//! - `qemu`: the version of the server, as in its greeting. It is missing if the greeting was not
//!   recorded first.
//!
//! Every other line is a message:
//!
//! - `time`: the microseconds since the beginning.
//! - `direction`: `sent` by a client, or `received` by it.
//! - `monitor`: the name of the connection. Ids of commands are unique in a connection only.
//! - `fds`: the number of file descriptors that came with the message. It is missing if there were
//!   none.
//! - `message`: the message, with its secrets replaced with `<secret>`, as [`Redactor`] does. In the
//!   place of a message that is not a JSON object, there is `text` with a string.
//!
//! Members that a reader does not know are ignored. For recordings that are written by hand, only
//! `direction` and `message` are mandatory, and the header may be missing. After a header, a last line
//! that is incomplete, because the recorder was killed, is ignored.
//!
//! No line contains characters that control a terminal.
//!
//! [`Redactor`]: crate::Redactor

// Few programs record. Functions are `#[inline]`, so that only those programs compile them.
mod reader;
mod recorder;

use std::fmt;
use std::str::FromStr;

pub use self::reader::{Content, Entry, Header, Reader, RecordingError};
pub use self::recorder::Recorder;

/// The version of the format.
pub const VERSION: u64 = 1;

/// The direction of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the server.
    Received,
    /// To the server.
    Sent,
}

impl Direction {
    /// Returns the direction's name in recordings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Direction {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "received" => Ok(Self::Received),
            "sent" => Ok(Self::Sent),
            _ => Err("neither `sent` nor `received`"),
        }
    }
}
