//! Recordings of sessions: what a client and a server have sent to each other.

use std::fmt;
use std::io::{self, BufRead};
use std::path::Path;
use std::time::Duration;

use qmp_types::{Capability, ErrorClass, Greeting, Printable, QmpError, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::request::Request;
use crate::json::{dismantle, value_to_json};

/// The maximum size of a recording in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// A recorded session.
///
/// # Format
///
/// A recording is a text of one JSON object per line. Empty lines are ignored.
///
/// ```text
/// {"time": 0.000312, "direction": "received", "message": {"QMP": {...}}}
/// {"time": 0.000518, "direction": "sent", "message": {"execute": "query-status", "id": 1}}
/// {"time": 0.000702, "direction": "received", "message": {"return": {...}, "id": 1}}
/// ```
///
/// - `time`: the seconds since the beginning. It informs people; replaying ignores it.
/// - `direction`: `sent` by the client, or `received` by it.
/// - `message`: the message. In the place of a message that is not JSON, there is `text` with a string,
///   which replaying ignores.
///
/// Other members are ignored. A [`Recorder`](super::Recorder) writes this format.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(super) greeting: Greeting,
    /// Events before the first request.
    pub(super) events: Vec<Event>,
    pub(super) exchanges: Vec<Exchange>,
}

/// A request, its reply, and the events around it.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) id: Option<Value>,
    /// The events between the request and the reply.
    pub(super) before: Vec<Event>,
    /// None if the request was not answered.
    pub(super) reply: Option<Result<Box<RawValue>, QmpError>>,
    /// The events between the reply and the next request.
    pub(super) after: Vec<Event>,
}

/// A recorded event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: Option<Box<RawValue>>,
    pub(super) timestamp: Timestamp,
}

/// The error for a recording that cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file cannot be read.
    Io(io::Error),
    /// A line does not have the format of recordings.
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// The reason.
        reason: String,
    },
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("failed to read the recording"),
            Self::Line { line, reason } => {
                write!(f, "line {line} of the recording is invalid: {}", Printable(reason))
            }
        }
    }
}

impl std::error::Error for RecordingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Line { .. } => None,
        }
    }
}

impl Recording {
    /// Reads a recording from a file of up to 256 MiB.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or a line does not have the format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let file = std::fs::File::open(path).map_err(RecordingError::Io)?;
        Self::read(io::BufReader::new(file))
    }

    /// Reads a recording of up to 256 MiB.
    ///
    /// # Errors
    /// Returns an error if the recording cannot be read, or a line does not have the format.
    pub fn read(reader: impl BufRead) -> Result<Self, RecordingError> {
        let mut builder = Builder::default();
        for (number, line) in reader.take(MAX_BYTES).lines().enumerate() {
            let line = line.map_err(RecordingError::Io)?;
            if !line.trim().is_empty() {
                let failed = |reason| RecordingError::Line { line: number + 1, reason };
                builder.line(&line).map_err(failed)?;
            }
        }
        Ok(builder.recording)
    }

    /// Reads a recording from text.
    ///
    /// # Errors
    /// Returns an error if a line does not have the format.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        Self::read(text.as_bytes())
    }

    /// Returns the greeting, or a default one if none was recorded.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Returns the number of recorded requests, without capabilities negotiation.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.exchanges.len()
    }
}

/// Turns lines into exchanges.
struct Builder {
    recording: Recording,
    /// The exchange after whose reply the latest message came.
    last: Option<usize>,
}

impl Default for Builder {
    fn default() -> Self {
        let capabilities = vec![Capability::Oob];
        let greeting = Greeting { capabilities, ..Greeting::default() };
        let recording = Recording { greeting, events: Vec::new(), exchanges: Vec::new() };
        Self { recording, last: None }
    }
}

