//! The client's side of a connection.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use qmp_types::{Capability, ErrorClass, Greeting, QmpError, ServerMessage};
use serde_json::value::RawValue;

use crate::deadline::Deadline;
use crate::error::{Closed, End, Error, ProtocolError, ServerError, Timeout, WaitedFor};
use crate::exchange::Exchange;
use crate::garbage::{Garbage, to_ascii};
use crate::id::CallId;
use crate::incoming::{Dropped, Incoming};
use crate::input::{Frame, Input};
use crate::line::{Line, Message};
use crate::message::{describe, is_terminal, not_qmp, reply_id};
use crate::output::{Descriptor, Output};
use crate::raw_value;
use crate::settings::{Dialect, Settings};
use crate::submission::Submission;
use crate::sync::{DELIMITER, Sync, Synced};
use crate::transcript::{Direction, Transcript};

/// The longest line that the fast path tries.
const SHORT: usize = 1024;

/// The largest greeting and the largest error reply, in bytes. A server sends less than a kilobyte,
/// and both are kept for as long as the connection, or the caller, likes.
const LARGEST_NOTE: usize = 1 << 20;

#[derive(Debug)]
enum Phase {
    /// The greeting has not arrived.
    Connected,
    /// `qmp_capabilities` has been sent and not answered.
    Negotiating,
    /// `qmp_capabilities` has been answered without an id: either the server returns none, or that
    /// was the reply to an earlier client, which sent none. The reply to a command that does not
    /// exist tells which.
    Probing,
    /// The synchronization with a guest agent is not complete.
    Syncing,
    /// Commands may be sent.
    Ready,
    /// Nothing more is received or sent.
    Ended(Arc<End>),
}

/// The client's side of a connection, without I/O. The [crate's page](crate) shows how a driver
/// uses it.
#[derive(Debug)]
pub struct Connection {
    settings: Settings,
    phase: Phase,
    exchange: Exchange,
    greeting: Option<Greeting>,
    greeting_deadline: Option<Deadline>,
    sync: Sync,
    /// Whether output that a driver took out was discarded.
    output_lost: bool,
    /// The reason for the end, until everything that arrived before it has been given out.
    ending: Option<End>,
    dropped: Dropped,
}

impl Connection {
    /// Creates the state of a connection that has just been established. The negotiation, or the
    /// synchronization with a guest agent, must be complete by `greeting`.
    #[must_use]
    pub fn new(settings: Settings, greeting: Option<Deadline>) -> Self {
        let is_agent = settings.dialect == Dialect::Agent;
        let mut connection = Self {
            phase: Phase::Connected,
            exchange: Exchange::new(settings.window, !is_agent),
            greeting: None,
            greeting_deadline: greeting,
            sync: Sync::new(settings.negotiation_id),
            output_lost: false,
            ending: None,
            dropped: Dropped::default(),
            settings,
        };
        if is_agent {
            let now = greeting.and_then(|deadline| deadline.at.checked_sub(deadline.within));
            if let Some(now) = now {
                connection.sync.repeat_after(now);
            }
            connection.start_sync();
        }
        connection
    }

    /// Calls a function with every message from now on, in both directions.
    pub fn set_transcript(&mut self, transcript: Option<Transcript>) {
        let Exchange { recorder, output, .. } = &mut self.exchange;
        recorder.set_transcript(transcript);
        // The first command to a guest agent has been written by now.
        recorder.record_output(output, 0);
        self.check_transcript();
    }

