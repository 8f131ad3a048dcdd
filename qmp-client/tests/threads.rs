//! Tests of a blocking client that threads share, and of waits that end in unusual ways.

#![cfg(all(unix, feature = "blocking"))]
#![allow(clippy::unwrap_used, clippy::panic, dead_code, missing_docs, unreachable_pub)] // tests

#[path = "scenarios/peer.rs"]
mod peer;

use std::borrow::Cow;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use qmp_client::blocking::{Client, Ticket};
use qmp_client::protocol::Descriptor;
use qmp_client::transport::{Transport, Unix};
use qmp_client::{Dialect, Direction, End, Options, Raw, Request};
use serde_json::{Value, json};

use peer::Peer;

/// Longer than anything that succeeds takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than a thread takes to begin to wait, and shorter than anything that is expected to fail.
const SOON: Duration = Duration::from_millis(60);
/// More than the buffers of a socket hold, in bytes.
const LARGE: usize = 4 << 20;

fn command(name: &'static str) -> Raw<Value> {
    Raw::new(name)
}

fn large(name: &'static str) -> Raw<Value> {
    Raw::new(name).arguments(&json!({"filler": "x".repeat(LARGE)}))
}

/// Runs a server in its own thread, and a check in this one, on a client with these options.
fn with_options(
    options: &Options,
    script: impl FnOnce(&mut Peer) + Send + 'static,
    check: impl FnOnce(&Client),
) {
    with_transport(options, |stream| stream, script, check);
}

fn with_transport<T: Transport + 'static>(
    options: &Options,
    transport: impl FnOnce(Unix) -> T,
    script: impl FnOnce(&mut Peer) + Send + 'static,
    check: impl FnOnce(&Client),
) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        Peer::play(theirs, |peer| {
            peer.greet();
            script(peer);
        });
    });
    let stream = transport(Unix::from_stream(ours).unwrap());
    let client = Client::over(stream, options).unwrap();
    check(&client);
    client.close();
    drop(client);
    server.join().unwrap();
}

fn with_client(script: impl FnOnce(&mut Peer) + Send + 'static, check: impl FnOnce(&Client)) {
    with_options(&Options::new(), script, check);
}

/// Runs `work` in its own thread, and returns its result, or `None` if it does not return.
fn finishes<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE / 2).ok()
}

/// Waits until a condition holds.
fn wait_until(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "the condition never holds");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Starts a thread that waits for the end of the connection, and so reads for all others.
fn reader(client: &Client) -> thread::JoinHandle<qmp_client::Closed> {
    let waiting = client.clone();
    let reader = thread::spawn(move || waiting.closed());
    thread::sleep(SOON);
    reader
}

/// A command that was submitted while the one before did not fit into the socket was forgotten: its
/// thread only sent the rest of the other one, and the reader slept.
#[test]
fn a_command_after_one_that_did_not_fit_is_sent() {
    let (submitted, go) = mpsc::channel();
    with_client(
        move |peer| {
            go.recv_timeout(PATIENCE).unwrap();
            let large = peer.expect("large");
            let small = peer.command();
            assert_eq!(small["exec-oob"], "small");
            peer.succeed(&small["id"], json!({}));
            peer.succeed(&large, json!({}));
        },
        |client| {
            let reader = reader(client);
            thread::scope(|scope| {
                let first = scope.spawn(|| client.call(large("large")).within(PATIENCE).execute());
                wait_until(|| client.pending().calls == 1);
                let second = scope.spawn(|| {
                    client.call(command("small").out_of_band()).within(PATIENCE / 2).execute()
                });
                wait_until(|| client.pending().calls == 2);
                thread::sleep(SOON);
                submitted.send(()).unwrap();
                second.join().unwrap().unwrap();
                first.join().unwrap().unwrap();
            });
            client.close();
            reader.join().unwrap();
        },
    );
}

/// Waiting for the second of two tickets also sends the rest of the first one's command.
#[test]
fn a_ticket_after_one_that_did_not_fit_is_sent() {
    let (read, first_read) = mpsc::channel();
    with_client(
        move |peer| {
            let large = peer.expect("large");
            read.send(()).unwrap();
            let small = peer.expect("small");
            peer.succeed(&large, json!({}));
            peer.succeed(&small, json!({}));
        },
        |client| {
            let first = client.send(large("large")).unwrap();
            let second = client.send(command("small")).unwrap();
            // The thread that waits sends both, although it only waits for the second.
            second.receive().unwrap();
            first_read.recv_timeout(PATIENCE).unwrap();
            first.receive().unwrap();
        },
    );
}

