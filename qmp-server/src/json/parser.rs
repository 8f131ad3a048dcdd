//! Builds values from tokens, one message after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::cost::cost;
use super::lexer::{Kind, Lexer, Position, Sink};
use super::plain::{self, Plain};
use super::text;
use super::value::dismantle;
use crate::budget::{Budget, Charge};

/// The length in bytes at which QEMU truncates a parse error.
const MAX_ERROR_LENGTH: usize = 1023;

/// The maximum number of bytes to read before memory is charged to the budget.
const STEP: usize = 4 << 10;

/// The unit in bytes of charges.
const CHARGE_UNIT: usize = 4 << 10;

/// The error for a message that does not fit into the budget.
const BUDGET_EXCEEDED: &str =
    "the server's limit on the memory for unfinished messages is exceeded";

/// Limits on a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonLimits {
    /// The maximum total size of the tokens in bytes.
    pub(crate) bytes: usize,
    /// The maximum number of tokens.
    pub(crate) tokens: usize,
    /// The maximum number of open brackets.
    pub(crate) depth: usize,
}

/// An incremental parser for a stream of JSON values, cut into pieces anywhere.
#[derive(Debug)]
pub(crate) struct Parser {
    lexer: Lexer,
    message: Message,
    budget: Arc<Budget>,
    /// The memory of the unfinished message.
    charge: Charge,
    charged: usize,
    /// The bytes of the message so far, if they are kept.
    text: Option<Vec<u8>>,
}

/// A message, or the error to answer it with.
pub(crate) type Outcome = Result<Value, String>;

impl Parser {
    pub(crate) fn new(limits: JsonLimits, budget: &Arc<Budget>) -> Self {
        Self {
            lexer: Lexer::new(limits.bytes),
            message: Message::new(limits),
            budget: Arc::clone(budget),
            charge: Charge::new(budget),
            charged: 0,
            text: None,
        }
    }

    /// Keeps the bytes of each message, for [`take_text`](Self::take_text).
    pub(crate) fn keep_text(&mut self) {
        self.text.get_or_insert_default();
    }

    /// Returns the bytes of the object that [`next`](Self::next) has returned last, if they are kept.
    pub(crate) fn take_text(&mut self) -> Option<Vec<u8>> {
        self.text.as_mut().map(std::mem::take).filter(|text| !text.is_empty())
    }

