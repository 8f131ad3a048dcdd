//! A connection's events of `tracing`: every message, and why the connection ended.

#![cfg(all(unix, feature = "tracing", feature = "blocking"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use qmp_client::blocking::Client;
use qmp_client::transport::Unix;
use qmp_client::{Options, Raw};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Level, Metadata, Subscriber};

/// One event of `tracing`.
#[derive(Clone, Debug)]
struct Record {
    level: Level,
    target: String,
    fields: Vec<(&'static str, String)>,
}

impl Record {
    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.push((field.name(), format!("{value:?}")));
    }
}

/// A subscriber that keeps all events down to a level.
#[derive(Clone)]
struct Recorder {
    down_to: Level,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.down_to
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target().to_owned());
        let mut record = Record { level, target, fields: Vec::new() };
        event.record(&mut record);
        self.records.lock().unwrap().push(record);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &SpanRecord<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 10}, "package": ""}, "capabilities": []}}"#;
const EVENT: &str = r#"{"event": "STOP"}"#;

/// Greets, answers two commands with an event before each reply, and closes the connection.
fn serve(stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    writeln!(stream.get_mut(), "{GREETING}\r").unwrap();
    for _ in 0..2 {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let command: Value = serde_json::from_str(&line).unwrap();
        writeln!(stream.get_mut(), "{EVENT}\r").unwrap();
        writeln!(stream.get_mut(), "{{\"return\": 7, \"id\": {}}}\r", command["id"]).unwrap();
    }
}

/// Returns the events of a whole connection.
fn records_of_a_connection(down_to: Level) -> Vec<Record> {
    let recorder = Recorder { down_to, records: Arc::default() };
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| serve(theirs));
        // For this thread only, since the blocking client does everything on it.
        tracing::subscriber::with_default(recorder.clone(), || {
            let transport = Unix::from_stream(ours).unwrap();
            let client = Client::over(transport, &Options::new()).unwrap();
            let command = Raw::<u8>::new("query-answer");
            assert_eq!(client.execute(command).unwrap(), 7);
            assert!(client.execute(Raw::<u8>::new("query-more")).unwrap_err().is_closed());
        });
    });
    let records = recorder.records.lock().unwrap().clone();
    assert!(records.iter().all(|record| record.target == "qmp_protocol"), "{records:?}");
    records
}

/// Each message is recorded once, as text, in order, at level `TRACE`, and then the reason for the
/// end at level `DEBUG`.
#[test]
fn every_message_and_the_end_are_recorded() {
    let records = records_of_a_connection(Level::TRACE);
    let recorded: Vec<_> = records
        .iter()
        .map(|record| (record.level, record.field("direction"), record.field("message")))
        .collect();
    let directions =
        ["Received", "Sent", "Received", "Received", "Sent", "Received", "Received", "Sent"];
    assert_eq!(recorded.len(), directions.len() + 1, "{recorded:?}");
    let (end, messages) = records.split_last().unwrap();
    for (record, direction) in messages.iter().zip(directions) {
        assert_eq!(
            (record.level, record.field("direction")),
            (Level::TRACE, direction),
            "{recorded:?}"
        );
        let message = record.field("message");
        assert!(serde_json::from_str::<Value>(message).is_ok(), "{message}");
        assert_eq!(message, message.trim());
    }
    assert_eq!(messages[0].field("message"), GREETING);
    assert!(messages[1].field("message").contains("qmp_capabilities"));
    assert_eq!(messages[2].field("message"), EVENT);
    assert!(messages[4].field("message").contains("query-answer"));
    assert!(messages[6].field("message").contains("\"return\": 7"));

    assert_eq!(end.level, Level::DEBUG);
    assert_eq!(end.field("message"), "the connection has ended");
    assert_eq!(end.field("reason"), "the peer closed it");
}

/// A subscriber that does not want messages only gets the end.
#[test]
fn levels_are_respected() {
    let records = records_of_a_connection(Level::DEBUG);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].level, Level::DEBUG);
    assert!(records_of_a_connection(Level::INFO).is_empty());
}