/// A reply shows that the one before it was lost in garbage. A thread that waits for that one is told at
/// once, not at the deadline.
#[test]
fn a_lost_reply_is_known_when_the_next_one_arrives() {
    let (read, garbage_read) = mpsc::channel();
    with_client(
        move |peer| {
            peer.expect("first");
            let id = peer.expect("second");
            peer.send("nonsense");
            garbage_read.recv_timeout(PATIENCE).unwrap();
            peer.succeed(&id, json!({}));
            let id = peer.expect("third");
            peer.succeed(&id, json!({}));
        },
        |client| {
            let first = client.send(command("first")).unwrap();
            let second = client.send(command("second")).unwrap();
            // The garbage is read before the reply, which is decoded in place.
            assert!(!first.arrives_within(SOON));
            read.send(()).unwrap();
            second.receive().unwrap();
            let begin = Instant::now();
            assert!(first.arrives_within(PATIENCE));
            assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
            assert!(first.receive().is_err());
            client.execute(command("third")).unwrap();
        },
    );
}

/// The predicate of `until` is the caller's code, and runs without a lock.
#[test]
fn the_predicate_of_until_may_use_the_client() {
    with_client(
        |peer| {
            let id = peer.expect("stop");
            peer.send(peer::EVENT);
            peer.succeed(&id, json!({}));
        },
        |client| {
            let client = client.clone();
            let pending = finishes(move || {
                let other = client.clone();
                let call = client.call(command("stop")).within(PATIENCE);
                call.until_some(move |_| Some(other.pending().subscriptions)).unwrap().1
            });
            assert_eq!(pending, Some(1));
        },
    );
}

/// A reply whose decoding panics.
#[derive(Debug)]
struct Bomb;

impl<'de> serde::Deserialize<'de> for Bomb {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("the test's panic")
    }
}

/// A caller's code may panic in the thread that reads. The others can use the connection.
#[test]
fn a_reader_that_panics_is_replaced() {
    type Panics = fn(&Client);
    let panics: [(&str, Panics); 3] = [
        ("until", |client| {
            let _ = client
                .call(command("bomb"))
                .until_some(|_| -> Option<()> { panic!("the test's panic") });
        }),
        ("matching", |client| {
            let mut events = client.raw_events().matching(|_| panic!("the test's panic"));
            let _ticket = client.send(command("bomb")).unwrap();
            let _ = events.next();
        }),
        ("decode", |client| {
            let _ = client.execute(Raw::<Bomb>::new("bomb"));
        }),
    ];
    for (name, panics) in panics {
        with_client(
            |peer| {
                let id = peer.expect("bomb");
                peer.send(peer::EVENT);
                peer.succeed(&id, json!({}));
                let id = peer.command()["id"].clone();
                peer.running(&id);
            },
            |client| {
                let panicking = client.clone();
                assert!(thread::spawn(move || panics(&panicking)).join().is_err(), "{name}");
                let call = client.call(command("query-status")).within(PATIENCE / 4);
                if let Err(error) = call.execute() {
                    assert!(error.is_closed(), "{name}: {error:?}");
                }
            },
        );
    }
}

/// A reply that is all that has arrived is decoded before it is taken. When that panicked, it was kept
/// for a caller who had gone.
#[test]
fn a_call_whose_decoding_panics_is_over() {
    with_client(
        |peer| {
            let id = peer.expect("bomb");
            peer.succeed(&id, json!({}));
            peer.status();
        },
        |client| {
            let panicking = client.clone();
            let bomb = move || panicking.execute(Raw::<Bomb>::new("bomb")).map(drop);
            assert!(thread::spawn(bomb).join().is_err());
            client.execute(command("query-status")).unwrap();
            assert_eq!(client.pending().calls, 0);
            let calls = client.stats().calls;
            assert_eq!((calls.submitted, calls.succeeded, calls.mismatched), (2, 1, 1));
        },
    );
}

/// The reply to another call that arrived together with the one whose decoding panics is not held
/// back until something else arrives.
#[test]
fn a_reply_after_one_whose_decoding_panics_is_received() {
    with_client(
        |peer| {
            let bomb = peer.expect("bomb");
            let id = peer.expect("query-status");
            let replies = [bomb, id].map(|id| json!({"return": {}, "id": id}).to_string());
            peer.send(&replies.join("\n"));
        },
        |client| {
            let bomb = client.send(Raw::<Bomb>::new("bomb")).unwrap();
            let ticket = client.call(command("query-status")).within(PATIENCE).send().unwrap();
            assert!(thread::spawn(move || bomb.receive()).join().is_err());
            let begin = Instant::now();
            ticket.receive().unwrap();
            assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
        },
    );
}

/// A predicate that panicked while the connection was closed took the input with it, and all other
/// threads waited for that.
#[test]
fn a_predicate_that_panics_while_the_connection_is_closed_leaves_the_input() {
    let (go, wait) = mpsc::channel();
    with_client(
        move |peer| {
            wait.recv_timeout(PATIENCE).unwrap();
            peer.send(&format!("{}\n{}", peer::EVENT, peer::EVENT));
        },
        |client| {
            let mut events = client.raw_events().matching(|_| panic!("the test's panic"));
            go.send(()).unwrap();
            // The first event is examined here, and the second one by `close`.
            assert!(
                thread::spawn(move || {
                    let _ = events.next();
                    std::mem::forget(events);
                })
                .join()
                .is_err()
            );
            let mut events = client.raw_events().matching(|_| panic!("the test's panic"));
            let closing = client.clone();
            assert!(thread::spawn(move || closing.close()).join().is_err());
            let closed = client.clone();
            assert!(finishes(move || closed.closed()).is_some());
            drop(events.next());
        },
    );
}

