//! The meaning of what arrives.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use qmp_types::{Capability, Greeting, QmpError, ServerMessage};
use serde_json::value::RawValue;

use super::{Connection, Phase};
use crate::encode::Kind;
use crate::error::{End, Error, ProtocolError, ServerError};
use crate::garbage::Garbage;
use crate::id::{CallId, ReplyId};
use crate::incoming::Incoming;
use crate::input::Input;
use crate::line::{Line, Message};
use crate::message::{describe, is_terminal, not_qmp, reply_id};
use crate::negotiation::{Late, Step};
use crate::raw_value;
use crate::transcript::Direction;

/// The longest name of an event that is accepted, in bytes. QEMU's take up to 40.
const LONGEST_NAME: usize = 1024;

impl Connection {
    /// Takes a message that the fast path has read.
    #[inline]
    pub(super) fn take_line<'i>(&mut self, line: Line, input: &'i Input) -> Incoming<'i> {
        let bytes = input.bytes(line.place.clone());
        // Outside the values and names, the fast path has compared every byte with ASCII.
        let text = |place: Range<usize>| std::str::from_utf8(input.bytes(place)).ok();
        let value = |place| text(place).and_then(raw_value::from_checked);
        match line.message {
            Message::Event { name, data, timestamp } => {
                let data = data.map(value);
                if let (Some(name), None | Some(Some(_))) = (text(name), data) {
                    self.exchange.recorder.record(Direction::Received, bytes);
                    let (name, data) = (Cow::Borrowed(name), data.flatten().filter(is_some));
                    return Incoming::Event { name, data, timestamp };
                }
            }
            Message::Return { id, value: place } => {
                if let Some(value) = value(place) {
                    self.exchange.recorder.record(Direction::Received, bytes);
                    return self.take_return(ReplyId::Call(id), value, 0);
                }
            }
        }
        // The general parser says what is wrong.
        self.take_message(bytes, 0)
    }

    pub(super) fn take_message<'i>(&mut self, bytes: &'i [u8], depth: usize) -> Incoming<'i> {
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
                self.take_return(ReplyId::new(id), value, depth)
            }
            Ok(ServerMessage::Error { id, error }) => self.take_error(ReplyId::new(id), error),
            Ok(ServerMessage::Event { name, data, timestamp }) if name.len() <= LONGEST_NAME => {
                Incoming::Event { name: Cow::Owned(name), data: data.filter(is_some), timestamp }
            }
            Ok(ServerMessage::Event { .. }) => {
                let reason = "an event with a name that is too long";
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

    #[inline]
    fn take_return<'i>(&mut self, id: ReplyId, value: &'i RawValue, depth: usize) -> Incoming<'i> {
        match self.phase {
            Phase::Syncing => return self.take_sync(Ok(value)),
            Phase::Negotiating => return self.take_negotiation(id, Ok(())),
            _ => {}
        }
        if self.take_late(id, false) {
            return Incoming::Dropped;
        }
        let limit = self.settings.depth;
        let addressee = self.addressee(id, false);
        if !self.exchange.returns_ids() && id.call().is_some_and(|id| self.is_in_flight(id)) {
            self.exchange.expect_ids();
        }
        self.complete(addressee, |command| match depth {
            _ if depth > limit => Err(ProtocolError::TooDeep { command, depth, limit }.into()),
            _ => Ok(value),
        })
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
    #[inline]
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

    pub(super) fn become_ready<'i>(&mut self) -> Incoming<'i> {
        self.phase = Phase::Ready;
        self.exchange.open = true;
        self.exchange.send_queued();
        Incoming::Ready
    }

    /// Handles bytes that are not a message.
    #[cold]
    pub(super) fn take_junk<'i>(&mut self, garbage: Garbage, id: Option<CallId>) -> Incoming<'i> {
        if garbage.is_part_of_object() {
            return self.take_bad_message(garbage, id);
        }
        self.take_garbage(garbage, id)
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
            // What came first says more.
            let first = self.rest.take().unwrap_or_else(|| garbage.clone());
            self.finish(End::Protocol(not_qmp(first)), None);
        } else if matches!(self.phase, Phase::Syncing) && !self.has_synced && is_terminal(&garbage)
        {
            let error = ProtocolError::NotAgent(garbage.clone());
            self.finish(End::Protocol(error), None);
        } else if self.exchange.damage(garbage.clone(), id) {
            self.dropped.late_replies += 1;
        }
        Incoming::Garbage(garbage)
    }
}

/// Returns whether the data of an event is there: null says that it has none.
fn is_some(data: &&RawValue) -> bool {
    data.get() != "null"
}