    /// Reads bytes until there is an outcome, and returns the number of bytes read.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.message.outcomes.is_empty() {
            let end = bytes.len().min(at + STEP);
            let was_open = !self.message.open.is_empty();
            let count = self.lexer.read(&bytes[at..end], &mut self.message);
            self.add_text(&bytes[at..at + count], was_open);
            at += count;
            self.charge();
        }
        at
    }

    /// Reads an ordinary command at the start of the bytes, if there is one, and returns it with the
    /// charge for its memory and its length.
    pub(crate) fn read_plain(&mut self, bytes: &[u8]) -> Option<(Plain, Charge, usize)> {
        let Message { limits, open, failed, outcomes, .. } = &self.message;
        let allows_plain = limits.bytes >= plain::MAX_LENGTH
            && limits.tokens >= plain::MAX_LENGTH
            && limits.depth >= 2;
        let is_between = self.lexer.is_at_start() && open.is_empty() && !failed;
        if !allows_plain || !is_between || !outcomes.is_empty() {
            return None;
        }
        let (plain, cost, length) = plain::read(bytes, self.text.is_some())?;
        let mut charge = Charge::new(&self.budget);
        // If there is no room, the parser finds that, too, and has the error for it.
        if !charge.try_set(cost.next_multiple_of(CHARGE_UNIT)) {
            return None;
        }
        self.lexer.skip(&bytes[..length]);
        Some((plain, charge, length))
    }

    /// Returns the oldest outcome of the bytes read so far that has not been returned yet, with the
    /// charge for its memory.
    pub(crate) fn next(&mut self) -> Option<(Outcome, Charge)> {
        let (outcome, cost) = self.message.outcomes.pop_front()?;
        let text = self.text.as_ref().map_or(0, Vec::len);
        let mut charge = Charge::new(&self.budget);
        charge.set((cost + text).next_multiple_of(CHARGE_UNIT));
        Some((outcome, charge))
    }

    /// Returns the memory in bytes that an unfinished message uses.
    #[cfg(unix)]
    pub(crate) fn unfinished_bytes(&self) -> usize {
        self.charged
    }

    /// Drops everything that has been read and not been returned.
    pub(crate) fn clear(&mut self) {
        self.lexer.abandon();
        self.message = Message::new(self.message.limits);
        self.text.iter_mut().for_each(|text| *text = Vec::new());
        self.charge.set(0);
        self.charged = 0;
    }

    /// Keeps bytes that have been read, unless they are between messages or in an invalid one. A
    /// message begins with the last byte of a read, and ends with that of a later one.
    fn add_text(&mut self, bytes: &[u8], was_open: bool) {
        let Some(text) = &mut self.text else { return };
        let is_open = !self.message.open.is_empty();
        let is_complete = matches!(self.message.outcomes.back(), Some((Ok(_), _)));
        match (was_open, is_open) {
            (true, _) if is_open || is_complete => text.extend_from_slice(bytes),
            (false, true) => {
                text.clear();
                text.extend_from_slice(&bytes[bytes.len().saturating_sub(1)..]);
            }
            _ => *text = Vec::new(),
        }
        if text.len() > self.message.limits.bytes {
            *text = Vec::new();
            self.message.fail("JSON token size limit exceeded".to_owned());
        }
    }

    /// Charges the memory of the unfinished message to the budget, or gives the message up.
    fn charge(&mut self) {
        let text = self.text.as_ref().map_or(0, Vec::capacity);
        let used = self.lexer.held().saturating_add(self.message.cost).saturating_add(text);
        let used = used.next_multiple_of(CHARGE_UNIT);
        if used == self.charged {
            return;
        }
        if self.charge.try_set(used) {
            self.charged = used;
            return;
        }
        self.lexer.abandon();
        self.message.fail(BUDGET_EXCEEDED.to_owned());
        self.text.iter_mut().for_each(|text| *text = Vec::new());
        self.charge.set(0);
        self.charged = 0;
    }
}

/// The message that is being read.
#[derive(Debug)]
struct Message {
    limits: JsonLimits,
    open: Vec<Container>,
    /// Open brackets. As in QEMU, each kind is counted on its own: `{]` ends a message.
    braces: isize,
    brackets: isize,
    bytes: usize,
    tokens: usize,
    /// An upper bound of the memory in bytes that the message's value uses.
    cost: usize,
    /// Whether the message is invalid, and the rest of it is skipped.
    failed: bool,
    /// Messages and errors, each with its memory in bytes.
    outcomes: VecDeque<(Outcome, usize)>,
}

#[derive(Debug)]
enum Container {
    Object { members: Members, next: InObject },
    Array { elements: Elements, next: InArray },
}

/// The members of an unfinished object, which are dropped without recursion.
#[derive(Debug, Default)]
struct Members(Map<String, Value>);

impl Drop for Members {
    fn drop(&mut self) {
        dismantle(std::mem::take(&mut self.0).into_iter().map(|(_, value)| value));
    }
}

/// The elements of an unfinished array, which are dropped without recursion.
#[derive(Debug, Default)]
struct Elements(Vec<Value>);

impl Drop for Elements {
    fn drop(&mut self) {
        dismantle(std::mem::take(&mut self.0));
    }
}

#[derive(Debug)]
enum InObject {
    KeyOrEnd,
    Key,
    Colon(String),
    Value(String),
    CommaOrEnd,
}

