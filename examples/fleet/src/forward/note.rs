//! Messages for the broker.

use std::time::{SystemTime, UNIX_EPOCH};

use qmp_client::protocol::{Excerpt, Printable};
use qmp_client::{Client, RawEvent};
use qmp_types::Redactor;
use qmp_vm::supervise::{Connection, SameQemu};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::names::{event_token, token};

/// The longest message, in bytes. That of a longer event says how long its data is, and leaves it out.
const LONGEST: usize = 64 << 10;

/// A message and its subject.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// The subject.
    pub subject: String,
    /// The message: JSON.
    pub text: String,
}

impl Note {
    /// Returns the number of bytes that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.subject.len() + self.text.len()
    }
}

/// Makes the messages of one machine, which are numbered.
#[derive(Debug)]
pub struct Voice {
    prefix: String,
    host: String,
    machine: String,
    run: String,
    number: u64,
}

/// Returns what distinguishes numbers that begin with one from those before: the time, in microseconds.
pub(super) fn run() -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time.as_micros().to_string()
}

#[derive(Serialize)]
struct Message<'a, T> {
    run: &'a str,
    number: u64,
    host: &'a str,
    machine: &'a str,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct EventContent<'a> {
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_left_out: Option<usize>,
    timestamp: Time,
}

#[derive(Serialize)]
struct Time {
    seconds: i64,
    microseconds: i64,
}

#[derive(Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
enum Change<'a> {
    Connected {
        connection: u64,
        qemu: &'static str,
        reason: String,
        events_missed: bool,
        version: Option<&'a str>,
        name: Option<&'a str>,
        uuid: Option<&'a str>,
    },
    Lost {
        reason: String,
    },
    Gap {
        missed: u64,
    },
    Ended {
        reason: String,
    },
}

impl Voice {
    /// Creates the voice of a machine, whose numbers begin with one.
    #[must_use]
    pub fn new(host: &str, machine: &str) -> Self {
        let prefix = format!("qmp.{}.{}", token(host), token(machine));
        Self { prefix, host: host.to_owned(), machine: machine.to_owned(), run: run(), number: 0 }
    }

    /// Returns the message of an event.
    pub fn event(&mut self, event: &RawEvent) -> Note {
        let subject = format!("{}.{}", self.prefix, event_token(&event.name));
        let time = event.timestamp;
        let size = event.data.as_ref().map_or(0, |data| data.get().len());
        let is_short = event.size() <= LONGEST;
        let content = EventContent {
            event: Excerpt(&*event.name, 256).to_string(),
            data: event.data.as_deref().filter(|_| is_short),
            data_left_out: (!is_short).then_some(size),
            timestamp: Time { seconds: time.seconds, microseconds: time.microseconds },
        };
        self.note(subject, content)
    }

    /// Returns the message of a connection that was made.
    pub fn connected(&mut self, connection: &Connection<Client>) -> Note {
        let qemu = match &connection.same_qemu {
            SameQemu::First => "first",
            SameQemu::Same => "same",
            SameQemu::Another(_) => "another",
            _ => "unknown",
        };
        let identity = &connection.identity;
        self.change(Change::Connected {
            connection: connection.number,
            qemu,
            reason: connection.same_qemu.to_string(),
            events_missed: connection.events_missed(),
            version: identity.version(),
            name: identity.name(),
            uuid: identity.uuid(),
        })
    }

    /// Returns the message of a connection that was lost.
    pub fn lost(&mut self, reason: &str) -> Note {
        self.change(Change::Lost { reason: Printable(reason).to_string() })
    }

    /// Returns the message of events that were dropped.
    pub fn gap(&mut self, missed: u64) -> Note {
        self.change(Change::Gap { missed })
    }

    /// Returns the message of a machine that is given up.
    pub fn ended(&mut self, reason: &str) -> Note {
        self.change(Change::Ended { reason: Printable(reason).to_string() })
    }

    fn change(&mut self, change: Change<'_>) -> Note {
        self.note(format!("{}.connection", self.prefix), change)
    }

    fn note(&mut self, subject: String, content: impl Serialize) -> Note {
        self.number += 1;
        let (host, machine) = (self.host.as_str(), self.machine.as_str());
        let message = Message { run: &self.run, number: self.number, host, machine, content };
        // Strings and numbers can always be written.
        let text = serde_json::to_string(&message).unwrap_or_default();
        // Passwords in URLs and file names, as in the events of block devices.
        let text = Redactor::new().received(&text).into_owned();
        Note { subject, text }
    }
}