/// A thread waits for a reply for the first time, and in a system call: `until` of another one waited
/// a tenth of a second for the end of that, before it sent its command.
#[test]
fn until_is_not_late_while_another_thread_waits() {
    // A busy machine makes some of them late.
    let mut times = (0..20).map(|_| time_of_until_while_another_thread_waits());
    assert!(times.any(|time| time < SOON));
}

fn time_of_until_while_another_thread_waits() -> Duration {
    let mut elapsed = Duration::MAX;
    with_client(
        |peer| {
            let slow = peer.expect("slow");
            let id = until_command(peer, "act");
            peer.send(r#"{"event": "X", "data": {}}"#);
            peer.succeed(&id, json!({}));
            peer.succeed(&slow, json!({}));
        },
        |client| {
            let waiting = client.clone();
            let waiter = thread::spawn(move || waiting.execute(command("slow")));
            wait_until(|| client.pending().calls == 1);
            thread::sleep(SOON);
            let begin = Instant::now();
            let call = client.call(command("act")).within(PATIENCE);
            call.until_some(|event| (&*event.name == "X").then_some(())).unwrap();
            elapsed = begin.elapsed();
            waiter.join().unwrap().unwrap();
        },
    );
    elapsed
}

/// A command to which success is not answered.
struct Silent(Raw<Value>);

impl Request for Silent {
    type Return = Value;

    fn name(&self) -> Cow<'static, str> {
        self.0.name()
    }

    fn success_response(&self) -> bool {
        false
    }

    fn has_arguments(&self) -> bool {
        self.0.has_arguments()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        self.0.write_arguments(out)
    }
}

/// The end of the connection counts as success only for a command that was sent.
#[test]
fn a_silent_command_that_was_not_sent_did_not_succeed() {
    let (done, hold) = mpsc::channel::<()>();
    with_client(
        move |peer| {
            peer.hang_up();
            let _ = hold.recv_timeout(PATIENCE);
        },
        |client| {
            let result = client.call(Silent(large("shutdown"))).within(PATIENCE).execute();
            assert!(result.unwrap_err().is_closed());
            drop(done);
        },
    );
}

/// The connection ends at once, and not only when the next byte arrives.
#[test]
fn a_transcript_that_panics_ends_every_wait_at_once() {
    for with_reader in [false, true] {
        let options = Options::new().transcript(|direction, message| {
            assert!(direction != Direction::Sent || !message.contains("fatal"), "the test's panic");
        });
        with_options(
            &options,
            |peer| {
                peer.command();
            },
            |client| {
                let reader = with_reader.then(|| reader(client));
                let begin = Instant::now();
                let result = client.call(command("fatal")).within(PATIENCE).execute();
                let report = result.unwrap_err().report();
                assert!(report.ends_with("its transcript hook panicked"), "{report}");
                if let Some(reader) = reader {
                    let end = finishes(move || reader.join().unwrap()).unwrap();
                    assert!(matches!(*end.reason, End::Transcript), "{end:?}");
                }
                assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
            },
        );
    }
}

