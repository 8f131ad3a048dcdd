//! The client runs code of its callers: types decode replies and events, and are dropped. That code may
//! use the same client, and may panic. It must neither wait for a lock that its own thread holds, nor
//! change what is counted.

#![cfg(all(unix, feature = "blocking"))]
#![allow(clippy::unwrap_used, clippy::panic, dead_code, missing_docs)] // tests

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::protocol::Descriptor;
use qmp_client::transport::Transport;
use qmp_client::{Options, Raw, Stats};
use qmp_types::Event;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// Longer than anything takes that does not wait for itself, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

/// A peer that answers each command at once. It sends what it has in one piece, except for the replies
/// to commands that are called `late`, which come together with the next one.
#[derive(Clone, Debug, Default)]
struct Script(Arc<Mutex<Traffic>>);

#[derive(Debug, Default)]
struct Traffic {
    received: Vec<u8>,
    to_send: VecDeque<u8>,
    late: String,
    commands: Vec<String>,
}

impl Transport for Script {
    fn read(&self, buffer: &mut [u8], _: Option<Duration>) -> io::Result<usize> {
        let mut traffic = self.0.lock().unwrap();
        let count = buffer.len().min(traffic.to_send.len());
        for (place, byte) in buffer.iter_mut().zip(traffic.to_send.drain(..count)) {
            *place = byte;
        }
        if count > 0 { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn write(&self, bytes: &[u8], _: &[Descriptor], _: Option<Duration>) -> io::Result<usize> {
        let mut traffic = self.0.lock().unwrap();
        traffic.received.extend(bytes);
        if traffic.received.ends_with(b"\n") {
            let command: Value = serde_json::from_slice(&traffic.received).unwrap();
            traffic.received.clear();
            traffic.commands.push(command["execute"].as_str().unwrap().to_owned());
            let reply = format!("{{\"return\": {{}}, \"id\": {}}}\r\n", command["id"]);
            if command["execute"] == "late" {
                traffic.late += &reply;
            } else {
                let late = std::mem::take(&mut traffic.late);
                traffic.to_send.extend(late.bytes().chain(reply.bytes()));
            }
        }
        Ok(bytes.len())
    }

    fn close(&self) {}
}

impl Script {
    fn send(&self, events: &str) {
        self.0.lock().unwrap().to_send.extend(events.bytes());
    }
}

fn connect(options: &Options) -> (Client, Script) {
    let script = Script::default();
    script.send(GREETING);
    let client = Client::over(script.clone(), options).unwrap();
    (client, script)
}

thread_local! {
    /// The client that the code of this thread uses while it is run by that client.
    static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
}

fn nested<T>(use_client: impl FnOnce(&Client) -> T) -> T {
    let client = CLIENT.with_borrow(|client| client.clone().unwrap());
    use_client(&client)
}

/// Runs a check in a thread of its own, which must end.
fn check(options: &Options, run: impl FnOnce(&Client, &Script) + Send + 'static) {
    let (client, script) = connect(options);
    let (sender, receiver) = mpsc::channel();
    let checked = thread::spawn(move || {
        CLIENT.set(Some(client.clone()));
        run(&client, &script);
        sender.send(()).unwrap();
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = receiver.recv_timeout(PATIENCE) {
        panic!("the thread waits for itself");
    }
    checked.join().unwrap();
}

type Code = Box<dyn FnOnce(&Client)>;

thread_local! {
    /// The code that values of this thread run when they are decoded: the last comes first.
    static CODE: RefCell<Vec<Code>> = const { RefCell::new(Vec::new()) };
}

/// A value that runs code when it is decoded.
#[derive(Debug)]
struct Coded;

impl<'de> Deserialize<'de> for Coded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        // A reply is decoded again if the connection does not take it at first.
        CODE.with_borrow_mut(Vec::pop).into_iter().for_each(nested);
        Ok(Self)
    }
}

/// Runs code while a client decodes a reply, and returns its result. The code gets the client of the
/// thread.
fn while_decoding<T: 'static>(client: &Client, code: impl FnOnce(&Client) -> T + 'static) -> T {
    let result = Rc::new(Cell::new(None));
    let place = Rc::clone(&result);
    let code = move |client: &Client| place.set(Some(code(client)));
    CODE.with_borrow_mut(|all| all.push(Box::new(code)));
    client.execute(Raw::<Coded>::new("coded")).unwrap();
    result.take().unwrap()
}

/// The options with which a reply is decoded before the connection has seen it, and after.
fn both_ways() -> [Options; 2] {
    [Options::new(), Options::new().transcript(|_, _: &str| {})]
}

/// The results that a type got when it used the client.
#[derive(Debug)]
struct Nested(Vec<String>);

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        let report = |result: qmp_client::Result<Value>| match result {
            Ok(value) => value.to_string(),
            Err(error) => error.report(),
        };
        Ok(Self(nested(|client| {
            let executed = report(client.execute(Raw::new("executed")));
            if executed == "{}" {
                return vec![executed];
            }
            let mut ticket = client.send(Raw::<Value>::new("sent")).unwrap();
            let arrives = ticket.arrives_within(Duration::MAX);
            assert!(arrives, "a loop would not end");
            let received = ticket.receive();
            ticket = client.send(Raw::new("dropped")).unwrap();
            drop(ticket);
            let event = client.call(Raw::<Value>::new("until")).until_some(|_| Some(()));
            let next = client.raw_events().next().unwrap();
            vec![
                executed,
                report(received),
                report(event.map(|(value, ())| value)),
                report(next.map(|event| event.timestamp.seconds.into())),
            ]
        })))
    }
}

