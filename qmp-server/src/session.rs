//! One connection's protocol, without I/O: bytes in, requests out, replies in, bytes to send.

use std::collections::VecDeque;
use std::fmt;

use qmp_types::{Capability, ErrorClass, Greeting, QmpError, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::{JsonLimits, Parser, to_json};
use crate::request::{self, Request};

/// How many in-band commands a connection may have in flight (QMP specification, section
/// "Out-of-band execution").
const MOST_IN_FLIGHT: usize = 8;

/// What one connection may cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one message; QEMU's limit is the default, 64 MiB.
    pub message_bytes: usize,
    /// Tokens of one message; QEMU's limit is the default, 2 Mi.
    pub message_tokens: usize,
    /// Brackets open at a time in one message; QEMU's limit is the default, 1024.
    pub message_depth: usize,
    /// Bytes that wait to be sent, 16 MiB unless set. From half of it on, no further command is
    /// executed until the client has read; an event beyond it ends the connection.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 << 20,
            message_tokens: 2 << 20,
            message_depth: 1 << 10,
            output_bytes: 16 << 20,
        }
    }
}

/// Why a connection has ended, or is about to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Closed {
    /// The server ended it, as after `quit`: what waits to be sent is still sent.
    Server,
    /// The client did not read, and that many bytes were waiting for it.
    NotRead(usize),
    /// The client is gone.
    Client,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server has ended"),
            Self::NotRead(bytes) => write!(f, "the client left {bytes} bytes unread"),
            Self::Client => f.write_str("the client has closed the connection"),
        }
    }
}

/// The protocol of one connection.
///
/// What is the protocol's own is answered inside: negotiation, and everything that is no command.
/// The rest comes out of [`next_request`](Self::next_request) and wants a
/// [`reply`](Self::reply). Nothing here reads, writes or waits.
///
/// ```
/// use qmp_server::{Limits, Session};
/// use qmp_types::{Greeting, QmpError};
///
/// let mut session = Session::new(&Greeting::default(), Limits::default());
/// session.take_output(); // the greeting
/// session.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'hello', 'id': 1}");
/// let request = session.next_request().ok_or("a request")?;
/// assert_eq!(request.name, "hello");
/// session.reply(request.id, &Err::<(), _>(QmpError::generic("good-bye")));
/// assert_eq!(
///     String::from_utf8(session.take_output())?,
///     "{\"return\": {}}\r\n\
///      {\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"good-bye\"}}\r\n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    offered: Vec<Capability>,
    parser: Parser,
    /// Bytes that have not been parsed.
    input: VecDeque<u8>,
    /// Parsed, in-band, not yet executed.
    waiting: VecDeque<Result<Value, String>>,
    output: Vec<u8>,
    negotiated: bool,
    oob: bool,
    closed: Option<Closed>,
}

impl Session {
    /// A connection that has just been made: the greeting waits to be sent.
    #[must_use]
    pub fn new(greeting: &Greeting, limits: Limits) -> Self {
        let json_limits = JsonLimits {
            bytes: limits.message_bytes,
            tokens: limits.message_tokens,
            depth: limits.message_depth,
        };
        let mut session = Self {
            limits,
            offered: greeting.capabilities.clone(),
            parser: Parser::new(json_limits),
            input: VecDeque::new(),
            waiting: VecDeque::new(),
            output: Vec::new(),
            negotiated: false,
            oob: false,
            closed: None,
        };
        if let Ok(greeting) = to_json(greeting) {
            session.send_line(&format!(r#"{{"QMP": {greeting}}}"#));
        }
        session
    }

    /// Takes bytes that arrived. Take the requests out before giving it more.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.closed.is_none() {
            self.input.extend(bytes);
        }
    }