/// An event that arrives while the command is still queued is not its effect.
#[test]
fn an_event_from_before_a_queued_command_is_not_taken_for_its_effect() {
    with_client(
        |peer| {
            let ids: Vec<_> = (0..8).map(|_| peer.expect("slow")).collect();
            thread::sleep(SOON);
            peer.send(r#"{"event": "X", "data": {"stale": true}}"#);
            thread::sleep(SOON);
            for id in ids {
                peer.succeed(&id, json!({}));
            }
            let id = peer.expect("act");
            peer.succeed(&id, json!({}));
            peer.send(r#"{"event": "X", "data": {"stale": false}}"#);
        },
        |client| {
            let slow: Vec<_> = (0..8).map(|_| client.send(command("slow")).unwrap()).collect();
            let call = client.call(command("act")).within(PATIENCE);
            let (_, stale) = call
                .until_some(|event| {
                    let data: Value = serde_json::from_str(event.data.as_ref()?.get()).ok()?;
                    data["stale"].as_bool()
                })
                .unwrap();
            assert!(!stale);
            drop(slow);
        },
    );
}

/// Answers commands until this one arrives, and returns its id.
fn until_command(peer: &mut Peer, name: &str) -> Value {
    loop {
        let command = peer.command();
        if command["execute"] == name || command["exec-oob"] == name {
            return command["id"].clone();
        }
        assert!(!command.is_null(), "{name} never arrives");
        peer.succeed(&command["id"], json!({}));
    }
}

/// Events that arrive while the predicate of `until` runs, in a thread that does not read, are seen.
#[test]
fn events_that_arrive_while_a_predicate_runs_are_seen() {
    let (called, is_called) = mpsc::channel();
    let (go, resume) = mpsc::channel();
    let (say, said) = mpsc::channel();
    with_client(
        move |peer| {
            let id = until_command(peer, "act");
            peer.send(r#"{"event": "X", "data": {}}"#);
            said.recv_timeout(PATIENCE).unwrap();
            peer.succeed(&id, json!({}));
            peer.send(r#"{"event": "Y", "data": {}}"#);
        },
        |client| {
            let reader = reader(client);
            let mut all = client.raw_events();
            thread::scope(|scope| {
                let waiter = scope.spawn(move || {
                    let call = client.call(command("act")).within(PATIENCE / 2);
                    call.until_some(|event| {
                        if &*event.name == "X" {
                            called.send(()).unwrap();
                            resume.recv_timeout(PATIENCE).unwrap();
                        }
                        (&*event.name == "Y").then_some(())
                    })
                });
                is_called.recv_timeout(PATIENCE).unwrap();
                say.send(()).unwrap();
                for name in ["X", "Y"] {
                    assert_eq!(&*all.next_within(PATIENCE).unwrap().unwrap().name, name);
                }
                let begin = Instant::now();
                go.send(()).unwrap();
                waiter.join().unwrap().unwrap();
                assert!(begin.elapsed() < PATIENCE / 4, "{:?}", begin.elapsed());
            });
            client.close();
            reader.join().unwrap();
        },
    );
}

/// An out-of-band command does not wait for in-band commands, with an event to wait for or without.
#[test]
fn an_out_of_band_until_is_not_queued() {
    with_client(
        |peer| {
            let slow = peer.expect("slow");
            loop {
                let command = peer.command();
                if command["exec-oob"] == "act" {
                    peer.send(r#"{"event": "X", "data": {}}"#);
                    peer.succeed(&command["id"], json!({}));
                    break;
                }
                // In-band commands wait for the slow one.
                assert!(!command.is_null());
            }
            peer.succeed(&slow, json!({}));
        },
        |client| {
            let reader = reader(client);
            let slow = client.send(command("slow")).unwrap();
            let call = client.call(command("act").out_of_band()).within(PATIENCE / 4);
            call.until_some(|event| (&*event.name == "X").then_some(())).unwrap();
            drop(slow);
            client.close();
            reader.join().unwrap();
        },
    );
}

/// The error names the command that timed out.
#[test]
fn a_timeout_of_until_names_its_own_command() {
    for with_reader in [false, true] {
        with_client(
            |peer| while !peer.command().is_null() {},
            |client| {
                let reader = with_reader.then(|| reader(client));
                let call = client.call(command("act")).within(SOON);
                let report = call.until_some(|_| Some(())).unwrap_err().report();
                assert!(report.contains("`act`"), "{report}");
                client.close();
                if let Some(reader) = reader {
                    reader.join().unwrap();
                }
            },
        );
    }
}

/// A transport whose thread is preempted after it has read, before it passes on what has arrived.
#[derive(Debug)]
struct Preempted {
    inner: Unix,
    pause: Duration,
    active: Arc<AtomicBool>,
}

impl Transport for Preempted {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        let read = self.inner.read(buffer, timeout);
        if read.is_ok() && self.active.load(Ordering::SeqCst) {
            thread::sleep(self.pause);
        }
        read
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.inner.write(bytes, descriptors, timeout)
    }

    fn close(&self) {
        self.inner.close();
    }

    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        self.inner.wait_readable(timeout)
    }

    fn has_arrived(&self) -> bool {
        self.inner.has_arrived()
    }
}

/// An event that another thread has read, and not passed on yet, has arrived.
#[test]
fn an_event_that_the_reader_holds_is_not_taken_for_the_effect() {
    let active = Arc::new(AtomicBool::new(false));
    let (go, wait) = mpsc::channel();
    let (sent, arrived) = mpsc::channel();
    let transport = {
        let active = Arc::clone(&active);
        |inner| Preempted { inner, pause: SOON * 3, active }
    };
    with_transport(
        &Options::new(),
        transport,
        move |peer| {
            wait.recv_timeout(PATIENCE).unwrap();
            peer.send(r#"{"event": "X", "data": {"stale": true}}"#);
            sent.send(()).unwrap();
            let id = until_command(peer, "act");
            peer.succeed(&id, json!({}));
            peer.send(r#"{"event": "X", "data": {"stale": false}}"#);
        },
        |client| {
            let reader = reader(client);
            active.store(true, Ordering::SeqCst);
            go.send(()).unwrap();
            arrived.recv_timeout(PATIENCE).unwrap();
            // The reader has the event by now, and has not passed it on.
            thread::sleep(SOON);
            let call = client.call(command("act")).within(PATIENCE);
            let (_, stale) = call
                .until_some(|event| {
                    let data: Value = serde_json::from_str(event.data.as_ref()?.get()).ok()?;
                    data["stale"].as_bool()
                })
                .unwrap();
            client.close();
            reader.join().unwrap();
            assert!(!stale);
        },
    );
}

/// A transport whose thread does not read before a given time, although bytes have arrived. It
/// cannot wait without reading.
#[derive(Debug)]
struct ReadLate {
    inner: Unix,
    not_before: Arc<Mutex<Option<Instant>>>,
    /// The time between reading and passing on.
    pause: Duration,
}

impl Transport for ReadLate {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        let not_before = *self.not_before.lock().unwrap();
        let Some(not_before) = not_before.filter(|_| timeout != Some(Duration::ZERO)) else {
            return self.inner.read(buffer, timeout);
        };
        wait_until(|| self.inner.has_arrived());
        thread::sleep(not_before.saturating_duration_since(Instant::now()));
        let read = self.inner.read(buffer, timeout);
        thread::sleep(self.pause);
        read
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.inner.write(bytes, descriptors, timeout)
    }

    fn close(&self) {
        self.inner.close();
    }

    fn has_arrived(&self) -> bool {
        self.inner.has_arrived()
    }
}

/// A reply that has arrived in time counts, although the thread that reads is late to look, or late to
/// pass on what it has read.
#[test]
fn a_reply_that_the_reader_has_not_passed_on_is_in_time() {
    for pause in [Duration::ZERO, Duration::from_millis(10)] {
        // On a busy machine, the reader may be later than a thread waits for it.
        let mut results = (0..10).map(|_| execute_while_the_reader_is_late(pause));
        assert!(results.any(|result| result.is_ok()), "{pause:?}");
    }
}

fn execute_while_the_reader_is_late(pause: Duration) -> qmp_client::Result<Value> {
    let not_before = Arc::new(Mutex::new(None));
    let transport = {
        let not_before = Arc::clone(&not_before);
        move |inner| ReadLate { inner, not_before, pause }
    };
    let mut result = None;
    with_transport(&Options::new(), transport, Peer::status, |client| {
        let within = SOON * 10;
        // The reader is late by a tenth of what a thread waits for it then.
        let late = within + Duration::from_millis(10);
        *not_before.lock().unwrap() = Some(Instant::now() + SOON + late);
        let reader = reader(client);
        result = Some(client.call(command("query-status")).within(within).execute());
        *not_before.lock().unwrap() = None;
        client.close();
        reader.join().unwrap();
    });
    result.unwrap()
}

/// A transport of a process that is stopped during a read, as by `SIGSTOP`, until the timeout has
/// passed and bytes have arrived. The system call is interrupted, and the bytes can be read.
#[derive(Debug)]
struct Stopped {
    inner: Unix,
    active: Arc<AtomicBool>,
}

impl Transport for Stopped {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        if timeout != Some(Duration::ZERO) && self.active.swap(false, Ordering::SeqCst) {
            wait_until(|| self.inner.has_arrived());
            thread::sleep(timeout.unwrap_or_default() + SOON * 3);
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.inner.read(buffer, timeout)
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.inner.write(bytes, descriptors, timeout)
    }

    fn close(&self) {
        self.inner.close();
    }

    fn has_arrived(&self) -> bool {
        self.inner.has_arrived()
    }
}

/// A reply that arrived in time counts, although this process was stopped and looks late.
#[test]
fn a_reply_is_in_time_although_the_process_was_stopped() {
    let active = Arc::new(AtomicBool::new(false));
    let transport = {
        let active = Arc::clone(&active);
        |inner| Stopped { inner, active }
    };
    let script = |peer: &mut Peer| {
        peer.status();
        let id = peer.expect("query-status");
        let reply = json!({"return": {}, "id": id});
        // More than one read takes.
        peer.send(&format!("{}\n{reply}", [peer::EVENT; 1000].join("\n")));
    };
    with_transport(&Options::new(), transport, script, |client| {
        for _ in 0..2 {
            active.store(true, Ordering::SeqCst);
            client.call(command("query-status")).within(SOON * 2).execute().unwrap();
        }
    });
}

/// Receives a command as a guest agent does, which skips delimiters before it.
fn agent_command(stream: &mut io::BufReader<UnixStream>) -> Value {
    use std::io::BufRead;
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).unwrap();
    let text = line.strip_prefix(&[0xFF]).unwrap_or(&line);
    if text.is_empty() { Value::Null } else { serde_json::from_slice(text).unwrap() }
}

/// After a call was abandoned, the client synchronizes with the agent and sends the next queued
/// command, although the thread that reads sleeps.
#[test]
fn the_client_synchronizes_while_another_thread_reads() {
    use std::io::Write;
    for expires in [false, true] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut stream = io::BufReader::new(theirs);
            loop {
                let command = agent_command(&mut stream);
                let reply = match command["execute"].as_str() {
                    None => return,
                    Some("guest-sync-delimited") => {
                        stream.get_mut().write_all(&[0xFF]).unwrap();
                        command["arguments"]["id"].clone()
                    }
                    Some("never") => continue,
                    Some(name) => json!(name),
                };
                let _ = writeln!(stream.get_mut(), "{}", json!({"return": reply}));
            }
        });
        let options = Options::new().dialect(Dialect::Agent);
        let client = Client::over(Unix::from_stream(ours).unwrap(), &options).unwrap();
        let reader = reader(&client);
        let begin = Instant::now();
        thread::scope(|scope| {
            let within = if expires { SOON * 3 } else { PATIENCE };
            let never = client.call(command("never")).within(within).send().unwrap();
            let next = scope
                .spawn(|| client.call(command("next")).within(PATIENCE / 2).execute().unwrap());
            thread::sleep(SOON);
            if expires {
                assert!(never.receive().unwrap_err().is_timeout());
            } else {
                drop(never);
            }
            assert_eq!(next.join().unwrap(), "next");
        });
        assert!(begin.elapsed() < PATIENCE / 4, "{expires}: {:?}", begin.elapsed());
        client.close();
        reader.join().unwrap();
        drop(client);
        server.join().unwrap();
    }
}