    /// Returns whether commands may be sent: the negotiation is complete, and the connection has
    /// not ended.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// Returns the reason why the connection ended, once everything that arrived before has been
    /// given out.
    #[must_use]
    pub fn ended(&self) -> Option<&Arc<End>> {
        match &self.phase {
            Phase::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Takes the reason why the connection ended, for the first and only caller who asks. Later
    /// callers see [`End::Local`].
    pub fn take_ended(&mut self) -> Option<Arc<End>> {
        match &mut self.phase {
            Phase::Ended(end) => Some(std::mem::replace(end, Arc::new(End::Local))),
            _ => None,
        }
    }

    /// Returns the greeting, once it has arrived.
    #[must_use]
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// Returns whether out-of-band execution is enabled.
    #[must_use]
    pub fn oob_enabled(&self) -> bool {
        self.exchange.oob
    }

    /// Returns the number of messages that were received and dropped.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Accepts a command, which is sent as soon as it may be.
    ///
    /// # Errors
    /// The connection has ended, the arguments are not a JSON object, or the command is
    /// out-of-band and out-of-band execution was not negotiated.
    pub fn submit(&mut self, submission: Submission<'_>) -> Result<CallId, Error> {
        if let Phase::Ended(end) = &self.phase {
            return Err(Closed::new(Some(submission.name), end).into());
        }
        let id = self.exchange.submit(submission)?;
        self.check_transcript();
        Ok(id)
    }

    /// Gives up a call: its result is not reported. With a guest agent this may start another
    /// synchronization, so that there is something to send, and a deadline.
    pub fn abandon(&mut self, id: CallId, now: Instant) {
        self.exchange.calls.abandon(id);
        self.forget_silent();
        self.synchronize(now);
    }

    /// Returns whether the result of this call is still to be reported.
    #[must_use]
    pub fn is_pending(&self, id: CallId) -> bool {
        self.exchange.calls.is_pending(id)
    }

    /// Returns whether the command of this call has been given out to be sent, and not been
    /// answered.
    #[must_use]
    pub fn is_in_flight(&self, id: CallId) -> bool {
        self.exchange.calls.is_in_flight(id)
    }

    /// Returns whether the command of this call waits for others, and has not been given out to be
    /// sent.
    #[must_use]
    pub fn is_queued(&self, id: CallId) -> bool {
        self.exchange.calls.is_queued(id)
    }

    /// Returns whether no call is queued, in flight, or to be reported.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.exchange.calls.is_idle()
    }

    /// Creates an input buffer with this connection's limit on the size of a message.
    #[must_use]
    pub fn new_input(&self) -> Input {
        Input::new(self.settings.message_size)
    }

    /// Returns the bytes to send next. More may follow when they have been [sent](Self::sent).
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.exchange.output.piece()
    }

    /// Returns the file descriptors that travel with the first byte of [`output`](Self::output).
    #[must_use]
    pub fn descriptors(&self) -> &[Descriptor] {
        self.exchange.output.descriptors()
    }

    /// Records that the first `count` bytes of [`output`](Self::output) have been sent, and with
    /// them the [`descriptors`](Self::descriptors), which are closed on this side.
    pub fn sent(&mut self, count: usize) {
        self.exchange.output.sent(count);
    }

    /// Moves everything that is to be sent into `output`, if that is empty. The driver sends it
    /// from there without the lock that guards this connection.
    pub fn take_output(&mut self, output: &mut Output) {
        if output.is_empty() && !self.exchange.output.is_empty() {
            std::mem::swap(&mut self.exchange.output, output);
        }
    }

    /// Records that not everything that was taken out has been sent, and that it will not be.
    pub fn output_lost(&mut self) {
        self.output_lost = true;
    }

    /// Sends those queued commands for which `which` returns true now, beyond the window, because
    /// the connection is about to be closed. Does nothing before the negotiation.
    pub fn send_now(&mut self, which: impl Fn(CallId) -> bool) {
        if let Phase::Ready | Phase::Syncing = self.phase {
            for queued in self.exchange.calls.take_queued(which) {
                self.exchange.send(queued);
            }
            self.check_transcript();
        }
    }

    /// Frees memory that is not in use. An empty output buffer of up to `keep` bytes stays.
    pub fn release(&mut self, keep: usize) {
        self.exchange.output.release(keep);
        self.exchange.calls.release();
    }

