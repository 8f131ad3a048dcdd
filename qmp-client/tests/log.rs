//! Tests of what is written to `log`, as the feature of that name of `tracing` does if no subscriber
//! exists. A logger is the whole process's, so that this is a file of its own.

#![cfg(all(unix, feature = "blocking", feature = "tracing", feature = "qmp"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::thread;

use qmp_client::blocking::Client;
use qmp_client::qmp::AnyEvent;
use qmp_client::transport::Unix;
use qmp_client::{Options, Raw};
use serde_json::{Value, json};
use tracing::log;

struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.target(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

const EVENT: &str =
    "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\r\n";

fn serve(mut stream: UnixStream) {
    stream.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n").unwrap();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let Ok(line) = line else { return };
        let command: Value = serde_json::from_str(&line).unwrap();
        let reply = json!({"return": {}, "id": command["id"]});
        let _ = stream.write_all(format!("{reply}\r\n").as_bytes());
        if command["execute"] == "x" {
            let _ = stream.write_all(EVENT.repeat(3).as_bytes());
        }
    }
}

/// Neither the events that a lone reader decodes in place nor any call were logged, since nothing had
/// subscribed to spans.
#[test]
fn events_and_calls_are_logged_without_a_subscriber() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(|| serve(theirs));
    let transport = Unix::from_stream(ours).unwrap();
    let client = Client::over(transport, &Options::new().name("vm-7")).unwrap();
    let mut events = client.events::<AnyEvent>();
    client.execute(Raw::<Value>::new("x")).unwrap();
    for _ in 0..3 {
        events.next().unwrap().unwrap();
    }
    drop((events, client));
    server.join().unwrap();
    let lines = LINES.0.lock().unwrap();
    let count = |parts: &[&str]| {
        lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    };
    assert_eq!(count(&["an event has arrived", "STOP", "vm-7"]), 3, "{lines:#?}");
    assert!(count(&["call", "command=x", "monitor=vm-7"]) > 0, "{lines:#?}");
    assert!(count(&["call", "outcome=\"ok\""]) > 0, "{lines:#?}");
}
