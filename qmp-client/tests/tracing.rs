//! The spans and events of `tracing` that a connection makes: a span for each call, events, messages, and the end.

#![cfg(all(unix, feature = "tracing", feature = "blocking"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::transport::Unix;
use qmp_client::{Options, Raw};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Level, Metadata, Subscriber};

/// One event or span of `tracing`.
#[derive(Clone, Debug)]
struct Record {
    level: Level,
    target: String,
    fields: Vec<(&'static str, String)>,
    /// For a span: how often it was entered, how many threads or tasks are in it, and whether it is
    /// closed.
    entered: usize,
    inside: usize,
    is_closed: bool,
}

impl Record {
    fn new(metadata: &Metadata<'_>) -> Self {
        let (level, target) = (*metadata.level(), metadata.target().to_owned());
        Self { level, target, fields: Vec::new(), entered: 0, inside: 0, is_closed: false }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), value.to_owned()));
    }
}

/// A subscriber that keeps everything down to a level.
#[derive(Clone)]
struct Recorder {
    down_to: Level,
    records: Arc<Mutex<Vec<Record>>>,
    spans: Arc<Mutex<Vec<(Record, usize)>>>,
}

impl Recorder {
    fn new(down_to: Level) -> Self {
        Self { down_to, records: Arc::default(), spans: Arc::default() }
    }

    fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Record> {
        self.spans.lock().unwrap().iter().map(|(span, _)| span.clone()).collect()
    }

    /// Changes a span, and the number of its references.
    fn change(&self, id: &Id, change: impl FnOnce(&mut Record, &mut usize)) -> bool {
        let mut spans = self.spans.lock().unwrap();
        let (span, references) = &mut spans[id.into_u64() as usize - 1];
        change(span, references);
        *references == 0
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.down_to
    }

    fn event(&self, event: &Event<'_>) {
        let mut record = Record::new(event.metadata());
        event.record(&mut record);
        self.records.lock().unwrap().push(record);
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut record = Record::new(attributes.metadata());
        attributes.record(&mut record);
        let mut spans = self.spans.lock().unwrap();
        spans.push((record, 1));
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, id: &Id, values: &SpanRecord<'_>) {
        self.change(id, |span, _| values.record(span));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, id: &Id) {
        self.change(id, |span, _| {
            (span.entered, span.inside) = (span.entered + 1, span.inside + 1)
        });
    }

    fn exit(&self, id: &Id) {
        self.change(id, |span, _| span.inside -= 1);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.change(id, |_, references| *references += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        self.change(&id, |span, references| {
            *references -= 1;
            span.is_closed = *references == 0;
        })
    }
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
    let recorder = Recorder::new(down_to);
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
    recorder.records()
}

/// Each message is recorded once, as text, in order, at level `TRACE`, and then the reason for the
/// end at level `DEBUG`.
#[test]
fn every_message_and_the_end_are_recorded() {
    let mut records = records_of_a_connection(Level::TRACE);
    records.retain(|record| record.target == "qmp_protocol");
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

/// Calls on a stream that the program opened had no name.
#[test]
fn a_monitor_has_the_name_that_is_set_or_another() {
    let unnamed = Options::new().name_or("unix:/run/vm.sock");
    let named = Options::new().name("vm").name_or("unix:/run/vm.sock");
    for (options, name) in [(unnamed, "unix:/run/vm.sock"), (named, "vm")] {
        let recorder = Recorder::new(Level::DEBUG);
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| serve(theirs));
            tracing::subscriber::with_default(recorder.clone(), || {
                let client = Client::over(Unix::from_stream(ours).unwrap(), &options).unwrap();
                client.execute(Raw::<u8>::new("query-answer")).unwrap();
                drop(client.execute(Raw::<u8>::new("query-more")));
            });
        });
        let monitors: Vec<_> =
            recorder.spans().iter().map(|span| span.field("monitor").to_owned()).collect();
        assert_eq!(monitors, [name, name]);
    }
}

/// A subscriber that does not want messages gets the names of events, and the end.
#[test]
fn levels_are_respected() {
    let records = records_of_a_connection(Level::DEBUG);
    let targets: Vec<&str> = records.iter().map(|record| &*record.target).collect();
    assert_eq!(targets, ["qmp_client", "qmp_client", "qmp_protocol"], "{records:?}");
    assert!(records.iter().all(|record| record.level == Level::DEBUG), "{records:?}");
    assert_eq!(records[0].field("event"), "STOP");
    assert!(records_of_a_connection(Level::INFO).is_empty());
}