    /// Whether bytes should be read from the client: not while it leaves replies unread, nor after
    /// the end.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.closed.is_none() && self.input.is_empty() && !self.is_congested()
    }

    /// The next command to execute: an out-of-band one before those that wait.
    ///
    /// None if more bytes are needed first, or if the client should first read.
    pub fn next_request(&mut self) -> Option<Request> {
        while self.closed.is_none() && !self.is_congested() {
            let outcome = match self.parse_ahead() {
                Some(urgent) => Ok(urgent),
                None => self.waiting.pop_front()?,
            };
            match outcome {
                Ok(message) => {
                    if let Some(request) = self.examine(message) {
                        return Some(request);
                    }
                }
                Err(desc) => self.fail(None, &QmpError::generic(desc)),
            }
        }
        None
    }

    /// Answers a request: `id` is the request's own. A command without a success response gets
    /// only errors.
    pub fn reply<T: Serialize>(&mut self, id: Option<Value>, result: &Result<T, QmpError>) {
        let written = result.as_ref().map(|value| to_json(value));
        match written {
            Ok(Ok(value)) => self.succeed(id.as_ref(), &value),
            Ok(Err(error)) => {
                let desc = format!("the return value cannot be written: {error}");
                self.fail(id.as_ref(), &QmpError::generic(desc));
            }
            Err(error) => self.fail(id.as_ref(), error),
        }
    }

    /// Sends an event. Nothing is sent before negotiation is complete, as the protocol demands.
    pub fn event(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        self.event_line(&event_line(name, data.map(RawValue::get), timestamp));
    }

    /// Bytes to send; [`sent`](Self::sent) says how many have been.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Forgets the first bytes of the output, which have been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.output.drain(..bytes.min(self.output.len()));
    }

    /// All bytes to send, which count as sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Ends the connection. What waits to be sent still should be, unless it is just too much.
    pub fn close(&mut self, reason: Closed) {
        if matches!(reason, Closed::NotRead(_)) {
            self.output = Vec::new();
        }
        self.input = VecDeque::new();
        self.waiting.clear();
        self.closed.get_or_insert(reason);
    }

    /// Why the connection has ended, if it has.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Whether capabilities negotiation is complete.
    #[must_use]
    pub fn is_negotiated(&self) -> bool {
        self.negotiated
    }

    pub(crate) fn event_line(&mut self, line: &str) {
        if !self.negotiated || self.closed.is_some() {
            return;
        }
        let pending = self.output.len() + line.len();
        if pending > self.limits.output_bytes {
            return self.close(Closed::NotRead(pending));
        }
        self.send_line(line);
    }

    /// Sends a success response whose value is JSON text already.
    pub(crate) fn succeed(&mut self, id: Option<&Value>, value: &str) {
        match id.map(to_json) {
            Some(Ok(id)) => self.send_line(&format!(r#"{{"return": {value}, "id": {id}}}"#)),
            _ => self.send_line(&format!(r#"{{"return": {value}}}"#)),
        }
    }

    pub(crate) fn fail(&mut self, id: Option<&Value>, error: &QmpError) {
        let Ok(error) = to_json(error) else { return };
        match id.map(to_json) {
            Some(Ok(id)) => self.send_line(&format!(r#"{{"id": {id}, "error": {error}}}"#)),
            _ => self.send_line(&format!(r#"{{"error": {error}}}"#)),
        }
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.output.len() > self.limits.output_bytes / 2
    }

    /// Parses as far as the protocol lets a server look ahead. Gives what must not wait: a message
    /// that asks to be executed out-of-band. Without that capability, one comes after the other.
    fn parse_ahead(&mut self) -> Option<Value> {
        let ahead = if self.oob { MOST_IN_FLIGHT } else { 1 };
        while self.waiting.len() < ahead {
            match self.parse()? {
                Ok(message) if request::is_out_of_band(&message) => return Some(message),
                outcome => self.waiting.push_back(outcome),
            }
        }
        None
    }

    fn parse(&mut self) -> Option<Result<Value, String>> {
        loop {
            if let Some(outcome) = self.parser.next() {
                return Some(outcome);
            }
            let (bytes, _) = self.input.as_slices();
            if bytes.is_empty() {
                // What one large message took is given back.
                self.input.shrink_to(64 << 10);
                return None;
            }
            let read = self.parser.read(bytes);
            self.input.drain(..read);
        }
    }

    /// Answers what is the protocol's own; gives the command that is not.
    fn examine(&mut self, message: Value) -> Option<Request> {
        let (id, checked) = request::check(message, self.oob);
        let answer = match checked {
            Ok(request) if request.name == "qmp_capabilities" => self.negotiate(&request),
            Ok(request) if self.negotiated => return Some(Request { id, ..request }),
            Ok(_) => Err(QmpError::new(
                ErrorClass::CommandNotFound,
                "Expecting capabilities negotiation with 'qmp_capabilities'",
            )),
            Err(error) => Err(error),
        };
        match answer {
            Ok(()) => self.succeed(id.as_ref(), "{}"),
            Err(error) => self.fail(id.as_ref(), &error),
        }
        None
    }

    fn negotiate(&mut self, request: &Request) -> Result<(), QmpError> {
        if request.out_of_band {
            return Err(request::no_oob(&request.name));
        }
        let enable = capabilities(&request.arguments)?;
        if self.negotiated {
            return Err(QmpError::new(
                ErrorClass::CommandNotFound,
                "Capabilities negotiation is already complete, command ignored",
            ));
        }
        if let Some(missing) = enable.iter().find(|asked| !self.offered.contains(asked)) {
            return Err(QmpError::generic(format!("Capability {missing} not available")));
        }
        self.oob = enable.contains(&Capability::Oob);
        self.negotiated = true;
        Ok(())
    }

    fn send_line(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }
}

/// An event as it is sent, without the end of the line.
pub(crate) fn event_line(name: &str, data: Option<&str>, timestamp: Timestamp) -> String {
    let name = to_json(name).unwrap_or_default();
    let time = to_json(&timestamp).unwrap_or_default();
    let data = data.map(|data| format!(r#", "data": {data}"#)).unwrap_or_default();
    format!(r#"{{"timestamp": {time}, "event": {name}{data}}}"#)
}

/// The arguments of `qmp_capabilities`.
fn capabilities(arguments: &Map<String, Value>) -> Result<Vec<Capability>, QmpError> {
    let expected = |name: &str, kind: &str| {
        QmpError::generic(format!("Invalid parameter type for '{name}', expected: {kind}"))
    };
    let enable = match arguments.get("enable") {
        None => Vec::new(),
        Some(Value::Array(names)) => names
            .iter()
            .enumerate()
            .map(|(at, name)| match name.as_str() {
                Some("oob") => Ok(Capability::Oob),
                // QEMU has no name for an element of a list, and says so.
                Some(name) => {
                    let desc = format!("Parameter 'null' does not accept value '{name}'");
                    Err(QmpError::generic(desc))
                }
                None => Err(expected(&format!("enable[{at}]"), "string")),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(expected("enable", "array")),
    };
    match arguments.keys().find(|name| *name != "enable") {
        Some(name) => Err(QmpError::generic(format!("Parameter '{name}' is unexpected"))),
        None => Ok(enable),
    }
}