#[derive(Clone, Copy, Debug)]
enum InArray {
    ValueOrEnd,
    Value,
    CommaOrEnd,
}

impl Sink for Message {
    fn token(&mut self, kind: Kind, bytes: &[u8], position: Position) {
        if kind == Kind::Stray {
            self.fail_at(position, &format!("stray '{}'", text::lossy(bytes)));
            return self.end();
        }
        self.count(kind, bytes);
        if !self.failed {
            match self.take(kind, bytes) {
                Ok(Some(value)) => self.outcomes.push_back((Ok(value), self.cost)),
                Ok(None) => self.check_limits(kind),
                Err(error) => self.fail_at(position, &error),
            }
        }
        let closed = self.braces == 0 && self.brackets == 0;
        if closed || self.braces < 0 || self.brackets < 0 {
            self.end();
        }
    }
}

impl Message {
    fn new(limits: JsonLimits) -> Self {
        Self {
            limits,
            open: Vec::new(),
            braces: 0,
            brackets: 0,
            bytes: 0,
            tokens: 0,
            cost: 0,
            failed: false,
            outcomes: VecDeque::new(),
        }
    }

    fn count(&mut self, kind: Kind, bytes: &[u8]) {
        match kind {
            Kind::BraceOpen => self.braces += 1,
            Kind::BraceClose => self.braces -= 1,
            Kind::BracketOpen => self.brackets += 1,
            Kind::BracketClose => self.brackets -= 1,
            _ => {}
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.tokens = self.tokens.saturating_add(1);
        self.cost = self.cost.saturating_add(cost(kind, bytes));
    }

    fn check_limits(&mut self, kind: Kind) {
        let depth = self.braces + self.brackets;
        if kind == Kind::TooLong || self.bytes > self.limits.bytes {
            self.fail("JSON token size limit exceeded".to_owned());
        } else if self.tokens > self.limits.tokens {
            self.fail("JSON token count limit exceeded".to_owned());
        } else if usize::try_from(depth).is_ok_and(|depth| depth > self.limits.depth) {
            self.fail("JSON nesting depth limit exceeded".to_owned());
        }
    }

    fn fail_at(&mut self, position: Position, error: &str) {
        let Position { line, column } = position;
        let end = (0..=MAX_ERROR_LENGTH).rev().find(|end| error.is_char_boundary(*end));
        let error = &error[..end.unwrap_or_default()];
        self.fail(format!("{line}:{column}: JSON parse error, {error}"));
    }

    /// Marks the message as invalid. Only its first error becomes an outcome.
    fn fail(&mut self, error: String) {
        if !self.failed {
            self.outcomes.push_back((Err(error), 0));
        }
        self.failed = true;
        self.cost = 0;
        self.open = Vec::new();
    }

    fn end(&mut self) {
        self.open.clear();
        (self.braces, self.brackets, self.bytes, self.tokens, self.cost) = (0, 0, 0, 0, 0);
        self.failed = false;
    }

    /// Adds a token to the message, and returns the message's value if that completes it.
    fn take(&mut self, kind: Kind, bytes: &[u8]) -> Result<Option<Value>, String> {
        match self.open.pop() {
            None => self.take_value(kind, bytes),
            Some(Container::Object { members, next }) => {
                self.take_in_object(members, next, kind, bytes)
            }
            Some(Container::Array { elements, next }) => {
                self.take_in_array(elements, next, kind, bytes)
            }
        }
    }

    fn take_in_object(
        &mut self,
        mut members: Members,
        next: InObject,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<Option<Value>, String> {
        let next = match (next, kind) {
            (InObject::KeyOrEnd | InObject::CommaOrEnd, Kind::BraceClose) => {
                return self.complete(Value::Object(std::mem::take(&mut members.0)));
            }
            (InObject::KeyOrEnd | InObject::Key, Kind::Text) => {
                InObject::Colon(text::unquote(bytes)?)
            }
            (InObject::KeyOrEnd | InObject::Key, _) => return Err("expecting key".to_owned()),
            (InObject::Colon(key), Kind::Colon) => InObject::Value(key),
            (InObject::Colon(_), _) => return Err("expecting ':'".to_owned()),
            (InObject::CommaOrEnd, Kind::Comma) => InObject::Key,
            (InObject::CommaOrEnd, _) => return Err("expected ',' or '}'".to_owned()),
            (next @ InObject::Value(_), _) => {
                self.open.push(Container::Object { members, next });
                return self.take_value(kind, bytes);
            }
        };
        self.open.push(Container::Object { members, next });
        Ok(None)
    }

    fn take_in_array(
        &mut self,
        mut elements: Elements,
        next: InArray,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<Option<Value>, String> {
        match (next, kind) {
            (InArray::ValueOrEnd | InArray::CommaOrEnd, Kind::BracketClose) => {
                self.complete(Value::Array(std::mem::take(&mut elements.0)))
            }
            (InArray::CommaOrEnd, Kind::Comma) => {
                self.open.push(Container::Array { elements, next: InArray::Value });
                Ok(None)
            }
            (InArray::CommaOrEnd, _) => Err("expected ',' or ']'".to_owned()),
            (InArray::ValueOrEnd | InArray::Value, _) => {
                self.open.push(Container::Array { elements, next });
                self.take_value(kind, bytes)
            }
        }
    }

    fn take_value(&mut self, kind: Kind, bytes: &[u8]) -> Result<Option<Value>, String> {
        let value = match kind {
            Kind::BraceOpen => {
                let (members, next) = (Members::default(), InObject::KeyOrEnd);
                self.open.push(Container::Object { members, next });
                return Ok(None);
            }
            Kind::BracketOpen => {
                let (elements, next) = (Elements::default(), InArray::ValueOrEnd);
                self.open.push(Container::Array { elements, next });
                return Ok(None);
            }
            Kind::Text => Value::String(text::unquote(bytes)?),
            Kind::Integer | Kind::Float => number(kind, bytes),
            Kind::Keyword => keyword(bytes)?,
            // `check_limits` reports it.
            Kind::TooLong => return Ok(None),
            _ => return Err("expecting value".to_owned()),
        };
        self.complete(value)
    }

    /// Adds a complete value to the innermost open container, or returns it if none is open.
    fn complete(&mut self, value: Value) -> Result<Option<Value>, String> {
        match self.open.last_mut() {
            None => return Ok(Some(value)),
            Some(Container::Array { elements, next }) => {
                elements.0.push(value);
                *next = InArray::CommaOrEnd;
            }
            Some(Container::Object { members, next }) => {
                if let InObject::Value(key) = std::mem::replace(next, InObject::CommaOrEnd) {
                    if let Some(earlier) = members.0.insert(key, value) {
                        dismantle([earlier]);
                        return Err("duplicate key".to_owned());
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        dismantle(self.outcomes.drain(..).filter_map(|(outcome, _)| outcome.ok()));
    }
}

fn keyword(bytes: &[u8]) -> Result<Value, String> {
    match bytes {
        b"true" => Ok(Value::Bool(true)),
        b"false" => Ok(Value::Bool(false)),
        b"null" => Ok(Value::Null),
        _ => Err(format!("invalid keyword '{}'", text::lossy(bytes))),
    }
}

/// Returns a number as the first of `i64`, `u64` and `f64` that can represent it.
fn number(kind: Kind, bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if kind == Kind::Integer {
        if let Ok(number) = text.parse::<i64>() {
            return number.into();
        }
        if let Ok(number) = text.parse::<u64>() {
            return number.into();
        }
    }
    let number: f64 = text.parse().unwrap_or_default();
    // JSON has no infinity (QEMU would repeat `inf`, which no client can parse).
    Number::from_f64(number.clamp(f64::MIN, f64::MAX)).map_or(Value::Null, Value::Number)
}
