//! The client's side of a connection.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use qmp_types::{Capability, Greeting, QmpError, ServerMessage};
use serde_json::value::RawValue;

use crate::deadline::Deadline;
use crate::encode::Kind;
use crate::error::{Closed, End, Error, ProtocolError, ServerError, Timeout, WaitedFor};
use crate::exchange::Exchange;
use crate::garbage::Garbage;
use crate::id::{CallId, ReplyId};
use crate::incoming::{Dropped, Incoming};
use crate::input::{Frame, Input};
use crate::line::{Line, Message};
use crate::message::{describe, is_terminal, not_qmp, reply_id};
use crate::negotiation::{Late, Negotiation, Step};
use crate::output::{Descriptor, Output};
use crate::raw_value;
use crate::settings::{Dialect, Settings};
use crate::submission::Submission;
use crate::sync::{DELIMITER, Sync, Synced};
use crate::transcript::{Direction, Transcript};

/// The longest line that the fast path tries.
const SHORT: usize = 1024;
/// The longest name of an event that is accepted, in bytes. QEMU's take up to 40.
const LONGEST_NAME: usize = 1024;
/// The values that a reply or an event may have in any case.
const FEW_VALUES: usize = 64 * 1024;

/// The size of a message, in other terms than bytes. That of a short line is of no interest.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// The deepest nesting, in brackets.
    depth: usize,
    /// The number of values, about.
    values: usize,
}

