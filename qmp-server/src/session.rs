//! The protocol of one connection, without I/O: bytes go in, requests come out, replies go in, and
//! bytes to send come out.

use std::collections::VecDeque;
use std::fmt;

use qmp_types::{Capability, ErrorClass, Greeting, QmpError, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::{JsonLimits, Parser, encode_return, to_json};
use crate::request::{self, Request};

/// The number of in-band commands that a connection may have in flight (QMP specification, section
/// "Out-of-band execution").
const MAX_IN_FLIGHT: usize = 8;

/// Limits on the resources that one connection may use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum size of a message in bytes (default: 64 MiB, as in QEMU).
    pub message_bytes: usize,
    /// The maximum number of tokens in a message (default: 2 Mi, as in QEMU).
    pub message_tokens: usize,
    /// The maximum number of open brackets at any point of a message (default: 1024, as in QEMU).
    pub message_depth: usize,
    /// The maximum number of bytes waiting to be sent (default: 16 MiB). Above half of it, no
    /// command is executed until the client reads; an event that would exceed it ends the
    /// connection.
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

/// The reason why a connection has ended, or is about to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server has ended, for example by `quit`. Pending output is still sent.
    Server,
    /// The client did not read, and its pending output would have reached this number of bytes. The
    /// output is discarded.
    OutputOverflow(usize),
    /// The client has disconnected.
    Client,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server has ended"),
            Self::OutputOverflow(bytes) => write!(f, "the client left {bytes} bytes unread"),
            Self::Client => f.write_str("the client has closed the connection"),
        }
    }
}

/// The protocol of one connection.
///
/// A session answers by itself whatever needs no handler: capabilities negotiation and messages
/// that are not valid commands. It returns all other commands from
/// [`next_request`](Self::next_request); answer each with [`reply`](Self::reply). A session does no
/// I/O and never blocks.
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
    /// Bytes that are not parsed yet.
    input: VecDeque<u8>,
    /// Parsed in-band messages, or parse errors, that are not processed yet.
    waiting: VecDeque<Result<Value, String>>,
    output: Vec<u8>,
    negotiated: bool,
    oob_enabled: bool,
    closed: Option<CloseReason>,
}