/// A type that executes another command while it is decoded was decoded by the thread that reads, which
/// waited for itself.
#[test]
fn decoding_that_waits_on_the_same_client_fails() {
    let shown = |_, _: &str| {};
    for options in [Options::new(), Options::new().transcript(shown)] {
        check(&options, |client, _| {
            let Nested(found) = client.execute(Raw::new("outer")).unwrap();
            assert!(found.iter().all(|error| error.contains("is being decoded")), "{found:?}");
            let late = client.send(Raw::<Nested>::new("late")).unwrap();
            client.execute(Raw::<Value>::new("x")).unwrap();
            // Its text has been read by then, so that nothing prevents the same.
            assert_eq!(late.receive().unwrap().0, ["{}"]);
        });
    }
}

/// The end of the connection was "this side closed it", or a deadline had passed, at once; a pause was none.
#[test]
fn decoding_that_waits_for_the_end_fails_and_pauses() {
    for options in both_ways() {
        check(&options, |client, _| {
            let error = while_decoding(client, |client| client.closed_within(Duration::MAX));
            let error = error.unwrap_err().report();
            assert!(error.contains("is being decoded"), "{error}");
            let reason = while_decoding(client, |client| client.closed().reason.to_string());
            assert!(reason.contains("is being decoded"), "{reason}");
            let pause = Duration::from_millis(60);
            let begin = Instant::now();
            while_decoding(client, move |client| client.pause(pause));
            assert!(begin.elapsed() >= pause);
            assert!(client.ended().is_none());
            while_decoding(client, |client| {
                client.close();
                client.pause(Duration::MAX);
            });
            assert_eq!(client.closed().reason.to_string(), "this side closed it");
        });
    }
}

/// A guard that was dropped within a decode did nothing.
#[test]
fn a_guard_is_dropped_while_a_reply_is_decoded() {
    for options in both_ways() {
        check(&options, |client, script| {
            while_decoding(client, |client| drop(client.call(Raw::<Value>::new("undo")).guard()));
            client.execute(Raw::<Value>::new("x")).unwrap();
            let traffic = script.0.lock().unwrap();
            assert_eq!(traffic.commands, ["qmp_capabilities", "coded", "undo", "x"]);
            let stats = client.stats();
            assert_eq!((stats.calls.submitted, stats.calls.succeeded), (3, 3), "{stats:?}");
            assert_eq!((stats.calls.in_flight, stats.dropped.late_replies), (0, 0), "{stats:?}");
        });
    }
}

