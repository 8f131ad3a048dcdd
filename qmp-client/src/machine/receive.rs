//! What the machine makes of each message.

use std::borrow::Cow;
use std::sync::Arc;

use qmp_types::{Capability, DecodeError, Greeting, QmpError, ServerMessage};
use serde_json::value::RawValue;

use super::calls::{CallId, Flight, Kind};
use super::encode::{WriteArguments, encode};
use super::framing::Garbage;
use super::{Incoming, Machine, State};
use crate::error::{End, Misuse, ProtocolError, ServerError};

type Sink<'s> = &'s mut dyn FnMut(Incoming<'_>);

impl Machine {
    pub(super) fn take_message(&mut self, bytes: &[u8], depth: usize, sink: Sink<'_>) {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let garbage = Garbage::new(format!("not UTF-8 ({error})"), bytes);
                let id = reply_id(&String::from_utf8_lossy(bytes));
                return self.take_garbage(garbage, id, sink);
            }
        };
        match qmp_types::decode(text) {
            Ok(ServerMessage::Return { id, value }) => self.take_return(id, value, depth, sink),
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
        let arguments: WriteArguments<'_> = &arguments;
        let arguments = self.oob.then_some(arguments);
        let id = self.calls.negotiation_id();
        // Writing these bytes cannot fail.
        let _ = encode(&mut self.output, "qmp_capabilities", Kind::InBand, id, arguments);
    }

    fn take_return(
        &mut self,
        id: Option<&RawValue>,
        value: &RawValue,
        depth: usize,
        sink: Sink<'_>,
    ) {
        let negotiating = self.answers_negotiation(id);
        let id = id.and_then(CallId::parse);
        if negotiating {
            self.state = State::Ready;
            sink(Incoming::Ready);
            return self.launch_waiting();
        }
        let Some(call) = id.and_then(|id| self.calls.land(id)) else {
            self.dropped.foreign_replies += 1;
            return;
        };
        self.note_lost_replies(&call);
        self.launch_waiting();
        if call.abandoned {
            self.dropped.late_replies += 1;
            return;
        }
        let limit = self.settings.depth;
        let result = if depth > limit {
            Err(ProtocolError::TooDeep { command: call.name, depth, limit }.into())
        } else {
            Ok(value)
        };
        sink(Incoming::Reply { id: call.id, result });
    }

    fn take_error(&mut self, id: Option<&RawValue>, error: QmpError, sink: Sink<'_>) {
        if self.answers_negotiation(id) {
            return self.finish(End::Negotiation(error));
        }
        let id = match id {
            Some(id) => CallId::parse(id),
            None => self.calls.oldest(),
        };
        let Some(call) = id.and_then(|id| self.calls.land(id)) else {
            self.dropped.foreign_replies += 1;
            return;
        };
        self.note_lost_replies(&call);
        self.launch_waiting();
        if call.abandoned {
            self.dropped.late_replies += 1;
            return;
        }
        let result = Err(ServerError::new(call.name, error).into());
        sink(Incoming::Reply { id: call.id, result });
    }

    /// Nothing else is in flight during the negotiation, so the id may be missing.
    fn answers_negotiation(&self, id: Option<&RawValue>) -> bool {
        matches!(self.state, State::Negotiating)
            && id.is_none_or(|id| CallId::parse(id) == Some(self.calls.negotiation_id()))
    }

    /// In-band commands are answered in order: if `call` is answered, and garbage came while an
    /// earlier one was in flight, then that was the reply.
    fn note_lost_replies(&mut self, call: &Flight) {
        if call.kind == Kind::InBand && self.dropped.garbage > 0 {
            self.calls.fail_overtaken(call.id);
        }
    }

    /// Sends what waited, as far as the window allows.
    fn launch_waiting(&mut self) {
        while let Some((call, text)) = self.calls.next_waiting(self.settings.window) {
            if call.kind == Kind::OutOfBand && !self.oob {
                let error = Misuse::OobNotEnabled { command: call.name.clone() };
                self.calls.fail(call, error.into());
                continue;
            }
            self.output.extend_from_slice(&text);
            self.calls.fly(call);
        }
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