/// Each thread waits until its own deadline, however many of them have something to send.
#[test]
fn deadlines_hold_while_the_peer_reads_nothing() {
    const THREADS: usize = 24;
    const WITHIN: Duration = Duration::from_secs(1);
    let (done, wait) = mpsc::channel::<()>();
    with_client(
        move |_| {
            let _ = wait.recv_timeout(PATIENCE);
        },
        |client| {
            let reader = reader(client);
            thread::scope(|scope| {
                let callers: Vec<_> = (0..THREADS)
                    .map(|_| {
                        let request = large("large");
                        scope.spawn(move || {
                            let begin = Instant::now();
                            let error = client.call(request).within(WITHIN).execute().unwrap_err();
                            assert!(error.is_timeout(), "{error:?}");
                            begin.elapsed()
                        })
                    })
                    .collect();
                let longest = callers.into_iter().map(|caller| caller.join().unwrap()).max();
                // Far less than all of them take one after the other.
                assert!(longest.unwrap() < WITHIN * 12, "{longest:?}");
            });
            client.close();
            reader.join().unwrap();
            drop(done);
        },
    );
}

/// A transport whose writes fail when that is wanted.
#[derive(Debug)]
struct Failing {
    inner: Unix,
    active: Arc<AtomicBool>,
}