    /// Returns the next moment at which [`expire`](Self::expire) has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let greeting = match self.phase {
            Phase::Ready | Phase::Ended(_) => None,
            _ => self.greeting_deadline.map(|deadline| deadline.at),
        };
        greeting.into_iter().chain(self.sync_deadline()).chain(self.exchange.deadline()).min()
    }

    /// Fails everything whose deadline is at or before `now`; [`next`](Self::next) reports it.
    /// Bytes that have arrived by then come first: call `next` until it returns `None`, then this.
    pub fn expire(&mut self, now: Instant) {
        let waited_for = match self.phase {
            Phase::Connected => Some(WaitedFor::Greeting),
            Phase::Negotiating | Phase::Probing => {
                Some(WaitedFor::Reply("qmp_capabilities".into()))
            }
            Phase::Syncing => Some(WaitedFor::Agent),
            Phase::Ready | Phase::Ended(_) => None,
        };
        let passed = self.greeting_deadline.filter(|deadline| deadline.has_passed(now));
        if let (Some(waited_for), Some(deadline)) = (waited_for, passed) {
            self.end(End::Handshake(Timeout::new(waited_for, deadline.within)));
        }
        self.exchange.calls.expire(now);
        self.forget_silent();
        self.synchronize(now);
    }

    /// Returns whether the connection ends with the next calls of [`next`](Self::next).
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Ends the connection. [`next`](Self::next) gives out what arrived before, then finishes every
    /// call that is left with this reason. If there is a reason already, it stays.
    pub fn end(&mut self, end: End) {
        self.ending.get_or_insert(end);
    }

    /// Takes the next message from `input`, or the next call that has finished without a reply.
    /// Returns `None` when all bytes that have arrived are examined.
    pub fn next<'i>(&mut self, input: &'i mut Input) -> Option<Incoming<'i>> {
        if let Some(finished) = self.next_finished() {
            return Some(finished);
        }
        if let Phase::Ended(_) = self.phase {
            return None;
        }
        if let Phase::Syncing = self.phase {
            // Everything before a delimiter belongs to an earlier exchange.
            input.skip_past(DELIMITER);
        }
        // A line that is no longer than the depth limit cannot be nested deeper.
        if let Some(line) = input.line(SHORT.min(self.settings.depth)) {
            let incoming = self.take_line(line, input);
            self.check_transcript();
            return Some(incoming);
        }
        let incoming = match input.frame() {
            Some(Frame::Message { place, depth }) => self.take_message(input.bytes(place), depth),
            Some(Frame::Garbage(garbage)) => self.take_garbage(garbage, None),
            Some(Frame::TooLarge) => {
                let limit = self.settings.message_size;
                self.finish(End::Protocol(ProtocolError::TooLarge { limit }), Some(input));
                return self.next_finished();
            }
            None => {
                let end = self.ending.take()?;
                self.finish(end, Some(input));
                return self.next_finished();
            }
        };
        self.check_transcript();
        Some(incoming)
    }

    /// Takes the next call that has finished without a reply: it failed, expired, or succeeded
    /// silently. [`next`](Self::next) includes these; this is for a driver whose input another
    /// thread is using.
    pub fn next_finished<'i>(&mut self) -> Option<Incoming<'i>> {
        let (id, result) = self.exchange.calls.next_finished()?;
        let empty = || serde_json::from_str("{}").unwrap_or(RawValue::NULL);
        Some(Incoming::Reply { id, result: result.map(|()| empty()) })
    }

    /// Takes a message that the fast path has read.
    fn take_line<'i>(&mut self, line: Line, input: &'i Input) -> Incoming<'i> {
        let bytes = input.bytes(line.place.clone());
        let Ok(text) = std::str::from_utf8(bytes) else {
            // The general parser says where.
            return self.take_message(bytes, 0);
        };
        let start = line.place.start;
        let part = |place: Range<usize>| text.get(place.start - start..place.end - start);
        let value = |place| part(place).and_then(raw_value::from_checked);
        match line.message {
            Message::Event { name, data, timestamp } => {
                let data = data.map(value);
                if let (Some(name), None | Some(Some(_))) = (part(name), data) {
                    self.exchange.recorder.record(Direction::Received, bytes);
                    let (name, data) = (Cow::Borrowed(name), data.flatten());
                    return Incoming::Event { name, data, timestamp };
                }
            }
            Message::Return { id, value: place } => {
                if let Some(value) = value(place) {
                    self.exchange.recorder.record(Direction::Received, bytes);
                    return self.take_return(Some(id), value, 0);
                }
            }
        }
        self.take_message(bytes, 0)
    }

    fn take_message<'i>(&mut self, bytes: &'i [u8], depth: usize) -> Incoming<'i> {
        self.exchange.recorder.record(Direction::Received, bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let garbage = Garbage::new(format!("not UTF-8 ({error})"), bytes);
                let id = reply_id(&to_ascii(bytes));
                return self.take_bad_message(garbage, id);
            }
        };
        match qmp_types::decode(text) {
            Ok(ServerMessage::Return { id, value }) => {
                if id.is_none() && matches!(self.phase, Phase::Negotiating) {
                    return self.probe();
                }
                let id = self.addressee(id);
                self.take_return(id, value, depth)
            }
            Ok(ServerMessage::Error { .. } | ServerMessage::Greeting(_))
                if bytes.len() > LARGEST_NOTE =>
            {
                let reason = format!("a greeting or an error of more than {LARGEST_NOTE} bytes");
                self.take_bad_message(Garbage::new(reason, bytes), reply_id(text))
            }
            Ok(ServerMessage::Error { id, error }) => self.take_error(id, error),
            Ok(ServerMessage::Event { name, data, timestamp }) => {
                Incoming::Event { name: Cow::Owned(name), data, timestamp }
            }
            Ok(ServerMessage::Greeting(greeting)) => self.take_greeting(greeting, bytes),
            Err(error) => {
                let garbage = Garbage::new(describe(&error), bytes);
                self.take_bad_message(garbage, reply_id(text))
            }
        }
    }

    fn take_greeting<'i>(&mut self, greeting: Greeting, bytes: &[u8]) -> Incoming<'i> {
        if !matches!(self.phase, Phase::Connected) {
            return self.take_garbage(Garbage::new("a second greeting", bytes), None);
        }
        self.exchange.oob = self.settings.oob && greeting.capabilities.contains(&Capability::Oob);
        self.greeting = Some(greeting);
        self.phase = Phase::Negotiating;
        self.exchange.negotiate(self.negotiation_id(), self.exchange.oob);
        Incoming::Greeting
    }

    fn take_return<'i>(
        &mut self,
        id: Option<CallId>,
        value: &'i RawValue,
        depth: usize,
    ) -> Incoming<'i> {
        if matches!(self.phase, Phase::Syncing) {
            return self.take_sync(Ok(value));
        }
        if self.answers_negotiation(id) {
            return self.become_ready();
        }
        let limit = self.settings.depth;
        self.complete(id, |command| match depth {
            _ if depth > limit => Err(ProtocolError::TooDeep { command, depth, limit }.into()),
            _ => Ok(value),
        })
    }

    fn take_error<'i>(&mut self, id: Option<&RawValue>, error: QmpError) -> Incoming<'i> {
        if matches!(self.phase, Phase::Syncing) {
            return self.take_sync(Err(&error));
        }
        if matches!(self.phase, Phase::Probing) {
            let is_answer = error.class == ErrorClass::CommandNotFound;
            if id.is_none() && is_answer {
                self.exchange.execute_one_by_one();
                return self.become_ready();
            }
            if id.and_then(CallId::parse) == Some(self.probe_id()) {
                return self.become_ready();
            }
        }
        let addressee = match id {
            None if self.is_ready() => self.exchange.calls.oldest(),
            None if matches!(self.phase, Phase::Negotiating) => Some(self.negotiation_id()),
            id => self.addressee(id),
        };
        if self.answers_negotiation(addressee) {
            self.finish(End::Negotiation(error), None);
            return self.next_finished().unwrap_or(Incoming::Dropped);
        }
        self.complete(addressee, |command| Err(ServerError::new(command, error).into()))
    }

    /// Reports the result of the call that is answered, if it is still wanted.
    fn complete<'i>(
        &mut self,
        id: Option<CallId>,
        result: impl FnOnce(Cow<'static, str>) -> Result<&'i RawValue, Error>,
    ) -> Incoming<'i> {
        match self.exchange.complete(id, self.dropped.garbage > 0) {
            Some(call) if !call.abandoned => {
                Incoming::Reply { id: call.id, result: result(call.name) }
            }
            Some(_) => {
                self.dropped.late_replies += 1;
                Incoming::Dropped
            }
            None => {
                self.dropped.foreign_replies += 1;
                Incoming::Dropped
            }
        }
    }

    /// Returns the call that a reply answers. Without an id, it is the one that is in flight with a
    /// guest agent, or with a server that does not return ids.
    fn addressee(&self, id: Option<&RawValue>) -> Option<CallId> {
        match id {
            Some(id) => CallId::parse(id),
            None if self.exchange.returns_ids() => None,
            None => self.exchange.calls.oldest(),
        }
    }

    fn answers_negotiation(&self, id: Option<CallId>) -> bool {
        matches!(self.phase, Phase::Negotiating | Phase::Probing)
            && id == Some(self.negotiation_id())
    }

    /// Executes a command that does not exist. Its error has an id if the server returns any.
    fn probe<'i>(&mut self) -> Incoming<'i> {
        self.phase = Phase::Probing;
        self.exchange.probe(self.probe_id());
        Incoming::Dropped
    }

    fn probe_id(&self) -> CallId {
        CallId::from_number(self.settings.negotiation_id.wrapping_add(1))
    }

    fn negotiation_id(&self) -> CallId {
        CallId::from_number(self.settings.negotiation_id)
    }

    fn become_ready<'i>(&mut self) -> Incoming<'i> {
        self.phase = Phase::Ready;
        self.exchange.open = true;
        self.exchange.send_queued();
        Incoming::Ready
    }

    /// Handles an object that is not a message. Every object from a guest agent is a reply, to the
    /// one command that is in flight.
    fn take_bad_message<'i>(&mut self, garbage: Garbage, id: Option<CallId>) -> Incoming<'i> {
        if !self.is_agent() || !self.is_ready() {
            return self.take_garbage(garbage, id);
        }
        let id = self.exchange.calls.oldest();
        // First, so that no queued command is sent before the synchronization.
        self.sync.forget_repeat();
        self.start_sync();
        self.take_garbage(garbage, id)
    }

    fn take_garbage<'i>(&mut self, garbage: Garbage, id: Option<CallId>) -> Incoming<'i> {
        self.dropped.garbage += 1;
        let is_handshake = self.greeting_deadline.is_some();
        if matches!(self.phase, Phase::Connected) {
            self.finish(End::Protocol(not_qmp(garbage.clone())), None);
        } else if matches!(self.phase, Phase::Syncing) && is_handshake && is_terminal(&garbage) {
            let error = ProtocolError::NotAgent(garbage.clone());
            self.finish(End::Protocol(error), None);
        } else if self.exchange.damage(garbage.clone(), id) {
            self.dropped.late_replies += 1;
        }
        Incoming::Garbage(garbage)
    }

    /// Ends the connection at once. Nothing more is taken from the peer.
    fn finish(&mut self, end: End, input: Option<&mut Input>) {
        let unfinished = input.as_ref().and_then(|input| input.unfinished());
        let end = match (end, unfinished) {
            (End::Eof, Some(garbage)) if self.greeting.is_none() && !self.is_agent() => {
                End::Protocol(not_qmp(garbage))
            }
            (End::Eof, Some(garbage)) => End::Truncated(garbage),
            (End::Handshake(timeout), unfinished) => End::Handshake(timeout.because(unfinished)),
            (end, _) => end,
        };
        let end = Arc::new(end);
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "qmp_protocol", reason = %end, "the connection has ended");
        let sent = !self.output_lost && self.exchange.output.is_empty();
        self.exchange.calls.finish_all(&end, sent);
        self.exchange.output.clear();
        self.exchange.open = false;
        if let Some(input) = input {
            input.clear();
        }
        self.phase = Phase::Ended(end);
    }

    fn check_transcript(&mut self) {
        if self.exchange.recorder.take_panicked() {
            self.end(End::Transcript);
        }
    }
}