impl Builder {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut members: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(time) = members.get("time") {
            time.as_f64()
                .and_then(|time| Duration::try_from_secs_f64(time).ok())
                .ok_or("`time` is not a number of seconds")?;
        }
        let direction = members.get("direction").and_then(Value::as_str);
        let sent = match direction {
            Some("sent") => true,
            Some("received") => false,
            _ => return Err("`direction` is neither `sent` nor `received`".to_owned()),
        };
        let message = match members.remove("message") {
            Some(Value::Object(message)) => message,
            Some(other) => {
                dismantle([other]);
                return Err("`message` is not an object".to_owned());
            }
            None if members.get("text").is_some_and(Value::is_string) => return Ok(()),
            None => return Err("`message` is missing".to_owned()),
        };
        match sent {
            true => self.request(message),
            false => self.received(message),
        }
    }

    fn request(&mut self, mut message: Map<String, Value>) -> Result<(), String> {
        let id = message.remove("id");
        let out_of_band = message.contains_key("exec-oob");
        let name = message.remove("exec-oob").or_else(|| message.remove("execute"));
        let Some(Value::String(name)) = name else {
            return Err("the message that was sent is not a command".to_owned());
        };
        // The session that replays negotiates by itself, and this is not answered twice.
        if name == "qmp_capabilities" {
            return Ok(());
        }
        let arguments = match message.remove("arguments") {
            Some(Value::Object(arguments)) => arguments,
            None => Map::new(),
            Some(_) => return Err("`arguments` is not an object".to_owned()),
        };
        self.recording.exchanges.push(Exchange {
            request: Request { name, arguments, out_of_band },
            id,
            before: Vec::new(),
            reply: None,
            after: Vec::new(),
        });
        Ok(())
    }

    fn received(&mut self, mut message: Map<String, Value>) -> Result<(), String> {
        if let Some(greeting) = message.remove("QMP") {
            self.recording.greeting =
                serde_json::from_value(greeting).map_err(|error| error.to_string())?;
            return Ok(());
        }
        if let Some(name) = message.remove("event") {
            let name = name.as_str().ok_or("`event` is not a name")?.to_owned();
            let timestamp = message.remove("timestamp").unwrap_or_default();
            let timestamp = serde_json::from_value(timestamp).unwrap_or_else(|_| Timestamp::now());
            let data = message.remove("data").map(|data| raw(&data)).transpose()?;
            self.event(Event { name, data, timestamp });
            return Ok(());
        }
        let reply = match (message.remove("return"), message.remove("error")) {
            (Some(value), None) => Ok(raw(&value)?),
            (None, Some(error)) => {
                Err(serde_json::from_value(error).map_err(|error| error.to_string())?)
            }
            _ => return Err("the message that was received is not one of a server's".to_owned()),
        };
        let id = message.remove("id");
        let exchanges = &mut self.recording.exchanges;
        let is_answered = |exchange: &Exchange| exchange.reply.is_none() && exchange.id == id;
        // Otherwise it is the answer to negotiation, or to a message that was not recorded.
        if let Some(at) = exchanges.iter().position(is_answered) {
            exchanges[at].reply = Some(reply);
            self.last = Some(at);
        }
        Ok(())
    }

    /// Notes an event where it happened: before the reply to the oldest unanswered request, or else
    /// after the latest reply.
    fn event(&mut self, event: Event) {
        let Recording { events, exchanges, .. } = &mut self.recording;
        if let Some(exchange) = exchanges.iter_mut().find(|exchange| exchange.reply.is_none()) {
            return exchange.before.push(event);
        }
        match self.last.and_then(|last| exchanges.get_mut(last)) {
            Some(exchange) => exchange.after.push(event),
            None => events.push(event),
        }
    }
}

fn raw(value: &Value) -> Result<Box<RawValue>, String> {
    RawValue::from_string(value_to_json(value)).map_err(|error| error.to_string())
}

/// Returns the error for a request that a recording does not contain.
pub(super) fn missing(request: &Request) -> QmpError {
    let desc = format!("the recording does not contain {}", request.describe());
    QmpError::new(ErrorClass::GenericError, desc)
}