/// A guard that was run within a decode failed, and its command was lost: nothing undid what it stood for.
#[test]
fn a_guard_that_is_run_while_a_reply_is_decoded_sends_its_command() {
    for options in both_ways() {
        check(&options, |client, script| {
            let run = |client: &Client| client.call(Raw::<Value>::new("undo")).guard().run();
            let error = while_decoding(client, run).unwrap_err();
            assert!(error.report().contains("is being decoded"), "{}", error.report());
            client.execute(Raw::<Value>::new("x")).unwrap();
            let sent = script.0.lock().unwrap().commands.clone();
            assert_eq!(sent.iter().filter(|name| *name == "undo").count(), 1, "{sent:?}");
        });
    }
}

/// Code that decodes a reply of one client may wait on another one, and nothing on the same one, however
/// deep.
#[test]
fn decoding_may_wait_on_another_client() {
    for options in both_ways() {
        let other_options = options.clone();
        check(&options, move |client, _| {
            let other = connect(&other_options).0;
            let results = while_decoding(client, move |_| {
                let plain = other.execute(Raw::<Value>::new("x"));
                let inside = while_decoding(&other, |client| {
                    client.execute(Raw::<Value>::new("x")).map_err(|error| error.report())
                });
                let again = other.execute(Raw::<Value>::new("x"));
                (plain.unwrap(), inside.unwrap_err(), again.unwrap())
            });
            assert_eq!((&results.0, &results.2), (&json!({}), &json!({})));
            assert!(results.1.contains("is being decoded"), "{}", results.1);
            client.execute(Raw::<Value>::new("x")).unwrap();
        });
    }
}

/// A value that uses the client when it is dropped.
#[derive(Debug)]
struct Counting;

impl<'de> Deserialize<'de> for Counting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Serialize for Counting {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        nested(|client| assert!(client.stats().bytes_received > 0));
    }
}

impl Event for Counting {
    const NAME: &'static str = "COUNTING";
}

/// A value that was decoded early, and not taken, was dropped under the lock.
#[test]
fn no_reply_is_dropped_under_the_lock() {
    // The connection takes no reply early that a transcript must show.
    check(&Options::new().transcript(|_, _: &str| {}), |client, _| {
        for _ in 0..3 {
            drop(client.execute(Raw::<Counting>::new("x")).unwrap());
        }
    });
}

fn event(name: &str, data: &str) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": 1, \"microseconds\": 2}}, \"event\": \"{name}\", \
         \"data\": {data}}}\r\n"
    )
}

/// Events that had to make way for newer ones were dropped under the lock.
#[test]
fn no_event_is_dropped_under_the_lock() {
    check(&Options::new().event_capacity(3), |client, script| {
        let mut events = client.events_of::<Counting>();
        // The last two take the way through the queue.
        script.send(&event(Counting::NAME, "{}").repeat(5));
        script.send(&event(Counting::NAME, "{\"\\u0061\": 1}").repeat(2));
        let lagged = events.next().unwrap().unwrap_err();
        assert!(matches!(lagged, qmp_client::Error::Lagged(4)), "{lagged:?}");
        for _ in 0..3 {
            events.next().unwrap().unwrap();
        }
        let stats = client.stats();
        assert_eq!((stats.events.received, stats.events.lagged), (7, 4));
    });
}

/// A type whose decoding panics, if the data say so.
#[derive(Debug, Serialize)]
struct Bomb;

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let data = Value::deserialize(deserializer)?;
        assert!(data != json!({}), "the test's panic");
        Ok(Self)
    }
}

impl Event for Bomb {
    const NAME: &'static str = "BOMB";
}

fn panics(run: impl FnOnce()) {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
}

/// Checks that each call has one outcome: one did not match, and the others succeeded.
fn check_counts(stats: &Stats, submitted: u64) {
    let calls = &stats.calls;
    let expected = (submitted, submitted - 1, 1, 0, 0);
    let found =
        (calls.submitted, calls.succeeded, calls.mismatched, calls.canceled, calls.in_flight);
    assert_eq!(found, expected, "{calls:?}");
    assert_eq!(stats.dropped.late_replies, 0);
}