#[derive(Debug)]
enum Phase {
    /// The greeting has not arrived.
    Connected,
    /// `qmp_capabilities` has been sent, and whether it has been answered is not known.
    Negotiating,
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
    negotiation: Negotiation,
    sync: Sync,
    /// Whether a guest agent has answered the first synchronization.
    has_synced: bool,
    /// The latest moment that the driver has named. Before the present, so that a deadline at this
    /// moment has passed.
    latest: Option<Instant>,
    /// Whether output that a driver took out was discarded.
    output_lost: bool,
    /// Whether output that a driver took out has not been sent.
    output_unsent: bool,
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
            negotiation: Negotiation::new(settings.negotiation_id),
            sync: Sync::new(settings.negotiation_id),
            has_synced: false,
            latest: greeting.and_then(|deadline| deadline.at.checked_sub(deadline.within)),
            output_lost: false,
            output_unsent: false,
            ending: None,
            dropped: Dropped::default(),
            settings,
        };
        if is_agent {
            if let Some(now) = connection.latest {
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
        self.latest = Some(now);
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

    /// Records whether anything that was taken out has not been sent yet. A command whose success is
    /// not answered does not succeed by its deadline if it may not have been sent.
    pub fn set_unsent(&mut self, unsent: bool) {
        self.output_unsent = unsent;
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
        self.latest = Some(now);
        let waited_for = match self.phase {
            Phase::Connected => Some(WaitedFor::Greeting),
            Phase::Negotiating => Some(WaitedFor::Reply("qmp_capabilities".into())),
            Phase::Syncing => Some(WaitedFor::Agent),
            Phase::Ready | Phase::Ended(_) => None,
        };
        let passed = self.greeting_deadline.filter(|deadline| deadline.has_passed(now));
        if let (Some(waited_for), Some(deadline)) = (waited_for, passed) {
            let refusal = self.negotiation.take_error();
            let timeout = Timeout::new(waited_for, deadline.within).because(refusal);
            self.end(End::Handshake(timeout));
        }
        let sent = !self.output_lost && !self.output_unsent && self.exchange.output.is_empty();
        self.exchange.calls.expire(now, sent);
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
            Some(Frame::Message { place, depth, values }) => {
                self.take_message(input.bytes(place), Size { depth, values })
            }
            Some(Frame::Garbage(garbage, id)) if garbage.is_part_of_object() => {
                self.take_bad_message(garbage, id)
            }
            Some(Frame::Garbage(garbage, id)) => self.take_garbage(garbage, id),
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
            return self.take_message(bytes, Size::default());
        };
        let start = line.place.start;
        let part = |place: Range<usize>| text.get(place.start - start..place.end - start);
        let value = |place| part(place).and_then(raw_value::from_checked);
        match line.message {
            Message::Event { name, data, timestamp } => {
                let data = data.map(value);
                if let (Some(name), None | Some(Some(_))) = (part(name), data) {
                    self.exchange.recorder.record(Direction::Received, bytes);
                    let (name, data) = (Cow::Borrowed(name), data.flatten().filter(is_some));
                    return Incoming::Event { name, data, timestamp };
                }
            }
            Message::Return { id, value: place } => {
                if let Some(value) = value(place) {
                    self.exchange.recorder.record(Direction::Received, bytes);
                    return self.take_return(ReplyId::Call(id), value, Size::default());
                }
            }
        }
        self.take_message(bytes, Size::default())
    }

    fn take_message<'i>(&mut self, bytes: &'i [u8], size: Size) -> Incoming<'i> {
        self.exchange.recorder.record(Direction::Received, bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let garbage = Garbage::new(format!("not UTF-8 ({error})"), bytes);
                return self.take_bad_message(garbage, reply_id(bytes));
            }
        };
        match qmp_types::decode(text) {
            Ok(ServerMessage::Return { id, value }) => {
                self.take_return(ReplyId::new(id), value, size)
            }
            Ok(ServerMessage::Error { id, error }) => self.take_error(ReplyId::new(id), error),
            Ok(ServerMessage::Event { name, data, timestamp })
                if name.len() <= LONGEST_NAME && size.values <= self.most_values() =>
            {
                Incoming::Event { name: Cow::Owned(name), data: data.filter(is_some), timestamp }
            }
            Ok(ServerMessage::Event { .. }) => {
                let reason = "an event with a name that is too long, or with too many values";
                self.take_garbage(Garbage::new(reason, bytes), None)
            }
            Ok(ServerMessage::Greeting(greeting)) => self.take_greeting(greeting, bytes),
            Err(error) => {
                let garbage = Garbage::new(describe(&error), bytes);
                self.take_bad_message(garbage, reply_id(bytes))
            }
        }
    }

    fn take_greeting<'i>(&mut self, greeting: Greeting, bytes: &[u8]) -> Incoming<'i> {
        if self.is_agent() && !self.has_synced && !self.is_ready() {
            let garbage = Garbage::new("the greeting of a monitor", bytes);
            self.dropped.garbage += 1;
            self.finish(End::Protocol(ProtocolError::NotAgent(garbage.clone())), None);
            return Incoming::Garbage(garbage);
        }
        if !matches!(self.phase, Phase::Connected) {
            return self.take_garbage(Garbage::new("a second greeting", bytes), None);
        }
        self.exchange.oob = self.settings.oob && greeting.capabilities.contains(&Capability::Oob);
        self.greeting = Some(greeting);
        self.phase = Phase::Negotiating;
        self.exchange.negotiate(self.negotiation.id(), self.exchange.oob);
        Incoming::Greeting
    }

    fn take_return<'i>(&mut self, id: ReplyId, value: &'i RawValue, size: Size) -> Incoming<'i> {
        match self.phase {
            Phase::Syncing => return self.take_sync(Ok(value)),
            Phase::Negotiating => return self.take_negotiation(id, Ok(())),
            _ => {}
        }
        if self.take_late(id, false) {
            return Incoming::Dropped;
        }
        let Size { depth, values } = size;
        let (limit, most) = (self.settings.depth, self.most_values());
        let addressee = self.addressee(id, false);
        if id.call().is_some_and(|id| self.is_in_flight(id)) {
            self.exchange.expect_ids();
        }
        self.complete(addressee, |command| match depth {
            _ if depth > limit => Err(ProtocolError::TooDeep { command, depth, limit }.into()),
            _ if values > most => {
                Err(ProtocolError::TooComplex { command, values, limit: most }.into())
            }
            _ => Ok(value),
        })
    }

    /// Returns the most values that a reply or an event may have. A value takes up to about 128 bytes
    /// once it is decoded.
    fn most_values(&self) -> usize {
        (self.settings.message_size / 128).max(FEW_VALUES)
    }

    fn take_error<'i>(&mut self, id: ReplyId, error: QmpError) -> Incoming<'i> {
        match self.phase {
            Phase::Syncing => return self.take_sync(Err(&error)),
            Phase::Negotiating => return self.take_negotiation(id, Err(error)),
            _ => {}
        }
        if self.take_late(id, true) {
            return Incoming::Dropped;
        }
        let addressee = self.addressee(id, true);
        self.complete(addressee, |command| Err(ServerError::new(command, error).into()))
    }

    fn take_negotiation<'i>(&mut self, id: ReplyId, reply: Result<(), QmpError>) -> Incoming<'i> {
        let step = self.negotiation.take(id, reply);
        if matches!(step, Step::Foreign) || id == ReplyId::Foreign {
            self.dropped.foreign_replies += 1;
        }
        match step {
            Step::Foreign | Step::Wait => {}
            Step::Probe => {
                self.exchange.probe(self.negotiation.probe_id(), &self.negotiation.probe_name());
            }
            Step::Ready => return self.become_ready(),
            Step::ReadyWithoutIds => {
                self.exchange.execute_one_by_one();
                return self.become_ready();
            }
            Step::Refused(error) => {
                self.finish(End::Negotiation(error), None);
                return self.next_finished().unwrap_or(Incoming::Dropped);
            }
        }
        Incoming::Dropped
    }

    /// Takes a reply that belongs to the negotiation, which is complete.
    fn take_late(&mut self, id: ReplyId, is_error: bool) -> bool {
        if self.is_agent() || !self.is_ready() {
            return false;
        }
        let late = self.negotiation.take_late(id, is_error, self.exchange.returns_ids());
        if let Some(Late::Negotiation) = late {
            self.exchange.expect_ids();
            self.exchange.send_queued();
        }
        late.is_some()
    }

    /// Reports the result of the call that is answered, if it is still wanted.
    fn complete<'i>(
        &mut self,
        id: Option<CallId>,
        result: impl FnOnce(Cow<'static, str>) -> Result<&'i RawValue, Error>,
    ) -> Incoming<'i> {
        match self.exchange.complete(id, self.dropped.garbage > 0) {
            Some(call) => {
                if call.kind == Kind::InBand {
                    self.negotiation.forget_probe();
                }
                if !call.abandoned {
                    return Incoming::Reply { id: call.id, result: result(call.name) };
                }
                self.dropped.late_replies += 1;
            }
            None => self.dropped.foreign_replies += 1,
        }
        Incoming::Dropped
    }

    /// Returns the call that a reply answers. Without an id, it is the one that is in flight with a
    /// server that does not return ids. A server that could not read a command returns an error
    /// without an id. To a guest agent commands have no ids, whatever its replies have.
    fn addressee(&self, id: ReplyId, is_error: bool) -> Option<CallId> {
        let returns_ids = self.exchange.returns_ids();
        match id {
            _ if self.is_agent() => self.exchange.calls.oldest(),
            ReplyId::Call(id) => Some(id),
            ReplyId::Absent if is_error && self.is_ready() => self.exchange.calls.oldest(),
            _ if returns_ids => None,
            _ => self.exchange.calls.oldest(),
        }
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
        if matches!(self.phase, Phase::Negotiating) && id == Some(self.negotiation.id()) {
            self.dropped.garbage += 1;
            let command = "qmp_capabilities".into();
            let damaged = ProtocolError::BadReply { command, garbage: Arc::new(garbage.clone()) };
            self.finish(End::Protocol(damaged), None);
            return Incoming::Garbage(garbage);
        }
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
        if matches!(self.phase, Phase::Connected) {
            self.finish(End::Protocol(not_qmp(garbage.clone())), None);
        } else if matches!(self.phase, Phase::Syncing) && !self.has_synced && is_terminal(&garbage)
        {
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
            (End::Handshake(timeout), Some(garbage)) => {
                End::Handshake(timeout.because(Some(garbage)))
            }
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

/// Returns whether the data of an event is there: null says that it has none.
fn is_some(data: &&RawValue) -> bool {
    data.get() != "null"
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
            (Phase::Syncing, _) if self.sync.repeat_at().is_none() => self.sync.repeat_after(now),
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

    /// Returns when the synchronization is repeated, while any caller waits for it. If that is not
    /// scheduled, [`expire`](Self::expire) is to be called at once to do it.
    fn sync_deadline(&self) -> Option<Instant> {
        let awaited = !self.has_synced || self.exchange.calls.has_queued();
        let repeated = awaited && matches!(self.phase, Phase::Syncing);
        repeated.then_some(self.sync.repeat_at().or(self.latest)).flatten()
    }

    fn take_sync<'i>(&mut self, reply: Result<&RawValue, &QmpError>) -> Incoming<'i> {
        match self.sync.check(reply) {
            Synced::Yes => {
                self.greeting_deadline = None;
                self.has_synced = true;
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
