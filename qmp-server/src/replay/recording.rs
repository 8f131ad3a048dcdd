//! Recordings of sessions: what a client and a server have sent to each other.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::Path;

use qmp_types::recording::{Content, Direction, Entry, Reader, RecordingError};
use qmp_types::{Capability, ErrorClass, Greeting, QmpError, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::request::Request;

/// The maximum size of a recording in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// A recorded session, in the format of [`qmp_types::recording`].
///
/// The messages of several connections are replayed as if they were one connection's, unless one is
/// [selected](Self::of_monitor). In a recording with a header, messages that are neither commands nor
/// a server's are skipped; in one without, which was written by hand, they are errors.
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
    /// The name of the connection.
    monitor: String,
    id: Option<Value>,
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

impl Recording {
    /// Reads a recording from a file of up to 256 MiB.
    ///
    /// ```no_run
    /// let recording = qmp_server::replay::Recording::open("tests/data/session.qmp")?;
    /// println!("{} requests", recording.request_count());
    /// # Ok::<(), qmp_server::replay::RecordingError>(())
    /// ```
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
        Self::read_where(reader, &|_| true)
    }

    /// Reads the messages of one connection from a recording of up to 256 MiB.
    ///
    /// # Errors
    /// Returns an error if the recording cannot be read, or a line does not have the format.
    pub fn of_monitor(reader: impl BufRead, name: &str) -> Result<Self, RecordingError> {
        Self::read_where(reader, &|monitor| monitor == name)
    }

    fn read_where(
        reader: impl BufRead,
        selects: &dyn Fn(&str) -> bool,
    ) -> Result<Self, RecordingError> {
        let mut reader = Reader::new(reader.take(MAX_BYTES))?;
        let mut builder = Builder { is_lenient: reader.header().is_some(), ..Builder::default() };
        for entry in reader.by_ref() {
            let entry = entry?;
            if selects(&entry.monitor) {
                let line = entry.line;
                builder.entry(entry).map_err(|reason| RecordingError::line(line, reason))?;
            }
        }
        Ok(builder.recording)
    }

    /// Reads a recording from text.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// assert_eq!(recording.request_count(), 1);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a line does not have the format.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        Self::read(text.as_bytes())
    }

    /// Returns the greeting, or a default one if none was recorded.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// println!("recorded with QEMU {}", recording.greeting().version.qemu.major);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Returns the number of recorded requests, without capabilities negotiation.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// assert_eq!(recording.request_count(), 1);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.exchanges.len()
    }
}

/// Turns lines into exchanges.
struct Builder {
    recording: Recording,
    /// Whether messages are skipped that are neither commands nor a server's.
    is_lenient: bool,
    /// The exchange after whose reply the latest message came.
    last: Option<usize>,
}

impl Default for Builder {
    fn default() -> Self {
        let capabilities = vec![Capability::Oob];
        let greeting = Greeting { capabilities, ..Greeting::default() };
        let recording = Recording { greeting, events: Vec::new(), exchanges: Vec::new() };
        Self { recording, is_lenient: false, last: None }
    }
}

impl Builder {
    fn entry(&mut self, entry: Entry) -> Result<(), String> {
        let Content::Message(message) = entry.content else { return Ok(()) };
        let added = match entry.direction {
            Direction::Sent => value(&message).and_then(|m| self.request(entry.monitor, m)),
            Direction::Received => value(&message).and_then(|m| self.received(&entry.monitor, m)),
        };
        if self.is_lenient { Ok(()) } else { added }
    }

    fn request(&mut self, monitor: String, mut message: Map<String, Value>) -> Result<(), String> {
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
            monitor,
            id,
            before: Vec::new(),
            reply: None,
            after: Vec::new(),
        });
        Ok(())
    }

    fn received(
        &mut self,
        monitor: &str,
        mut message: BTreeMap<String, Box<RawValue>>,
    ) -> Result<(), String> {
        if let Some(greeting) = message.get("QMP") {
            self.recording.greeting = value(greeting)?;
            return Ok(());
        }
        if let Some(name) = message.get("event") {
            let name = value(name)?;
            let timestamp = message.get("timestamp").and_then(|time| value(time).ok());
            let timestamp = timestamp.unwrap_or_else(Timestamp::now);
            self.event(Event { name, data: message.remove("data"), timestamp });
            return Ok(());
        }
        // The text of a reply is kept, with the order of its members.
        let reply = match (message.remove("return"), message.get("error")) {
            (Some(text), None) => Ok(text),
            (None, Some(error)) => Err(value(error)?),
            _ => return Err("the message that was received is not one of a server's".to_owned()),
        };
        let id: Option<Value> = message.get("id").map(|id| value(id)).transpose()?;
        let exchanges = &mut self.recording.exchanges;
        let is_answered = |exchange: &Exchange| {
            exchange.reply.is_none() && exchange.id == id && exchange.monitor == monitor
        };
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

fn value<T: DeserializeOwned>(text: &RawValue) -> Result<T, String> {
    serde_json::from_str(text.get()).map_err(|error| error.to_string())
}

/// Returns the error for a request that a recording does not contain.
pub(super) fn missing(request: &Request) -> QmpError {
    let desc = format!("the recording does not contain {}", request.describe());
    QmpError::new(ErrorClass::GenericError, desc)
}
