//! The protocol machine: everything that is QMP, and no input or output.
//!
//! A driver (the blocking client, an async one) owns a socket and a clock; [`Machine`] owns the
//! protocol. The driver moves bytes and decides nothing:
//!
//! ```text
//!            submit, abandon                        output, sent
//!   callers ────────────────> ┌──────────────────┐ ─────────────> socket
//!                             │ waiting │ flying │
//!   waiters <──────────────── │  table of calls  │ <───────────── socket
//!            drain: replies,  └──────────────────┘  spare, filled
//!            events                  ^
//!                        expire, end │  clock: deadline
//! ```
//!
//! - *Bytes in*: read into [`spare`](Machine::spare), say how many with
//!   [`filled`](Machine::filled). Nothing is copied on the way.
//! - *Messages out*: [`drain`](Machine::drain) hands each [`Incoming`] to a closure, still as
//!   text in the buffer. Who waits for a reply decodes it there and then, or keeps a copy.
//! - *Bytes to send*: [`output`](Machine::output), then [`sent`](Machine::sent).
//! - *Time*: the machine never reads a clock. [`deadline`](Machine::deadline) is the next moment
//!   at which [`expire`](Machine::expire) has something to do.
//! - *The end*: [`end`](Machine::end), with the reason, fails every call that is left.
//!
//! # What becomes of a call
//!
//! [`submit`](Machine::submit) encodes the command at once. It waits until the negotiation is
//! through and fewer than eight in-band commands are in flight, as the specification asks so that
//! out-of-band ones get through; those do not wait. One with descriptors also waits until the one
//! before it that had some is answered. Exactly one [`Incoming::Reply`] follows,
//! unless the call is [abandoned](Machine::abandon): a command that still waits is then never
//! sent, and the reply to one that was sent is dropped and counted when it comes. An expired call
//! is abandoned as well, so that a late reply is never taken for another command's. A command
//! whose success is not answered, such as `guest-shutdown`, has succeeded when its deadline passes
//! or the peer closes, and no error has come; but not if the peer closed before it was sent.
//!
//! Replies are matched by id alone. One with an id that is not in flight is dropped and counted.
//! An error without an id answers the oldest in-band command: a server leaves the id out when it
//! could not read the command, and it answers those in order.
//!
//! # What becomes of garbage
//!
//! Before the greeting it means that the peer is something else, and ends the connection.
//! Later it is reported as [`Incoming::Garbage`], counted, and skipped to the end of its line.
//! If it can be told which reply was damaged, that call fails at once: by the id in it, or
//! because a later in-band command is answered first. Otherwise the call keeps its deadline, and
//! the timeout's cause is the garbage.

mod calls;
mod encode;
mod framing;
mod lend;
mod line;
mod output;
mod receive;
mod record;
mod scan;
mod sync;
mod terms;

use std::sync::Arc;
use std::time::Instant;

use qmp_types::Greeting;
use serde_json::value::RawValue;

use crate::error::{Closed, End, Error, Misuse, ProtocolError, Timeout, WaitedFor};
use calls::{Calls, Flight, Waiting};
use encode::encode;
use framing::Frame;
use receive::not_qmp;
use sync::Sync;

pub use calls::{CallId, Kind};
pub use encode::WriteArguments;
pub(crate) use framing::Framer;
pub use framing::Garbage;
pub use output::Descriptor;
pub(crate) use output::Output;
pub use record::{Direction, Transcript};
pub use terms::{Deadline, Dialect, Dropped, Incoming, Settings, Submission};

#[derive(Debug)]
enum State {
    /// The greeting has not come yet.
    Connected,
    /// `qmp_capabilities` has been sent.
    Negotiating,
    /// A guest agent has not answered yet so that it is known which answer is to what.
    Syncing,
    /// Commands may be sent.
    Ready,
    /// Nothing more will come.
    Ended(Arc<End>),
}

/// One side of a connection: the client's.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    framer: Framer,
    state: State,
    calls: Calls,
    greeting: Option<Greeting>,
    greeting_deadline: Option<Deadline>,
    oob: bool,
    sync: Sync,
    output: Output,
    /// Whether what was handed out to be sent was not, all of it.
    unsent: bool,
    /// Why the connection has ended, once what arrived before has been given out.
    ending: Option<End>,
    dropped: Dropped,
    transcript: Option<Transcript>,
}

