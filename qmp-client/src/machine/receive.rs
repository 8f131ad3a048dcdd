//! What the machine makes of each message.

use std::borrow::Cow;
use std::sync::Arc;

use qmp_types::{Capability, DecodeError, Greeting, QmpError, ServerMessage};
use serde_json::value::RawValue;

use super::calls::{CallId, Flight, Kind, Waiting};
use super::encode::{WriteArguments, encode};
use super::framing::{Framer, Garbage};
use super::line::{self, Line};
use super::{Direction, Incoming, Machine, State};
use crate::error::{End, Misuse, ProtocolError, ServerError};

pub(super) type Sink<'s> = &'s mut dyn FnMut(Incoming<'_>);

/// So short a line is first tried the short way.
const SHORT: usize = 1024;

impl Machine {
    /// Takes a message the short way, if there is one that can be.
    pub(super) fn take_line(&mut self, sink: Sink<'_>) -> bool {
        // A line that is no longer than the limit cannot be nested deeper.
        let Some(place) = self.framer.line(SHORT.min(self.settings.depth)) else {
            return false;
        };
        // Out of the machine while it is read, since the rest of it changes meanwhile.
        let mut framer = std::mem::replace(&mut self.framer, Framer::new(0));
        let text = std::str::from_utf8(framer.bytes(place));
        let read = text.ok().and_then(line::read);
        if let (Ok(text), Some((_, length))) = (text, &read) {
            self.record(Direction::Received, &text.as_bytes()[..*length]);
        }
        let length = match read {
            Some((Line::Event { name, data, timestamp }, length)) => {
                sink(Incoming::Event { name: Cow::Borrowed(name), data, timestamp });
                length
            }
            Some((Line::Return { id, value }, length)) => {
                self.take_return(Some(id), value, 0, sink);
                length
            }
            None => 0,
        };
        framer.take(length);
        self.put_back(framer);
        length > 0
    }

    pub(super) fn take_message(&mut self, bytes: &[u8], depth: usize, sink: Sink<'_>) {
        self.record(Direction::Received, bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let garbage = Garbage::new(format!("not UTF-8 ({error})"), bytes);
                let id = reply_id(&String::from_utf8_lossy(bytes));
                return self.take_garbage(garbage, id, sink);
            }
        };
        match qmp_types::decode(text) {
            Ok(ServerMessage::Return { id, value }) => {
                let id = self.addressee(id);
                self.take_return(id, value, depth, sink);
            }
            Ok(ServerMessage::Error { id, error }) => self.take_error(id, error, sink),
            Ok(ServerMessage::Event { name, data, timestamp }) => {
                sink(Incoming::Event { name: Cow::Owned(name), data, timestamp });
            }
            Ok(ServerMessage::Greeting(greeting)) => self.take_greeting(greeting, bytes, sink),
            Err(error) => {
                let garbage = Garbage::new(no_message(&error), bytes);
                self.take_garbage(garbage, reply_id(text), sink);
            }
        }
    }

    fn take_greeting(&mut self, greeting: Greeting, bytes: &[u8], sink: Sink<'_>) {
        if !matches!(self.state, State::Connected) {
            let garbage = Garbage::new("a second greeting", bytes);
            return self.take_garbage(garbage, None, sink);
        }
        self.oob = self.settings.oob && greeting.capabilities.contains(&Capability::Oob);
        self.greeting = Some(greeting);
        self.state = State::Negotiating;
        let arguments = |out: &mut Vec<u8>| {
            out.extend_from_slice(br#"{"enable":["oob"]}"#);
            Ok(())
        };
        let arguments = self.oob.then_some(WriteArguments(&arguments));
        let id = self.calls.negotiation_id();
        // Writing these bytes cannot fail.
        let start = self.output.end().len();
        let _ = encode(self.output.end(), "qmp_capabilities", Kind::InBand, Some(id), arguments);
        self.record_output(start);
    }

    fn take_return(&mut self, id: Option<CallId>, value: &RawValue, depth: usize, sink: Sink<'_>) {
        if matches!(self.state, State::Syncing) {
            return self.take_sync(Ok(value), sink);
        }
        if self.answers_negotiation(id) {
            self.state = State::Ready;
            sink(Incoming::Ready);
            return self.launch_waiting();
        }
        let Some(call) = self.land(id) else { return };
        let limit = self.settings.depth;
        let result = if depth > limit {
            Err(ProtocolError::TooDeep { command: call.name, depth, limit }.into())
        } else {
            Ok(value)
        };
        sink(Incoming::Reply { id: call.id, result });
    }

    fn take_error(&mut self, id: Option<&RawValue>, error: QmpError, sink: Sink<'_>) {
        if matches!(self.state, State::Syncing) {
            return self.take_sync(Err(&error), sink);
        }
        let addressee = match id {
            None if self.is_ready() => self.calls.oldest(),
            id => self.addressee(id),
        };
        if self.answers_negotiation(addressee) {
            return self.finish(End::Negotiation(error));
        }
        let Some(call) = self.land(addressee) else { return };
        let result = Err(ServerError::new(call.name, error).into());
        sink(Incoming::Reply { id: call.id, result });
    }

    /// Whom a reply is for. During the negotiation nothing else is in flight, so the id may be
    /// missing.
    fn addressee(&self, id: Option<&RawValue>) -> Option<CallId> {
        match id {
            Some(id) => CallId::parse(id),
            None if self.is_agents() => self.calls.oldest(),
            None => matches!(self.state, State::Negotiating).then(|| self.calls.negotiation_id()),
        }
    }

    fn answers_negotiation(&self, id: Option<CallId>) -> bool {
        matches!(self.state, State::Negotiating) && id == Some(self.calls.negotiation_id())
    }

    /// The call that is answered now, if anybody waits for it.
    fn land(&mut self, id: Option<CallId>) -> Option<Flight> {
        let Some(call) = id.and_then(|id| self.calls.land(id)) else {
            self.dropped.foreign_replies += 1;
            return None;
        };
        // In-band commands are answered in order: if garbage came while an earlier one was in
        // flight, then that was its reply.
        if call.kind == Kind::InBand && self.dropped.garbage > 0 {
            self.calls.fail_overtaken(call.id);
        }
        self.launch_waiting();
        if call.abandoned {
            self.dropped.late_replies += 1;
            return None;
        }
        Some(call)
    }

    /// Sends what waited, as far as the window allows.
    pub(super) fn launch_waiting(&mut self) {
        while let Some(waiting) = self.calls.next_waiting(self.settings.window) {
            if waiting.call.kind == Kind::OutOfBand && !self.oob {
                let error = Misuse::OobNotEnabled { command: waiting.call.name.clone() };
                self.calls.fail(waiting.call, error.into());
                continue;
            }
            self.launch(waiting);
        }
    }

    /// What succeeds in silence makes room when nobody waits for it any more: no reply ever does.
    /// With a guest agent, getting in step with it does.
    pub(super) fn forget_silent(&mut self) {
        if !self.is_agents() && self.calls.forget_silent() {
            self.launch_waiting();
        }
    }

    pub(super) fn launch(&mut self, waiting: Waiting) {
        let Waiting { call, text, descriptors } = waiting;
        let start = self.output.end().len();
        self.output.end().extend_from_slice(&text);
        self.record_output(start);
        self.output.attach(start, descriptors);
        self.calls.fly(call);
    }

    pub(super) fn take_garbage(&mut self, garbage: Garbage, id: Option<CallId>, sink: Sink<'_>) {
        self.dropped.garbage += 1;
        sink(Incoming::Garbage(&garbage));
        if matches!(self.state, State::Connected) {
            return self.finish(End::Protocol(not_qmp(garbage)));
        }
        let garbage = Arc::new(garbage);
        match id.and_then(|id| self.calls.land(id)) {
            Some(call) if call.abandoned => self.dropped.late_replies += 1,
            Some(call) => {
                let command = call.name.clone();
                self.calls.fail(call, ProtocolError::BadReply { command, garbage }.into());
            }
            None => self.calls.suspect(&garbage),
        }
        self.launch_waiting();
    }
}

/// The id in a text that is no message but may have been meant as a reply.
fn reply_id(text: &str) -> Option<CallId> {
    if let Ok(ServerMessage::Return { id, .. } | ServerMessage::Error { id, .. }) =
        qmp_types::decode(text)
    {
        return id.and_then(CallId::parse);
    }
    // QEMU puts the id last.
    let (_, behind) = text.rsplit_once("\"id\"")?;
    let digits = behind.trim_start().strip_prefix(':')?.trim_start().strip_suffix('}')?;
    CallId::from_digits(digits.trim_end())
}

fn no_message(error: &DecodeError) -> String {
    match error.path() {
        "$" => error.reason().to_owned(),
        path => format!("{} at {path}", error.reason()),
    }
}

/// What greets with garbage is something else; a monitor for people is told apart.
pub(super) fn not_qmp(garbage: Garbage) -> ProtocolError {
    let banner = &garbage.snippet;
    if banner.starts_with("QEMU ") && banner.contains(" monitor") || banner.contains("(qemu)") {
        return ProtocolError::HumanMonitor { banner: banner.clone() };
    }
    ProtocolError::NotQmp(garbage)
}