impl Transport for Failing {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.inner.read(buffer, timeout)
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        if self.active.load(Ordering::SeqCst) {
            return Err(io::Error::other("the cable is cut"));
        }
        self.inner.write(bytes, descriptors, timeout)
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// The reason is the same whether or not another thread reads.
#[test]
fn the_reason_why_nothing_can_be_sent_is_reported() {
    for with_reader in [false, true] {
        let active = Arc::new(AtomicBool::new(false));
        let transport = {
            let active = Arc::clone(&active);
            |inner| Failing { inner, active }
        };
        with_transport(
            &Options::new(),
            transport,
            |_| {},
            |client| {
                let reader = with_reader.then(|| reader(client));
                active.store(true, Ordering::SeqCst);
                let error = client.call(command("any")).within(PATIENCE).execute().unwrap_err();
                let report = error.report();
                if let Some(reader) = reader {
                    reader.join().unwrap();
                }
                assert!(report.contains("the cable is cut"), "{with_reader}: {report}");
            },
        );
    }
}

/// A wait without time looks at everything that has arrived, however much that is.
#[test]
fn a_wait_of_zero_takes_what_has_arrived() {
    let (sent, arrived) = mpsc::channel();
    with_client(
        move |peer| {
            let filler = "x".repeat(300);
            for _ in 0..100 {
                peer.send(&json!({"event": "FILLER", "data": {"x": filler}}).to_string());
            }
            peer.send(r#"{"event": "LAST", "data": {}}"#);
            sent.send(()).unwrap();
        },
        |client| {
            let mut events = client.raw_events().matching(|event| &*event.name == "LAST");
            arrived.recv_timeout(PATIENCE).unwrap();
            assert!(events.next_within(Duration::ZERO).unwrap().is_ok());
        },
    );
}

/// The longest timeout works like any other.
#[test]
fn a_transport_may_be_read_with_the_longest_timeout() {
    use std::io::Write;
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let transport = Unix::from_stream(ours).unwrap();
    for _ in 0..2 {
        theirs.write_all(b"x").unwrap();
        assert_eq!(transport.read(&mut [0], Some(Duration::MAX)).unwrap(), 1);
    }
}

/// Many threads execute many commands, with events between the replies. Each thread gets its own
/// replies, and the subscription gets every event, once and in order.
#[test]
fn many_threads_share_a_connection() {
    const THREADS: usize = 16;
    const COMMANDS: usize = 200;
    with_options(
        &Options::new().event_capacity(THREADS * COMMANDS + 1),
        |peer| {
            let mut count = 0;
            loop {
                let command = peer.command();
                if command.is_null() {
                    return;
                }
                peer.send(&json!({"event": "ECHOED", "data": {"count": count}}).to_string());
                count += 1;
                peer.succeed(&command["id"], command["arguments"]["number"].clone());
            }
        },
        |client| {
            let received = AtomicUsize::new(0);
            thread::scope(|scope| {
                let mut events = client.raw_events();
                let received = &received;
                let watcher = scope.spawn(move || {
                    loop {
                        match events.next().unwrap() {
                            Ok(event) => {
                                let data = event.data.unwrap();
                                let data: Value = serde_json::from_str(data.get()).unwrap();
                                assert_eq!(data["count"], received.fetch_add(1, Ordering::SeqCst));
                            }
                            Err(error) => return error,
                        }
                    }
                });
                let callers: Vec<_> = (0..THREADS)
                    .map(|thread| {
                        scope.spawn(move || {
                            for turn in 0..COMMANDS {
                                let number = thread * 1000 + turn;
                                let echo =
                                    Raw::<usize>::new("echo").arguments(&json!({"number": number}));
                                let call = client.call(echo).within(PATIENCE);
                                match turn % 4 {
                                    0 => {
                                        assert_eq!(call.until_some(|_| Some(())).unwrap().0, number)
                                    }
                                    1 => drop(call.send().unwrap()),
                                    2 => {
                                        assert_eq!(call.send().unwrap().receive().unwrap(), number)
                                    }
                                    _ => assert_eq!(call.execute().unwrap(), number),
                                }
                            }
                        })
                    })
                    .collect();
                callers.into_iter().for_each(|caller| caller.join().unwrap());
                client.execute(Raw::<usize>::new("echo").arguments(&json!({"number": 1}))).unwrap();
                client.close();
                assert!(watcher.join().unwrap().is_closed());
            });
            // Tickets that were dropped before their command was sent are not counted.
            assert!(received.load(Ordering::SeqCst) >= THREADS * COMMANDS * 3 / 4);
            assert_eq!(client.pending().calls, 0);
        },
    );
}

/// Every command is sent once and completely, although the peer pauses.
#[test]
fn large_commands_of_many_threads_wait_for_a_peer_that_pauses() {
    const THREADS: usize = 12;
    with_client(
        |peer| {
            loop {
                thread::sleep(SOON / 4);
                let command = peer.command();
                if command.is_null() {
                    return;
                }
                let length = command["arguments"]["filler"].as_str().unwrap().len();
                peer.succeed(&command["id"], json!(length + id(&command)));
            }
        },
        |client| {
            thread::scope(|scope| {
                for thread in 0..THREADS {
                    scope.spawn(move || {
                        for turn in 0..6 {
                            let length = [10, 100_000, 700_000][(thread + turn) % 3];
                            let arguments = json!({"filler": "x".repeat(length), "number": thread});
                            let request = Raw::<usize>::new("large").arguments(&arguments);
                            let call = client.call(request).within(PATIENCE * 2);
                            assert_eq!(call.execute().unwrap(), length + thread);
                        }
                    });
                }
            });
        },
    );
}

fn id(command: &Value) -> usize {
    usize::try_from(command["arguments"]["number"].as_u64().unwrap()).unwrap()
}

/// Closing the connection wakes a thread in each kind of wait, whether it reads or another does.
#[test]
fn closing_ends_every_kind_of_wait() {
    type Wait = fn(&Client);
    let waits: [(&str, Wait); 7] = [
        ("execute", |client| {
            assert!(client.call(command("x")).within(PATIENCE).execute().unwrap_err().is_closed());
        }),
        ("until", |client| {
            let result = client.call(command("x")).within(PATIENCE).until_some(|_| Some(()));
            assert!(result.unwrap_err().is_closed());
        }),
        ("receive", |client| {
            let ticket = client.call(command("x")).within(PATIENCE).send();
            assert!(ticket.and_then(Ticket::receive).unwrap_err().is_closed());
        }),
        ("next", |client| {
            let mut events = client.raw_events();
            assert!(events.next().unwrap().unwrap_err().is_closed());
            assert!(events.next().is_none());
        }),
        ("closed", |client| assert!(!client.closed().by_peer())),
        ("pause", |client| client.pause(PATIENCE)),
        ("large", |client| {
            let result = client.call(large("x")).within(PATIENCE).execute();
            assert!(result.unwrap_err().is_closed());
        }),
    ];
    for (name, wait) in waits {
        for with_reader in [false, true] {
            let (done, hold) = mpsc::channel::<()>();
            with_client(
                move |_| {
                    let _ = hold.recv_timeout(PATIENCE);
                },
                |client| {
                    let reader = with_reader.then(|| reader(client));
                    let waiting = client.clone();
                    let (sender, ended) = mpsc::channel();
                    let waiter = thread::spawn(move || {
                        wait(&waiting);
                        sender.send(()).unwrap();
                    });
                    thread::sleep(SOON / 2);
                    client.close();
                    ended.recv_timeout(PATIENCE / 4).unwrap_or_else(|_| panic!("{name} hangs"));
                    waiter.join().unwrap();
                    if let Some(reader) = reader {
                        reader.join().unwrap();
                    }
                    drop(done);
                },
            );
        }
    }
}

/// A reader that leaves hands the reading over, again and again.
#[test]
fn a_reader_that_leaves_is_replaced() {
    with_client(
        |peer| {
            loop {
                let command = peer.command();
                if command.is_null() {
                    return;
                }
                thread::sleep(Duration::from_millis(2));
                peer.succeed(&command["id"], json!({}));
            }
        },
        |client| {
            thread::scope(|scope| {
                let stop = Arc::new(AtomicBool::new(false));
                for _ in 0..3 {
                    let stop = Arc::clone(&stop);
                    scope.spawn(move || {
                        let mut events = client.raw_events();
                        while !stop.load(Ordering::SeqCst) {
                            let next = events.next_within(Duration::from_millis(3));
                            assert!(next.unwrap().unwrap_err().is_timeout());
                        }
                    });
                }
                let callers: Vec<_> = (0..3)
                    .map(|_| {
                        scope.spawn(move || {
                            for _ in 0..50 {
                                client.call(command("x")).within(PATIENCE).execute().unwrap();
                            }
                        })
                    })
                    .collect();
                callers.into_iter().for_each(|caller| caller.join().unwrap());
                stop.store(true, Ordering::SeqCst);
            });
        },
    );
}

/// A peer that has stopped reading may still send a reply, which is received.
#[test]
fn a_peer_that_shuts_down_one_direction() {
    for with_reader in [false, true] {
        let (sender, shut) = mpsc::channel();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let other = theirs.try_clone().unwrap();
        let server = thread::spawn(move || {
            Peer::play(theirs, |peer| {
                peer.greet();
                let id = peer.expect("first");
                other.shutdown(std::net::Shutdown::Read).unwrap();
                peer.succeed(&id, json!({}));
                sender.send(()).unwrap();
            });
        });
        let client = Client::over(Unix::from_stream(ours).unwrap(), &Options::new()).unwrap();
        let reader = with_reader.then(|| reader(&client));
        let first = client.send(command("first")).unwrap();
        shut.recv_timeout(PATIENCE).unwrap();
        let second = client.call(command("second")).within(PATIENCE).execute();
        assert!(second.unwrap_err().is_closed());
        first.receive().unwrap();
        client.close();
        if let Some(reader) = reader {
            reader.join().unwrap();
        }
        drop(client);
        server.join().unwrap();
    }
}

/// Tickets and subscriptions that are dropped while another thread reads leave nothing.
#[test]
fn dropped_tickets_and_subscriptions_leave_nothing() {
    with_client(
        |peer| {
            loop {
                let command = peer.command();
                if command.is_null() {
                    return;
                }
                peer.send(peer::EVENT);
                peer.succeed(&command["id"], json!({}));
            }
        },
        |client| {
            let reader = reader(client);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for turn in 0..100 {
                            let mut events = client.raw_events();
                            let ticket = client.send(command("x")).unwrap();
                            if turn % 3 == 0 {
                                events.next_within(PATIENCE).unwrap().unwrap();
                            }
                            if turn % 2 == 0 {
                                ticket.receive().unwrap();
                            }
                        }
                    });
                }
            });
            client.call(command("x")).within(PATIENCE).execute().unwrap();
            assert_eq!(client.pending(), qmp_client::Pending::default());
            client.close();
            reader.join().unwrap();
        },
    );
}