/// The part that only guest agents need.
impl Connection {
    fn is_agent(&self) -> bool {
        self.settings.dialect == Dialect::Agent
    }

    fn start_sync(&mut self) {
        self.phase = Phase::Syncing;
        self.exchange.open = false;
        self.exchange.write(|out| self.sync.write(out));
    }

    /// Synchronizes again after a call was abandoned: its reply may still arrive, and would be
    /// taken for the reply to the next command.
    fn synchronize(&mut self, now: Instant) {
        if !self.is_agent() {
            return;
        }
        match (&self.phase, self.sync_deadline()) {
            (Phase::Ready, _) if self.exchange.calls.forget_abandoned() => {
                self.sync.repeat_after(now);
                self.start_sync();
            }
            (Phase::Syncing, None) if self.sync.repeat_at().is_none() => {
                self.sync.repeat_after(now)
            }
            (Phase::Syncing, Some(repeat_at)) if repeat_at <= now => {
                self.sync.repeat_after(now);
                // To a peer that takes nothing, another command would only be queued.
                if self.exchange.output.is_empty() {
                    self.start_sync();
                }
            }
            _ => {}
        }
        self.check_transcript();
    }

    /// Returns when the synchronization is repeated, while any caller waits for it.
    fn sync_deadline(&self) -> Option<Instant> {
        let awaited = self.greeting_deadline.is_some() || self.exchange.calls.has_queued();
        let repeated = awaited && matches!(self.phase, Phase::Syncing);
        repeated.then_some(self.sync.repeat_at()).flatten()
    }

    fn take_sync<'i>(&mut self, reply: Result<&RawValue, &QmpError>) -> Incoming<'i> {
        match self.sync.check(reply) {
            Synced::Yes => {
                self.greeting_deadline = None;
                return self.become_ready();
            }
            Synced::TryPlain => self.start_sync(),
            Synced::No => self.dropped.late_replies += 1,
        }
        Incoming::Dropped
    }

    fn forget_silent(&mut self) {
        // With a guest agent, the synchronization does this.
        if !self.is_agent() {
            self.exchange.forget_silent();
            self.check_transcript();
        }
    }
}
