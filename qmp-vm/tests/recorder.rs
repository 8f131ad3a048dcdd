//! Programs that record their sessions, with both clients and with the guest agent.

#![cfg(all(feature = "blocking", feature = "qga", feature = "tokio", unix))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{ChangeVncPassword, QueryStatus};
use qmp_client::recording::{Content, Direction, Reader, Recorder};
use qmp_client::transport::Unix;
use qmp_client::{Options, blocking};
use qmp_server::Simulator;
use qmp_server::agent::AgentSimulator;
use qmp_server::replay::{Order, Recording, Replay};
use qmp_vm::blocking::Agent;

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Returns the recording when it has this many messages: the last ones are written soon after
    /// they have arrived.
    fn messages(&self, count: usize) -> Vec<(Direction, String)> {
        let begin = Instant::now();
        loop {
            let reader = Reader::new(io::Cursor::new(self.text())).unwrap();
            let entries: Vec<_> = reader.map(Result::unwrap).collect();
            if entries.len() >= count {
                assert!(entries.iter().all(|entry| entry.monitor == "vm" && entry.time.is_some()));
                let text = |content| match content {
                    Content::Message(message) => message.get().to_owned(),
                    Content::Text(text) => text,
                };
                return entries
                    .into_iter()
                    .map(|entry| (entry.direction, text(entry.content)))
                    .collect();
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn recorder() -> (Memory, Recorder, Options) {
    let memory = Memory::default();
    let recorder = Recorder::new(memory.clone(), "vm");
    let options = Options::new().record(&recorder);
    (memory, recorder, options)
}

/// Fails: the machine has no display.
fn password() -> ChangeVncPassword {
    ChangeVncPassword::new("open sesame")
}

/// The greeting, the negotiation with its reply, and two commands.
fn assert_recorded(memory: &Memory) -> String {
    let messages = memory.messages(7);
    assert!(messages[0].0 == Direction::Received && messages[0].1.contains("QMP"));
    let of = |direction: Direction| messages.iter().filter(move |one| one.0 == direction);
    assert_eq!((of(Direction::Sent).count(), of(Direction::Received).count()), (3, 4));
    let text = memory.text();
    assert!(text.starts_with("{\"qmp-recording\": 1, ") && text.contains("\"qemu\": "), "{text}");
    assert!(text.contains("query-status") && text.contains("<secret>"), "{text}");
    assert!(!text.contains("sesame"), "{text}");
    text
}

#[test]
fn both_clients_record_what_can_be_replayed() {
    let simulator = Simulator::new();
    let (memory, recorder, options) = recorder();
    let stream = Unix::from_stream(simulator.connect().unwrap()).unwrap();
    let client = blocking::Client::over(stream, &options).unwrap();
    let status = client.execute(QueryStatus::new()).unwrap();
    let failed = client.execute(password()).unwrap_err();
    drop(client);
    let recorded = assert_recorded(&memory);
    recorder.finish().unwrap();

    let replay = Replay::of(Recording::parse(&recorded).unwrap()).order(Order::Strict).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (memory, again, options) = self::recorder();
    runtime.block_on(async {
        let stream = replay.connect().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) = qmp_client::tokio::over(stream, &options);
        tokio::spawn(driver);
        let client = connecting.await.unwrap();
        assert_eq!(client.execute(QueryStatus::new()).await.unwrap(), status);
        let error = client.execute(password()).await.unwrap_err();
        assert_eq!(error.server().unwrap().desc, failed.server().unwrap().desc);
    });
    replay.finish().unwrap();
    assert_recorded(&memory);
    again.finish().unwrap();
}

#[test]
fn sessions_with_the_agent_are_recorded() {
    let simulator = AgentSimulator::builder().file("/etc/motd", "welcome\n").build();
    let (memory, recorder, options) = recorder();
    let stream = Unix::from_stream(simulator.connect().unwrap()).unwrap();
    let agent = Agent::over(stream, &options).unwrap();
    agent.ping(Duration::from_secs(30)).unwrap();
    drop(agent);
    let messages = memory.messages(4);
    let has = |direction: Direction, part: &str| {
        messages.iter().any(|one| one.0 == direction && one.1.contains(part))
    };
    assert!(has(Direction::Sent, "guest-sync"), "{messages:?}");
    assert!(has(Direction::Sent, "guest-ping"), "{messages:?}");
    assert!(messages.iter().all(|one| one.1.starts_with('{')), "{messages:?}");
    recorder.finish().unwrap();
}

/// A recording that cannot be written does not cost the connection.
#[test]
fn a_full_disk_does_not_end_the_connection() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let simulator = Simulator::new();
    let recorder = Recorder::new(Full, "vm");
    let stream = Unix::from_stream(simulator.connect().unwrap()).unwrap();
    let client = blocking::Client::over(stream, &Options::new().record(&recorder)).unwrap();
    client.execute(QueryStatus::new()).unwrap();
    client.execute(QueryStatus::new()).unwrap();
    assert_eq!(recorder.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}