/// A call whose decoding panicked had succeeded, or was canceled and had a late reply, depending on what
/// else had arrived.
#[test]
fn a_reply_whose_decoding_panics_does_not_match() {
    for options in [Options::new(), Options::new().transcript(|_, _: &str| {})] {
        check(&options, |client, _| {
            panics(|| drop(client.execute(Raw::<Bomb>::new("x"))));
            client.execute(Raw::<Value>::new("x")).unwrap();
            check_counts(&client.stats(), 2);
        });
        check(&options, |client, _| {
            let late = client.send(Raw::<Value>::new("late")).unwrap();
            panics(|| drop(client.execute(Raw::<Bomb>::new("x"))));
            late.receive().unwrap();
            check_counts(&client.stats(), 2);
        });
        check(&options, |client, _| {
            let late = client.send(Raw::<Bomb>::new("late")).unwrap();
            client.execute(Raw::<Value>::new("x")).unwrap();
            panics(|| drop(late.receive()));
            check_counts(&client.stats(), 2);
        });
        check(&options, |client, script| {
            script.send(&event("STOP", "{}"));
            let call = client.call(Raw::<Bomb>::new("x"));
            panics(|| drop(call.until_some(|_| Some(()))));
            client.execute(Raw::<Value>::new("x")).unwrap();
            check_counts(&client.stats(), 2);
        });
    }
}

/// The same on tokio.
#[cfg(feature = "tokio")]
#[test]
fn a_reply_whose_decoding_panics_in_a_task_does_not_match() {
    use ::tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ours, theirs) = ::tokio::io::duplex(4096);
        ::tokio::spawn(async move {
            let mut stream = BufReader::new(theirs);
            stream.write_all(GREETING.as_bytes()).await.unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap() > 0 {
                let command: Value = serde_json::from_str(&line).unwrap();
                line.clear();
                let reply = json!({"return": {}, "id": command["id"]});
                stream.write_all(format!("{reply}\n").as_bytes()).await.unwrap();
            }
        });
        let client = qmp_client::Client::over(ours, &Options::new()).await.unwrap();
        let panicking = client.clone();
        let task = async move { panicking.execute(Raw::<Bomb>::new("x")).await.map(drop) };
        assert!(::tokio::spawn(task).await.unwrap_err().is_panic());
        client.execute(Raw::<Value>::new("x")).await.unwrap();
        check_counts(&client.stats(), 2);
    });
}

/// The events before one whose decoding panicked were given out, and not counted.
#[test]
fn events_before_one_whose_decoding_panics_are_counted() {
    check(&Options::new(), |client, script| {
        let mut events = client.events_of::<Bomb>();
        script.send(&event(Bomb::NAME, "{\"a\": 1}").repeat(3));
        script.send(&event(Bomb::NAME, "{}"));
        panics(|| drop(events.next()));
        for _ in 0..3 {
            events.next().unwrap().unwrap();
        }
        panics(|| drop(events.next()));
        let stats = client.stats().events;
        assert_eq!((stats.received, stats.delivered, stats.lagged), (4, 4, 0));
    });
}

/// An event that is much larger than its text.
#[derive(Debug)]
struct Large([u8; 10_000]);

impl<'de> Deserialize<'de> for Large {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self([0; 10_000]))
    }
}

impl Serialize for Large {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl Event for Large {
    const NAME: &'static str = "LARGE";
}

/// Decoded events counted as their text, so that they took a hundred times what the limit permits.
#[test]
fn decoded_events_count_with_their_size() {
    check(&Options::new().message_size(100_000), |client, script| {
        let mut events = client.events_of::<Large>();
        script.send(&event(Large::NAME, "{}").repeat(50));
        let lagged = events.next().unwrap().unwrap_err();
        let qmp_client::Error::Lagged(lagged) = lagged else { panic!("{lagged:?}") };
        assert!((41..50).contains(&lagged), "{lagged}");
        for _ in lagged..50 {
            events.next().unwrap().unwrap();
        }
        assert_eq!(client.stats().events.lagged, lagged);
    });
}
