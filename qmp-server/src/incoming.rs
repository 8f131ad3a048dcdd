//! Messages that have arrived and are not processed yet, and the commands that are executed.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::budget::{Budget, Charge};
use crate::descriptors::Descriptors;
use crate::input::Input;
use crate::json::{JsonLimits, Parser, Plain, dismantle};
use crate::limits::Limits;
use crate::request;

/// The number of in-band commands that may wait for the one that is being executed, if out-of-band
/// execution is enabled (QMP specification, section "Out-of-band execution").
const MAX_WAITING: usize = 8;

/// The queue of one connection's messages.
#[derive(Debug)]
pub(crate) struct Incoming {
    parser: Parser,
    input: Input,
    /// In-band messages, or parse errors.
    waiting: VecDeque<Message>,
    /// An out-of-band message.
    urgent: Option<Message>,
    in_flight: InFlight,
}

/// The commands that have not been answered.
#[derive(Debug, Default)]
struct InFlight {
    in_band: bool,
    out_of_band: bool,
}

/// A message, with what has arrived with it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) content: Content,
    /// The bytes of the message, if they are kept.
    pub(crate) text: Option<Vec<u8>>,
    pub(crate) descriptors: Descriptors,
    pub(crate) charge: Charge,
}

/// The content of a message.
#[derive(Debug)]
pub(crate) enum Content {
    /// An ordinary command, in-band.
    Plain(Plain),
    /// Any other value.
    Value(Value),
    /// The error for an invalid message.
    Invalid(String),
}

impl Default for Content {
    fn default() -> Self {
        Self::Value(Value::Null)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Content::Value(value) = &mut self.content {
            dismantle([value.take()]);
        }
    }
}

impl Incoming {
    pub(crate) fn new(limits: &Limits, budget: &Arc<Budget>) -> Self {
        let json_limits = JsonLimits {
            bytes: limits.message_bytes,
            tokens: limits.message_tokens,
            depth: limits.message_depth,
        };
        Self {
            parser: Parser::new(json_limits, budget),
            input: Input::default(),
            waiting: VecDeque::new(),
            urgent: None,
            in_flight: InFlight::default(),
        }
    }

    /// Keeps the bytes of messages.
    pub(crate) fn keep_text(&mut self) {
        self.parser.keep_text();
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// Adds descriptors that have arrived with the bytes that are pushed next.
    #[cfg(unix)]
    pub(crate) fn push_descriptors(&mut self, descriptors: Descriptors) {
        self.input.push_descriptors(descriptors);
    }

    /// Returns whether all bytes have been parsed and further messages can wait.
    pub(crate) fn wants_bytes(&self, oob_enabled: bool) -> bool {
        self.input.is_empty() && self.urgent.is_none() && self.has_room(oob_enabled)
    }

    /// Returns the next message to process. Out-of-band messages overtake in-band ones; each kind
    /// waits until its previous command has been answered.
    pub(crate) fn next(&mut self, oob_enabled: bool, may_parse: bool) -> Option<Message> {
        while may_parse && self.urgent.is_none() && self.has_room(oob_enabled) {
            let Some(message) = self.parse() else { break };
            match &message.content {
                Content::Value(value) if request::is_out_of_band(value) => {
                    self.urgent = Some(message);
                }
                // Nothing can overtake it.
                _ if !oob_enabled => return Some(message),
                _ => self.waiting.push_back(message),
            }
        }
        if !self.in_flight.out_of_band && self.urgent.is_some() {
            return self.urgent.take();
        }
        if self.in_flight.in_band { None } else { self.waiting.pop_front() }
    }

    /// Notes that a command is being executed.
    pub(crate) fn start(&mut self, out_of_band: bool) {
        *self.in_flight(out_of_band) = true;
    }

    /// Notes that a command has been answered.
    pub(crate) fn finish(&mut self, out_of_band: bool) {
        *self.in_flight(out_of_band) = false;
    }

    /// Returns whether nothing waits: neither bytes nor messages.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_empty(&self) -> bool {
        self.input.is_empty() && self.waiting.is_empty() && self.urgent.is_none()
    }

    /// Returns whether a command of this kind is being executed.
    pub(crate) fn is_executing(&self, out_of_band: bool) -> bool {
        match out_of_band {
            true => self.in_flight.out_of_band,
            false => self.in_flight.in_band,
        }
    }

    /// Returns whether no command is being executed or waits.
    pub(crate) fn is_idle(&self) -> bool {
        let in_flight = self.in_flight.in_band || self.in_flight.out_of_band;
        !in_flight && self.waiting.is_empty() && self.urgent.is_none()
    }

    /// Returns the memory in bytes that an unfinished message uses.
    #[cfg(unix)]
    pub(crate) fn unfinished_bytes(&self) -> usize {
        self.parser.unfinished_bytes()
    }

    /// Drops everything except for the commands that are being executed.
    pub(crate) fn clear(&mut self) {
        self.input = Input::default();
        self.parser.clear();
        self.waiting.clear();
        self.urgent = None;
    }

    fn in_flight(&mut self, out_of_band: bool) -> &mut bool {
        match out_of_band {
            true => &mut self.in_flight.out_of_band,
            false => &mut self.in_flight.in_band,
        }
    }

    /// Returns whether another in-band message can wait. QEMU reads nothing while a command is
    /// executed, unless out-of-band execution is enabled.
    fn has_room(&self, oob_enabled: bool) -> bool {
        match oob_enabled {
            true => self.waiting.len() < MAX_WAITING,
            false => self.waiting.is_empty() && !self.in_flight.in_band,
        }
    }

    fn parse(&mut self) -> Option<Message> {
        loop {
            if let Some((content, charge)) = self.parser.next() {
                let content = content.map_or_else(Content::Invalid, Content::Value);
                return Some(self.message(content, charge));
            }
            let mut plain = None;
            let has_read = self.input.read(|bytes| match self.parser.read_plain(bytes) {
                Some((found, charge, length)) => {
                    plain = Some((Content::Plain(found), charge));
                    length
                }
                None => self.parser.read(bytes),
            });
            if let Some((content, charge)) = plain {
                return Some(self.message(content, charge));
            }
            if !has_read {
                return None;
            }
        }
    }

    fn message(&mut self, content: Content, charge: Charge) -> Message {
        let text = self.parser.take_text();
        Message { content, text, descriptors: self.input.descriptors(), charge }
    }
}