impl Machine {
    /// A machine for a connection that has just been made. By `greeting` the negotiation has to
    /// be through; with a guest agent, the synchronisation.
    #[must_use]
    pub fn new(settings: Settings, greeting: Option<Deadline>) -> Self {
        let mut machine = Self {
            framer: Framer::new(settings.message_size),
            state: State::Connected,
            calls: Calls::new(settings.negotiation_id),
            greeting: None,
            greeting_deadline: greeting,
            oob: false,
            sync: Sync::new(settings.negotiation_id),
            output: Output::default(),
            unsent: false,
            ending: None,
            dropped: Dropped::default(),
            transcript: None,
            settings,
        };
        if machine.is_agents() {
            if let Some(now) = greeting.and_then(|limit| limit.at.checked_sub(limit.within)) {
                machine.sync.repeat_after(now);
            }
            machine.start_sync();
        }
        machine
    }

    fn is_agents(&self) -> bool {
        self.settings.dialect == Dialect::Agent
    }

    /// Whether greeting and negotiation are through, and the connection has not ended.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Why the connection has ended, if it has, and all is given out.
    #[must_use]
    pub fn ended(&self) -> Option<&Arc<End>> {
        match &self.state {
            State::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// The greeting, once it has come.
    #[must_use]
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// Whether out-of-band execution is enabled.
    #[must_use]
    pub fn oob_enabled(&self) -> bool {
        self.oob
    }

    /// What was received and given to nobody.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Takes a command, to be sent as soon as may be.
    ///
    /// # Errors
    /// The connection has ended, the arguments are no JSON object, or the command is out-of-band
    /// and that was not negotiated.
    pub fn submit(&mut self, submission: Submission<'_>) -> Result<CallId, Error> {
        let Submission { name, kind, success_response, arguments, deadline, descriptors } =
            submission;
        if let State::Ended(end) = &self.state {
            return Err(Closed::new(Some(name), end).into());
        }
        // Before the greeting it is not known yet: such a command waits, and is then sent or not.
        if kind == Kind::OutOfBand && self.is_ready() && !self.oob {
            return Err(Misuse::OobNotEnabled { command: name }.into());
        }
        let id = self.calls.next_id();
        let output = self.output.end();
        let start = output.len();
        let wire_id = (self.settings.dialect == Dialect::Monitor).then_some(id);
        if let Err(error) = encode(output, &name, kind, wire_id, arguments) {
            output.truncate(start);
            return Err(Misuse::Arguments { command: name, error }.into());
        }
        let carries = !descriptors.is_empty();
        let call = Flight::new(id, name, kind, deadline).with(success_response, carries);
        if self.is_ready() && self.calls.may_fly(&call, self.settings.window) {
            self.record_output(start);
            self.output.attach(start, descriptors);
            self.calls.fly(call);
        } else {
            let text = self.output.end().split_off(start).into();
            self.calls.wait(Waiting { call, text, descriptors });
        }
        Ok(id)
    }

    /// Nobody waits for this call any more. A guest agent may have to be got in step with again:
    /// there may be something to send, and a deadline.
    pub fn abandon(&mut self, id: CallId, now: Instant) {
        self.calls.abandon(id);
        self.forget_silent();
        self.get_in_step(now);
    }

    /// Whether a reply to this call is still to be given out.
    #[must_use]
    pub fn is_pending(&self, id: CallId) -> bool {
        self.calls.is_pending(id)
    }

    /// Room for the next bytes from the peer: never empty.
    pub fn spare(&mut self) -> &mut [u8] {
        self.framer.spare()
    }

    /// The first `count` bytes of [`spare`](Self::spare) were received.
    pub fn filled(&mut self, count: usize) {
        self.framer.filled(count);
    }

    /// Bytes from the peer, copied in: for a driver that has them elsewhere.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.framer.spare();
            let count = spare.len().min(bytes.len());
            spare[..count].copy_from_slice(&bytes[..count]);
            self.framer.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// The bytes to send; more may follow when these are sent.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.piece()
    }

    /// The descriptors that go with the first byte of [`output`](Self::output).
    #[must_use]
    pub fn descriptors(&self) -> &[Descriptor] {
        self.output.descriptors()
    }

    /// The first `count` bytes of [`output`](Self::output) have been sent, and with the first of
    /// them the [`descriptors`](Self::descriptors), which are closed on this side now.
    pub fn sent(&mut self, count: usize) {
        self.output.sent(count);
    }

    /// Gives memory back while nothing is going on, but for `keep` bytes each way.
    pub fn release(&mut self, keep: usize) {
        self.framer.release(keep);
        self.output.release(keep);
        self.calls.release();
    }

    /// The next moment at which [`expire`](Self::expire) has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let greeting = match self.state {
            State::Ready | State::Ended(_) => None,
            _ => self.greeting_deadline.map(|limit| limit.at),
        };
        greeting.into_iter().chain(self.sync_deadline()).chain(self.calls.deadline()).min()
    }

    /// Fails what has a deadline at `now` or earlier. Bytes that have already arrived come
    /// first: [`drain`](Self::drain) before this.
    pub fn expire(&mut self, now: Instant) {
        if let (State::Connected | State::Negotiating | State::Syncing, Some(limit)) =
            (&self.state, self.greeting_deadline)
            && limit.at <= now
        {
            let waited_for = match self.state {
                State::Connected => WaitedFor::Greeting,
                State::Syncing => WaitedFor::Agent,
                _ => WaitedFor::Reply("qmp_capabilities".into()),
            };
            let timeout = Timeout::new(waited_for, limit.within);
            self.end(End::Handshake(timeout.because(self.framer.unfinished())));
        }
        self.calls.expire(now);
        self.forget_silent();
        self.get_in_step(now);
    }

    /// Whether the connection is to end with the next [`drain`](Self::drain).
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The connection has ended. [`drain`](Self::drain) gives out what arrived before, then fails
    /// every call that is left with this reason. The first reason stays.
    pub fn end(&mut self, end: End) {
        self.ending.get_or_insert(end);
    }

    /// Gives each message that has arrived, and each call that has failed, to `sink`, in order.
    pub fn drain(&mut self, sink: &mut dyn FnMut(Incoming<'_>)) {
        self.tell_settled(sink);
        while !matches!(self.state, State::Ended(_)) {
            self.skip_to_delimiter();
            if self.take_line(sink) {
                self.tell_settled(sink);
                continue;
            }
            match self.framer.next() {
                Some(Frame::Message { place, depth }) => {
                    // Out of the machine while it is read, since the rest of it changes meanwhile.
                    let framer = std::mem::replace(&mut self.framer, Framer::new(0));
                    self.take_message(framer.bytes(place), depth, sink);
                    self.put_back(framer);
                }
                Some(Frame::Garbage(garbage)) => self.take_garbage(garbage, None, sink),
                Some(Frame::TooLarge) => {
                    let limit = self.settings.message_size;
                    self.finish(End::Protocol(ProtocolError::TooLarge { limit }));
                }
                None => match self.ending.take() {
                    Some(end) => self.finish(end),
                    None => break,
                },
            }
            self.tell_settled(sink);
        }
    }

    fn tell_settled(&mut self, sink: &mut dyn FnMut(Incoming<'_>)) {
        while let Some((id, settled)) = self.calls.next_settled() {
            let nothing = || serde_json::from_str("{}").unwrap_or(RawValue::NULL);
            sink(Incoming::Reply { id, result: settled.map(|()| nothing()) });
        }
    }

    /// The framer that was taken out while a message was read, unless that was the last one.
    fn put_back(&mut self, framer: Framer) {
        if !matches!(self.state, State::Ended(_)) {
            self.framer = framer;
        }
    }

    /// Nothing more is taken from the peer.
    fn finish(&mut self, end: End) {
        let end = match end {
            End::Eof => match self.framer.unfinished() {
                Some(garbage) if self.greeting.is_none() && !self.is_agents() => {
                    End::Protocol(not_qmp(garbage))
                }
                Some(garbage) => End::Truncated(garbage),
                None => End::Eof,
            },
            end => end,
        };
        let end = Arc::new(end);
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "qmp_client", reason = %end, "the connection has ended");
        self.calls.fail_all(&end, !self.unsent && self.output.is_empty());
        self.output.clear();
        self.framer = Framer::new(0);
        self.state = State::Ended(end);
    }
}
