//! A recorded session with QEMU, replayed to both clients: one that is recorded now, and one that was
//! recorded earlier. `BLESS=1` replaces the latter by the former.

#![cfg(all(feature = "blocking", feature = "tokio", unix))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qmp_client::qmp::commands::{
    BlockdevAdd, BlockdevDel, Cont, QueryNamedBlockNodes, QueryStatus, QueryVersion, Stop,
};
use qmp_client::qmp::events::{Resume, Stop as Stopped};
use qmp_client::qmp::types::BlockdevOptions;
use qmp_client::transport::Unix;
use qmp_client::{Error, Options, Raw, blocking, qmp};
use qmp_server::Schema;
use qmp_server::replay::{Fault, Order, Recorder, Recording, Replay, ReplayServer};
use qmp_vm::Launch;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A disk without contents.
fn disk() -> BlockdevOptions {
    serde_json::from_value(json!({"driver": "null-co", "node-name": "d", "size": 512})).unwrap()
}

/// Uses a client, blocking or not, and returns what it has learned, as text.
macro_rules! visit {
    ($client:expr $(, $wait:tt)?) => {{
        let client = $client;
        let mut learned = Vec::new();
        let mut note = |what: &dyn std::fmt::Debug| learned.push(format!("{what:?}"));
        note(client.greeting());
        note(&client.execute(QueryVersion::new()) $(.$wait)? .unwrap());
        note(&client.execute(QueryStatus::new()) $(.$wait)? .unwrap());
        // The same request, with another reply.
        let call = client.call(Stop::new()).within(PATIENCE);
        note(&call.until(|_: &Stopped| true) $(.$wait)? .unwrap().1);
        note(&client.execute(QueryStatus::new()) $(.$wait)? .unwrap());
        let call = client.call(Cont::new()).within(PATIENCE);
        note(&call.until(|_: &Resume| true) $(.$wait)? .unwrap().1);
        note(&client.execute(BlockdevAdd::new(disk())) $(.$wait)? .unwrap());
        note(&client.execute(QueryNamedBlockNodes::new()) $(.$wait)? .unwrap());
        let failed = client.execute(BlockdevAdd::new(disk())) $(.$wait)? .unwrap_err();
        note(&failed.server().unwrap().desc);
        note(&client.execute(BlockdevDel::new("d")) $(.$wait)? .unwrap());
        learned
    }};
}

fn visit(client: &blocking::Client) -> Vec<String> {
    visit!(client)
}

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Records a session with a live QEMU, and returns it and what the client has learned.
fn record() -> (String, Vec<String>) {
    let memory = Memory::default();
    let recorder = Recorder::new(memory.clone(), "monitor");
    let options = Options::new().record(&recorder);
    let program =
        std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
    let launch = Launch::new(program).args(["-M", "none", "-display", "none"]);
    let machine = launch.options(options).start::<blocking::Client>().unwrap();
    let learned = visit(machine.client());
    // What follows, quitting, is not part of the recording.
    let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    recorder.finish().unwrap();
    machine.quit().unwrap();
    (text, learned)
}

fn start(recording: &str, order: Order) -> ReplayServer {
    let schema = Schema::parse(qmp::INTROSPECTION).unwrap();
    Replay::of(Recording::parse(recording).unwrap()).order(order).schema(schema).start()
}

fn connect(server: &ReplayServer) -> blocking::Client {
    let stream = Unix::from_stream(server.connect().unwrap()).unwrap();
    blocking::Client::over(stream, &Options::new()).unwrap()
}

/// Replays a recording to both clients in both orders, and returns what they have learned.
fn replay(recording: &str) -> Vec<String> {
    let server = start(recording, Order::Strict);
    let learned = visit(&connect(&server));
    server.finish().unwrap();

    let server = start(recording, Order::ByRequest);
    assert_eq!(visit(&connect(&server)), learned);
    server.finish().unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = start(recording, Order::Strict);
    runtime.block_on(async {
        let stream = server.connect().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) = qmp_client::tokio::over(stream, &Options::new());
        tokio::spawn(driver);
        let client = connecting.await.unwrap();
        assert_eq!(visit!(&client, await), learned);
    });
    server.finish().unwrap();
    learned
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/session.jsonl")
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn a_live_qemu_is_recorded_and_replayed() {
    let (recording, learned) = record();
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(committed(), &recording).unwrap();
    }
    assert_eq!(replay(&recording), learned);
}

#[test]
fn the_committed_recording_is_replayed() {
    let recording = std::fs::read_to_string(committed()).unwrap();
    let learned = replay(&recording);
    assert!(learned[2].contains("status: Running"), "{learned:?}");
    assert!(learned[4].contains("status: Paused"), "{learned:?}");
    assert!(learned.iter().any(|line| line.contains("Duplicate nodes with node-name")));
}

#[test]
fn requests_that_do_not_fit_are_reported() {
    let recording = std::fs::read_to_string(committed()).unwrap();
    let server = start(&recording, Order::ByRequest);
    let client = connect(&server);
    let error = client.execute(Raw::<Value>::new("query-name")).unwrap_err();
    let desc = &error.server().unwrap().desc;
    assert_eq!(desc, "the recording does not contain `query-name` without arguments");
    let nonsense = Raw::<Value>::new("query-status").arguments(&json!({"nope": 1}));
    client.execute(nonsense).unwrap_err();
    let error = server.finish().unwrap_err();
    let invalid = "Parameter 'nope' is unexpected";
    assert!(matches!(&error.faults()[0], Fault::NotRecorded { .. }), "{error}");
    assert!(matches!(&error.faults()[1], Fault::Invalid { reason, .. } if reason == invalid));
    assert!(error.to_string().contains("not in the recording: `query-name`"), "{error}");

    let server = start(&recording, Order::Strict);
    let client = connect(&server);
    client.execute(QueryVersion::new()).unwrap();
    let error = client.execute(Stop::new()).unwrap_err();
    assert!(matches!(error, Error::Server(_)), "{error:?}");
    let error = server.finish().unwrap_err();
    let expected = "expected `query-status` without arguments, got `stop` without arguments";
    assert!(error.to_string().contains(expected), "{error}");
    assert!(error.faults().iter().any(|fault| matches!(fault, Fault::NotSent { .. })));
}