/// The peer sees the end when the last handle is dropped in another thread.
#[test]
fn the_last_handle_may_be_dropped_anywhere() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || Peer::play(theirs, Peer::greet));
    let client = Client::over(Unix::from_stream(ours).unwrap(), &Options::new()).unwrap();
    let events = client.raw_events();
    let ticket = client.send(command("x")).unwrap();
    drop(client);
    let dropped = thread::spawn(move || drop((events, ticket)));
    dropped.join().unwrap();
    assert!(finishes(move || server.join().is_ok()).unwrap());
}

/// A guard that is dropped in one thread while another reads executes its command once.
#[test]
fn a_guard_dropped_in_another_thread_is_executed_once() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&log);
    with_client(
        move |peer| {
            loop {
                let command = peer.command();
                let Some(name) = command["execute"].as_str() else { return };
                seen.lock().unwrap().push(name.to_owned());
                peer.succeed(&command["id"], json!({}));
            }
        },
        |client| {
            let reader = reader(client);
            let call = client.call(command("do"));
            let (_, guard) = call.execute_undoable(|_| Some(command("undo"))).unwrap();
            thread::spawn(move || drop(guard)).join().unwrap();
            client.close();
            reader.join().unwrap();
        },
    );
    assert_eq!(*log.lock().unwrap(), ["do", "undo"]);
}
