//! What a driver and the machine tell each other.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use qmp_types::Timestamp;
use serde_json::value::RawValue;

use super::calls::{CallId, Kind};
use super::encode::WriteArguments;
use super::framing::Garbage;
use super::output::Descriptor;
use crate::error::Error;

/// Whom a machine talks to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Dialect {
    /// A monitor of QEMU's: it greets, and replies are matched by id.
    #[default]
    Monitor,
    /// A guest agent: nobody greets, and one command at a time is answered, without an id.
    Agent,
}

/// What a machine is told at its birth.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Whom it talks to: a monitor.
    pub dialect: Dialect,
    /// The largest message that is accepted, in bytes: 64 MiB.
    pub message_size: usize,
    /// The deepest nesting of a reply that is accepted: 1024 brackets.
    pub depth: usize,
    /// How many in-band commands may be in flight: 8.
    pub window: usize,
    /// Whether out-of-band execution is enabled where the server offers it: yes.
    pub oob: bool,
    /// The id of `qmp_capabilities`, or the first number of a synchronisation. A peer may still
    /// be answering an earlier client, so a driver chooses one that this client did not use. All
    /// such answers come before the one with this number; the ids of other commands are small
    /// ones, since QEMU reads a command byte by byte, at microseconds each.
    pub negotiation_id: u64,
}

impl Settings {
    /// Those for a guest agent: 4 MiB a message, and one command in flight.
    #[must_use]
    pub fn agent() -> Self {
        Self {
            dialect: Dialect::Agent,
            message_size: 4 << 20,
            window: 1,
            oob: false,
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dialect: Dialect::Monitor,
            message_size: 64 << 20,
            depth: 1024,
            window: 8,
            oob: true,
            negotiation_id: 0,
        }
    }
}

/// A moment, and how long it was away when it was set, for the error message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// How long that was from the beginning.
    pub within: Duration,
}

impl Deadline {
    /// The moment `within` after `now`; none if that is beyond the end of time, so that
    /// [`Duration::MAX`] means "no deadline".
    #[must_use]
    pub fn after(now: Instant, within: Duration) -> Option<Self> {
        now.checked_add(within).map(|at| Self { at, within })
    }
}

/// A command to be sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Submission<'a> {
    /// Its name on the wire.
    pub name: Cow<'static, str>,
    /// How it is executed: in-band.
    pub kind: Kind,
    /// Whether success is answered: yes. Where it is not, silence until the deadline, and the end
    /// of the connection, are success.
    pub success_response: bool,
    /// What appends the arguments, if it has any.
    pub arguments: Option<WriteArguments<'a>>,
    /// The reply's deadline.
    pub deadline: Option<Deadline>,
    /// What travels with it.
    pub descriptors: Vec<Descriptor>,
}

impl<'a> Submission<'a> {
    /// A command without arguments, in-band, without a deadline.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::InBand,
            success_response: true,
            arguments: None,
            deadline: None,
            descriptors: Vec::new(),
        }
    }
}

/// A message for the driver to pass on. What it borrows lies in the machine's buffer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'m> {
    /// Greeting and negotiation are through.
    Ready,
    /// The one and only answer to a call.
    Reply {
        /// The call.
        id: CallId,
        /// What the command returns, or why there is nothing.
        result: Result<&'m RawValue, Error>,
    },
    /// An event.
    Event {
        /// Its name.
        name: Cow<'m, str>,
        /// Its data, if it has any.
        data: Option<&'m RawValue>,
        /// When it happened, by the server's clock.
        timestamp: Timestamp,
    },
    /// Bytes that are no message; they were skipped.
    Garbage(&'m Garbage),
}

/// What was received and given to nobody.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Dropped {
    /// Replies to calls that were abandoned, or whose deadline had passed.
    pub late_replies: u64,
    /// Replies with an id that no command in flight has.
    pub foreign_replies: u64,
    /// Runs of bytes that were no message.
    pub garbage: u64,
}

impl fmt::Display for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Reply { id, .. } => write!(f, "the reply to {id}"),
            Self::Event { name, .. } => write!(f, "event {name}"),
            Self::Garbage(garbage) => garbage.fmt(f),
        }
    }
}
