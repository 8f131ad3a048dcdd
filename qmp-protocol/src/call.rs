//! One call: a command that is queued or in flight.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::encode::Kind;
use crate::error::{Closed, End, Error, Timeout, WaitedFor};
use crate::garbage::Garbage;
use crate::id::CallId;
use crate::output::Descriptor;

/// A command whose reply has not arrived.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    /// Whether the server answers success.
    pub(crate) success_response: bool,
    /// Whether file descriptors travel with the command.
    pub(crate) has_descriptors: bool,
    pub(crate) deadline: Option<Deadline>,
    /// The position in the output after the last byte that the command needs.
    pub(crate) end: u64,
    /// Whether the caller has given the call up, or has been told that it timed out.
    pub(crate) abandoned: bool,
    /// Garbage that has arrived since the command was sent, and may have been the reply.
    pub(crate) possible_reply: Option<Arc<Garbage>>,
}

impl Call {
    /// Returns the deadline, unless the call has been abandoned.
    pub(crate) fn pending_deadline(&self) -> Option<Deadline> {
        if self.abandoned { None } else { self.deadline }
    }

    pub(crate) fn timeout(&self, deadline: Deadline, sent: bool) -> Error {
        let timeout = Timeout::new(WaitedFor::Reply(self.name.clone()), deadline.within)
            .because(self.possible_reply.as_deref().cloned());
        Timeout { sent, ..timeout }.into()
    }

    /// Returns the result of a call in flight whose deadline has passed. `sent` says whether
    /// everything in flight has really been sent.
    pub(crate) fn expired(&self, deadline: Deadline, sent: bool) -> Result<(), Error> {
        if self.success_response || !sent { Err(self.timeout(deadline, true)) } else { Ok(()) }
    }

    /// Returns the result of a call in flight when the connection ends. `sent` says whether
    /// everything in flight has really been sent, and nothing from the position `unsent` on has been.
    pub(crate) fn ended(self, end: &Arc<End>, sent: bool, unsent: u64) -> Result<(), Error> {
        match **end {
            End::Eof if sent && !self.success_response => Ok(()),
            _ => {
                let not_executed = self.end > unsent;
                let sent = sent && !not_executed;
                Err(Closed { sent, not_executed, ..Closed::new(Some(self.name), end) }.into())
            }
        }
    }

    /// Returns the error of a queued call when the connection ends.
    pub(crate) fn unsent(self, end: &Arc<End>) -> Error {
        Closed::new(Some(self.name), end).into()
    }
}

/// A call whose command has not been sent.
pub(crate) struct QueuedCall {
    pub(crate) call: Call,
    pub(crate) text: Box<[u8]>,
    pub(crate) descriptors: Vec<Descriptor>,
}

/// The text is not shown: commands have secrets.
impl fmt::Debug for QueuedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}