/// The server's side: answers each command by its name.
fn answer(stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    writeln!(stream.get_mut(), "{GREETING}").unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|length| length > 0) {
        let command: Value = serde_json::from_str(&line).unwrap();
        line.clear();
        let id = &command["id"];
        let reply = match command["execute"].as_str().unwrap() {
            "refused" => json!({"error": {"class": "DeviceNotFound", "desc": "no"}, "id": id}),
            "mine" => json!({"error": {"class": "Mine", "desc": "no"}, "id": id}),
            "mismatched" => json!({"return": "seven", "id": id}),
            "silent" => continue,
            "end" => return,
            _ => json!({"return": 7, "id": id}),
        };
        let _ = writeln!(stream.get_mut(), "{reply}");
    }
}

const SOON: Duration = Duration::from_millis(30);

/// The commands of the calls and their outcomes, in this order.
const OUTCOMES: [(&str, &str); 8] = [
    ("good", "ok"),
    ("refused", "DeviceNotFound"),
    ("mine", "another class"),
    ("mismatched", "mismatched"),
    ("silent", "timed out"),
    ("silent", "canceled"),
    ("good", "ok"),
    ("end", "closed"),
];

/// Checks the spans of the calls in [`OUTCOMES`].
fn check_spans(recorder: &Recorder) {
    let spans = recorder.spans();
    let outcomes: Vec<_> =
        spans.iter().map(|span| (span.field("command"), span.field("outcome"))).collect();
    assert_eq!(outcomes, OUTCOMES, "{spans:?}");
    for (span, id) in spans.iter().zip(1..) {
        assert_eq!(span.target, "qmp_client");
        assert_eq!((span.field("id"), span.field("monitor")), (&*id.to_string(), "vm-7"));
        assert!(span.field("latency_us").parse::<u64>().is_ok(), "{span:?}");
        assert!(span.entered > 0 && span.inside == 0 && span.is_closed, "{span:?}");
        let names: BTreeSet<&str> = span.fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), span.fields.len(), "recorded once: {span:?}");
    }
}

#[test]
fn each_call_has_a_span() {
    let recorder = Recorder::new(Level::DEBUG);
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| answer(theirs));
        tracing::subscriber::with_default(recorder.clone(), || {
            let transport = Unix::from_stream(ours).unwrap();
            let client = Client::over(transport, &Options::new().name("vm-7")).unwrap();
            let call = |name: &'static str| client.call(Raw::<u8>::new(name)).within(SOON * 1000);
            for name in ["good", "refused", "mine", "mismatched"] {
                assert_eq!(call(name).execute().is_ok(), name == "good");
            }
            assert!(call("silent").within(SOON).execute().unwrap_err().is_timeout());
            drop(call("silent").send().unwrap());
            assert_eq!(call("good").send().unwrap().receive().unwrap(), 7);
            assert!(call("end").execute().unwrap_err().is_closed());
        });
    });
    check_spans(&recorder);
}

/// A future's span is entered while it is polled, and another task's span is never inside it.
#[cfg(feature = "tokio")]
#[test]
fn each_future_has_a_span() {
    let recorder = Recorder::new(Level::DEBUG);
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let session = async {
        let stream = ::tokio::net::UnixStream::from_std(ours).unwrap();
        let options = Options::new().name("vm-7");
        let client = qmp_client::Client::over(stream, &options).await.unwrap();
        let call = |name: &'static str| client.call(Raw::<u8>::new(name)).within(SOON * 1000);
        let mut replies = ["good", "refused", "mine", "mismatched"].map(|name| {
            let mut reply = call(name).execute();
            assert!(poll_once(&mut reply).is_pending());
            reply
        });
        // All are in flight, and none is entered: another await would be inside.
        assert!(recorder.spans().iter().all(|span| span.inside == 0));
        assert_eq!(recorder.spans().len(), replies.len());
        for reply in replies.iter_mut().rev() {
            let _ = reply.await;
        }
        assert!(call("silent").within(SOON).execute().await.unwrap_err().is_timeout());
        let mut dropped = call("silent").execute();
        assert!(poll_once(&mut dropped).is_pending());
        drop(dropped);
        assert_eq!(call("good").send().unwrap().receive().await.unwrap(), 7);
        assert!(call("end").execute().await.unwrap_err().is_closed());
        // A future that is never polled submits nothing.
        drop(call("good").execute());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| answer(theirs));
        tracing::subscriber::with_default(recorder.clone(), || runtime.block_on(session));
    });
    check_spans(&recorder);
}

