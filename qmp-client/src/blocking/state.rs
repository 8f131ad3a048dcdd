//! The part of a connection that its lock guards.

use std::time::Instant;

use qmp_protocol::{CallId, Connection, Direct, End, Incoming, Input};
use serde_json::value::RawValue;

use super::here::Here;
use crate::inbox::{Inbox, SubscriptionId};
use crate::options::Options;
use crate::queue::EventCapacity;

/// The part that the lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) inbox: Inbox,
    /// The input buffer; `None` while a thread reads into it.
    pub(super) input: Option<Box<Input>>,
    /// The thread that took the input buffer last.
    reader: Here,
    /// Whether the writer has output that could not be sent.
    pub(super) unsent: bool,
    /// Whether a thread is sending output that has been taken out.
    pub(super) is_sending: bool,
    /// Why the peer accepts nothing any more, until what it said before has been read.
    pub(super) refused: Option<End>,
    /// Whether a thread has panicked while it passed on what it had read.
    pub(super) interrupted: bool,
    /// The number of threads that wait for the reader.
    pub(super) waiting: usize,
    /// Whether several threads have used the connection at once.
    pub(super) is_shared: bool,
    /// Whether the reader reads under the lock, so that bytes are never out of sight of other
    /// threads. That costs a system call more, which waits for a single reply, or for events that
    /// nothing else takes, do without.
    pub(super) reads_locked: bool,
}

impl State {
    pub(super) fn new(connection: Connection, options: &Options) -> Self {
        Self {
            input: Some(Box::new(connection.new_input())),
            reader: Here::default(),
            connection,
            inbox: Inbox::new(options, Instant::now),
            unsent: false,
            is_sending: false,
            refused: None,
            interrupted: false,
            waiting: 0,
            is_shared: false,
            reads_locked: false,
        }
    }

    /// Takes the input buffer, unless a thread reads into it. This thread is the reader then.
    pub(super) fn take_input(&mut self) -> Option<Box<Input>> {
        let input = self.input.take()?;
        self.reader = Here::now();
        Some(input)
    }

    /// Returns whether this thread has the input buffer already: it decodes a reply or an event, and the
    /// caller's code that does so uses the client again.
    pub(super) fn is_nested(&self) -> bool {
        self.input.is_none() && self.reader == Here::now()
    }

    /// Returns whether anything is to be sent.
    pub(super) fn has_output(&self) -> bool {
        self.unsent || !self.connection.output().is_empty()
    }

    /// Frees memory that is not in use, except for buffers of the size `kept`, in bytes.
    pub(super) fn release(&mut self, kept: usize) {
        self.connection.release(kept);
        if let Some(input) = &mut self.input {
            input.release(kept);
        }
    }

    /// Fails everything whose deadline is at or before `now`.
    pub(super) fn expire(&mut self, now: Instant) {
        self.connection.set_unsent(self.unsent || self.is_sending);
        self.connection.expire(now);
    }

    /// Ends the connection.
    pub(super) fn end(&mut self, end: End) {
        if self.unsent || self.is_sending {
            self.connection.output_lost();
        }
        self.connection.end(end);
    }

    /// Returns the right to take the events of a subscription from the input directly, and the limits of
    /// its queue; `None` if anything else might take them, or look at them.
    pub(super) fn direct(
        &self,
        id: SubscriptionId,
    ) -> Option<(SubscriptionId, Direct, EventCapacity)> {
        let capacity = self.inbox.direct(id)?;
        Some((id, self.connection.direct()?, capacity))
    }

    /// Takes a reply that has been decoded and is still in the input, if the connection permits that, and
    /// returns whether it does.
    pub(super) fn take_early(&mut self, id: CallId, input: &mut Input) -> bool {
        let is_taken = self.connection.take_early(id, input);
        if is_taken {
            self.inbox.waiters.complete(id, Ok(RawValue::NULL));
        }
        is_taken
    }

    /// Takes one message, after the reply to this call could not be decoded. It is that reply, or another.
    pub(super) fn take_one(&mut self, id: CallId, input: &mut Input) {
        match self.connection.next(input) {
            Some(Incoming::Reply { id: found, result }) if found == id => {
                self.inbox.waiters.complete(id, result.as_deref());
            }
            Some(incoming) => drop(self.inbox.deliver(incoming, &mut Vec::new())),
            None => {}
        }
    }

    /// Passes on everything that has arrived.
    pub(super) fn distribute(&mut self, input: &mut Input) {
        while let Some(incoming) = self.connection.next(input) {
            self.inbox.deliver(incoming, &mut Vec::new());
            self.inbox.pass_events(&self.connection, input, &mut Vec::new());
        }
    }
}
