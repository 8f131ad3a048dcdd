//! Messages for the driver to pass on.

use std::borrow::Cow;

use qmp_types::Timestamp;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::garbage::Garbage;
use crate::id::CallId;

/// A message for the driver to pass on. What it borrows lies in the [`Input`](crate::Input).
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'i> {
    /// The server has greeted. The negotiation follows.
    Greeting,
    /// The negotiation is complete: commands are sent from now on.
    Ready,
    /// The one and only result of a call.
    Reply {
        /// The call.
        id: CallId,
        /// The value that the command returned, or why the call failed.
        result: Result<&'i RawValue, Error>,
    },
    /// An event.
    Event {
        /// Its name.
        name: Cow<'i, str>,
        /// Its data, if it has any.
        data: Option<&'i RawValue>,
        /// The time at which it happened, by the server's clock.
        timestamp: Timestamp,
    },
    /// Bytes that are not a message; they were skipped.
    Garbage(Garbage),
    /// A message that concerns no call of this client. If it was a reply, it was counted in
    /// [`Dropped`].
    Dropped,
}

/// The number of messages that were received and dropped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Dropped {
    /// Replies to calls that were abandoned, or whose deadline had passed.
    pub late_replies: u64,
    /// Replies with an id that no command in flight has.
    pub foreign_replies: u64,
    /// Runs of bytes that were not a message.
    pub garbage: u64,
    /// Messages that are missing in the transcript, since the driver found its function too slow.
    pub transcript: u64,
}

/// The number of bytes in each direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes that have been sent. A driver that [takes the output
    /// out](crate::Connection::take_output) has sent them, or will, unless the connection ends first.
    pub sent: u64,
    /// Bytes that have arrived.
    pub received: u64,
}