impl Session {
    /// Creates the session of a new connection. The greeting is its first output.
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
            oob_enabled: false,
            closed: None,
        };
        if let Ok(greeting) = to_json(greeting) {
            session.send_line(&format!(r#"{{"QMP": {greeting}}}"#));
        }
        session
    }

    /// Accepts bytes from the client. Call [`next_request`](Self::next_request) until it returns
    /// `None` before passing more.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.closed.is_none() {
            self.input.extend(bytes);
        }
    }

    /// Returns whether more bytes should be read from the client. This is false while the client
    /// leaves replies unread, and after the end.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.closed.is_none() && self.input.is_empty() && !self.is_congested()
    }

    /// Returns the next command to execute. Out-of-band commands overtake waiting ones.
    ///
    /// Returns `None` if more bytes are needed, or if the client has to read its replies first.
    pub fn next_request(&mut self) -> Option<Request> {
        while self.closed.is_none() && !self.is_congested() {
            let outcome = match self.parse_ahead() {
                Some(out_of_band) => Ok(out_of_band),
                None => self.waiting.pop_front()?,
            };
            match outcome {
                Ok(message) => {
                    if let Some(request) = self.process(message) {
                        return Some(request);
                    }
                }
                Err(desc) => self.fail(None, &QmpError::generic(desc)),
            }
        }
        None
    }

    /// Answers a request; `id` is that of the request. For a command without a success response,
    /// call this only with an error.
    pub fn reply<T: Serialize>(&mut self, id: Option<Value>, result: &Result<T, QmpError>) {
        let encoded = match result {
            Ok(value) => encode_return(value),
            Err(error) => return self.fail(id.as_ref(), error),
        };
        match encoded {
            Ok(value) => self.succeed(id.as_ref(), &value),
            Err(error) => self.fail(id.as_ref(), &error),
        }
    }

    /// Sends an event. Events before the end of capabilities negotiation are discarded, as the
    /// protocol requires.
    pub fn event(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        self.event_line(&event_line(name, data.map(RawValue::get), timestamp));
    }

    /// Returns the bytes to send. Call [`sent`](Self::sent) once some of them have been sent.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Removes the given number of bytes from the start of the output, because they have been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.output.drain(..bytes.min(self.output.len()));
    }

    /// Takes all bytes to send.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Ends the connection. Pending output should still be sent; it is discarded only for
    /// [`CloseReason::OutputOverflow`].
    pub fn close(&mut self, reason: CloseReason) {
        if matches!(reason, CloseReason::OutputOverflow(_)) {
            self.output = Vec::new();
        }
        self.input = VecDeque::new();
        self.waiting.clear();
        self.closed.get_or_insert(reason);
    }

    /// Returns the reason why the connection has ended, if it has.
    #[must_use]
    pub fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }

    /// Returns whether capabilities negotiation is complete.
    #[must_use]
    pub fn is_negotiated(&self) -> bool {
        self.negotiated
    }

    /// Sends an event that [`event_line`] has encoded.
    pub(crate) fn event_line(&mut self, line: &str) {
        if !self.negotiated || self.closed.is_some() {
            return;
        }
        let pending = self.output.len() + line.len();
        if pending > self.limits.output_bytes {
            return self.close(CloseReason::OutputOverflow(pending));
        }
        self.send_line(line);
    }

    /// Sends a success response with a return value in JSON.
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

    /// Parses as many messages as the protocol lets a server look ahead, which is one unless
    /// out-of-band execution is enabled. Stops at an out-of-band message and returns it.
    fn parse_ahead(&mut self) -> Option<Value> {
        let ahead = if self.oob_enabled { MAX_IN_FLIGHT } else { 1 };
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
                // Do not keep the memory of one large message.
                self.input.shrink_to(64 << 10);
                return None;
            }
            let read = self.parser.read(bytes);
            self.input.drain(..read);
        }
    }

    /// Answers negotiation and invalid messages, and returns any other command.
    fn process(&mut self, message: Value) -> Option<Request> {
        let (id, request) = request::parse(message, self.oob_enabled);
        let result = match request {
            Ok(request) if request.name == "qmp_capabilities" => self.negotiate(&request),
            Ok(request) if self.negotiated => return Some(Request { id, ..request }),
            Ok(_) => Err(QmpError::new(
                ErrorClass::CommandNotFound,
                "Expecting capabilities negotiation with 'qmp_capabilities'",
            )),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => self.succeed(id.as_ref(), "{}"),
            Err(error) => self.fail(id.as_ref(), &error),
        }
        None
    }

    fn negotiate(&mut self, request: &Request) -> Result<(), QmpError> {
        if request.out_of_band {
            return Err(request::oob_unsupported(&request.name));
        }
        let enable = requested_capabilities(&request.arguments)?;
        if self.negotiated {
            return Err(QmpError::new(
                ErrorClass::CommandNotFound,
                "Capabilities negotiation is already complete, command ignored",
            ));
        }
        if let Some(missing) = enable.iter().find(|wanted| !self.offered.contains(wanted)) {
            return Err(QmpError::generic(format!("Capability {missing} not available")));
        }
        self.oob_enabled = enable.contains(&Capability::Oob);
        self.negotiated = true;
        Ok(())
    }

    fn send_line(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }
}

/// Returns an event as it is sent, without the end of the line.
pub(crate) fn event_line(name: &str, data: Option<&str>, timestamp: Timestamp) -> String {
    let name = to_json(name).unwrap_or_default();
    let time = to_json(&timestamp).unwrap_or_default();
    let data = data.map(|data| format!(r#", "data": {data}"#)).unwrap_or_default();
    format!(r#"{{"timestamp": {time}, "event": {name}{data}}}"#)
}

/// Decodes the arguments of `qmp_capabilities`.
fn requested_capabilities(arguments: &Map<String, Value>) -> Result<Vec<Capability>, QmpError> {
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
                // QEMU has no name for an element of an array, and prints `null`.
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