#[cfg(feature = "tokio")]
fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut cx)
}

#[cfg(all(feature = "qmp", feature = "qga"))]
const PASSWORD: &str = "hunter2";

/// A server that repeats the arguments of each command wherever it can.
#[cfg(all(feature = "qmp", feature = "qga"))]
fn repeat(stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    writeln!(stream.get_mut(), "{GREETING}").unwrap();
    let mut line = String::new();
    for turn in 0.. {
        line.clear();
        if !stream.read_line(&mut line).is_ok_and(|length| length > 0) {
            return;
        }
        let command: Value = serde_json::from_str(&line).unwrap();
        let (id, arguments) = (&command["id"], &command["arguments"]);
        let reply = match turn % 3 {
            _ if arguments.is_null() => json!({"return": {}, "id": id}),
            0 => json!({"return": arguments, "id": id}),
            1 => {
                json!({"error": {"class": "GenericError", "desc": arguments.to_string()}, "id": id})
            }
            _ => json!({"error": {"class": PASSWORD, "desc": PASSWORD}, "id": id}),
        };
        let name = if arguments.is_null() { "NOTHING" } else { PASSWORD };
        let event = json!({"event": name, "data": arguments});
        let _ = writeln!(stream.get_mut(), "{event}\n{reply}");
    }
}

/// No member that is secret is shown at any level, not even if the server repeats it in its reply, or
/// as the name of an event.
#[cfg(all(feature = "qmp", feature = "qga"))]
#[test]
fn no_secret_is_shown() {
    use qmp_client::{qga, qmp};

    let recorder = Recorder::new(Level::TRACE);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut count = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| repeat(theirs));
        tracing::subscriber::with_default(recorder.clone(), || {
            let transport = Unix::from_stream(ours).unwrap();
            let client = Client::over(transport, &Options::new()).unwrap();
            let secrets = qmp::SECRETS.iter().chain(qga::SECRETS);
            for (command, member) in
                secrets.flat_map(|(command, members)| members.iter().map(move |one| (command, one)))
            {
                let value = match *member {
                    "command-line" => format!("set_password vnc {PASSWORD}"),
                    _ => PASSWORD.to_owned(),
                };
                let call = Raw::<Value>::new(*command).arguments(&json!({*member: value}));
                let _ = client.execute(call);
                count += 1;
            }
        });
    });
    assert!(count > 10, "{count}");
    let (records, spans) = (recorder.records(), recorder.spans());
    assert_eq!(spans.len(), count);
    // Messages were recorded, with their secrets masked.
    assert!(records.iter().any(|record| record.field("message").contains("<secret>")));
    assert!(records.len() > 2 * count, "{records:?}");
    for record in records.iter().chain(&spans) {
        let shown = format!("{record:?}");
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
}

/// A subscriber that asks for the numbers of calls whenever a span is left, on another thread, and
/// panics if it gets no answer.
struct Asking {
    recorder: Recorder,
    client: Arc<OnceLock<Client>>,
}

impl Subscriber for Asking {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.recorder.enabled(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        self.recorder.event(event);
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        self.recorder.new_span(attributes)
    }

    fn record(&self, id: &Id, values: &SpanRecord<'_>) {
        self.recorder.record(id, values);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, id: &Id) {
        self.recorder.enter(id);
    }

    fn exit(&self, id: &Id) {
        self.recorder.exit(id);
        let Some(client) = self.client.get().cloned() else { return };
        let (answer, answered) = mpsc::channel();
        std::thread::spawn(move || answer.send(Box::new(client.stats())));
        answered.recv_timeout(Duration::from_secs(30)).expect("the connection is locked");
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.recorder.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.recorder.try_close(id)
    }
}

/// A subscriber may take its time, and must not stop the other threads meanwhile.
#[test]
fn a_span_is_left_without_a_lock() {
    let client = Arc::new(OnceLock::new());
    let asking = Asking { recorder: Recorder::new(Level::DEBUG), client: Arc::clone(&client) };
    let recorder = asking.recorder.clone();
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| serve(theirs));
        tracing::subscriber::with_default(asking, || {
            let transport = Unix::from_stream(ours).unwrap();
            let client = client.get_or_init(|| Client::over(transport, &Options::new()).unwrap());
            client.send(Raw::<u8>::new("query-answer")).unwrap().receive().unwrap();
        });
    });
    let spans = recorder.spans();
    assert_eq!(spans.iter().map(|span| span.entered > 0).collect::<Vec<_>>(), [true]);
}
