//! The statistics of a connection: what each client counts.

#![cfg(all(unix, feature = "blocking", feature = "qmp", feature = "tokio"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[allow(dead_code, unreachable_pub)] // shared
#[path = "scenarios/peer.rs"]
mod peer;

use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime};

use peer::{EVENT, Peer};
use qmp_client::{Client, Error, Options, Raw, Result, Stats, blocking};
use serde_json::json;

pub const PATIENCE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(30);

/// One call of each outcome, and three events for a subscription that has room for two.
fn script(peer: &mut Peer) {
    peer.greet();
    let id = peer.expect("good");
    peer.send(EVENT);
    peer.send(EVENT);
    peer.send(EVENT);
    peer.succeed(&id, json!(7));
    let id = peer.expect("mismatched");
    peer.succeed(&id, json!("seven"));
    let id = peer.expect("refused");
    peer.send(&json!({"error": {"class": "CommandNotFound", "desc": "no"}, "id": id}).to_string());
    let id = peer.expect("refused");
    peer.send(&json!({"error": {"class": "Mine", "desc": "no"}, "id": id}).to_string());
    let late = peer.expect("timed-out");
    let canceled = peer.expect("canceled");
    let id = peer.expect("good");
    peer.succeed(&late, json!(7));
    peer.succeed(&canceled, json!(7));
    peer.succeed(&id, json!(7));
    peer.expect("closed");
    peer.hang_up();
}

fn raw(name: &'static str) -> Raw<u8> {
    Raw::new(name)
}

fn options() -> Options {
    Options::new().event_capacity(2)
}

fn blocking(stream: UnixStream) -> Stats {
    let transport = qmp_client::transport::Unix::from_stream(stream).unwrap();
    let client = blocking::Client::over(transport, &options()).unwrap();
    let mut events = client.raw_events();
    let unused = client.events_of::<qmp_client::qmp::events::Resume>();
    check_idle(&client.stats());
    assert_eq!(client.execute(raw("good")).unwrap(), 7);
    check_failures([
        client.execute(raw("mismatched")),
        client.execute(raw("refused")),
        client.execute(raw("refused")),
        client.call(raw("timed-out")).within(SOON).execute(),
    ]);
    drop(client.send(raw("canceled")).unwrap());
    let ticket = client.send(raw("good")).unwrap();
    assert_eq!(client.stats().calls.in_flight, 1);
    assert_eq!(ticket.receive().unwrap(), 7);
    assert!(matches!(events.next(), Some(Err(Error::Lagged(1)))));
    events.next().unwrap().unwrap();
    assert!(client.execute(raw("closed")).unwrap_err().is_closed());
    drop((events, unused));
    client.stats()
}

async fn tokio(stream: UnixStream) -> Stats {
    stream.set_nonblocking(true).unwrap();
    let stream = ::tokio::net::UnixStream::from_std(stream).unwrap();
    let client = Client::over(stream, &options()).await.unwrap();
    let mut events = client.raw_events();
    let unused = client.events_of::<qmp_client::qmp::events::Resume>();
    check_idle(&client.stats());
    assert_eq!(client.execute(raw("good")).await.unwrap(), 7);
    check_failures([
        client.execute(raw("mismatched")).await,
        client.execute(raw("refused")).await,
        client.execute(raw("refused")).await,
        client.call(raw("timed-out")).within(SOON).execute().await,
    ]);
    // Once it has been sent, which a call that follows it shows.
    let canceled = client.send(raw("canceled")).unwrap();
    client.pause(SOON).await;
    drop(canceled);
    let ticket = client.send(raw("good")).unwrap();
    assert_eq!(client.stats().calls.in_flight, 1);
    assert_eq!(ticket.receive().await.unwrap(), 7);
    assert!(matches!(events.next().await, Some(Err(Error::Lagged(1)))));
    events.next().await.unwrap().unwrap();
    assert!(client.execute(raw("closed")).await.unwrap_err().is_closed());
    drop((events, unused));
    client.stats()
}

fn check_failures(results: [Result<u8>; 4]) {
    let [mismatched, refused, unknown, late] = results.map(Result::unwrap_err);
    assert!(matches!(mismatched, Error::Decode(_)), "{mismatched}");
    assert!(refused.is_command_not_found(), "{refused}");
    assert!(unknown.server().is_some(), "{unknown}");
    assert!(late.is_timeout(), "{late}");
}

fn check_idle(stats: &Stats) {
    assert_eq!((stats.connections, stats.calls.submitted), (1, 0));
    assert!(stats.latency.is_empty());
    // The greeting and the negotiation.
    assert!(stats.bytes_received > 100 && stats.bytes_sent > 20, "{stats:?}");
    assert!(stats.connected.unwrap() <= SystemTime::now());
}

/// All but the bytes, which differ by their ids, and the times.
fn check(stats: &Stats) {
    let calls = &stats.calls;
    assert_eq!((calls.submitted, calls.in_flight), (8, 0), "{stats:?}");
    assert_eq!((calls.succeeded, calls.mismatched, calls.timed_out), (2, 1, 1), "{stats:?}");
    assert_eq!((calls.canceled, calls.closed, calls.failed), (1, 1, 0), "{stats:?}");
    assert_eq!((calls.refused.command_not_found, calls.refused.other), (1, 1), "{stats:?}");
    assert_eq!(calls.finished(), calls.submitted);
    // Those that were answered.
    assert_eq!(stats.latency.count(), 5);
    let events = stats.events;
    assert_eq!((events.received, events.delivered, events.lagged), (3, 3, 1), "{stats:?}");
    assert_eq!((stats.dropped.late_replies, stats.dropped.foreign_replies), (2, 0), "{stats:?}");
}

/// Plays a script, and returns the statistics of a client that is driven by a function.
fn play<T>(script: impl FnOnce(&mut Peer) + Send, client: impl FnOnce(UnixStream) -> T) -> T {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| Peer::play(theirs, script));
        client(ours)
    })
}

#[test]
fn both_clients_count_the_same() {
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let one = play(script, blocking);
    let other = play(script, |stream| runtime.block_on(tokio(stream)));
    check(&one);
    check(&other);
    let digits = 10;
    assert!(one.bytes_sent.abs_diff(other.bytes_sent) < digits, "{one} {other}");
    assert!(one.bytes_received.abs_diff(other.bytes_received) < digits, "{one} {other}");
    let connected = one.connected.min(other.connected);
    let both: Stats = [one, other].into_iter().sum();
    assert_eq!((both.connections, both.calls.finished()), (2, 16));
    assert_eq!(both.connected, connected);
}

/// Events count as received, whether or not any subscription takes them, and whatever is read with them.
#[test]
fn events_before_the_first_subscription_are_counted() {
    let script = |peer: &mut Peer| {
        peer.greet();
        for _ in 0..2 {
            let id = peer.expect("good");
            peer.send(EVENT);
            // One that only the general parser reads.
            peer.send(r#"{"event": "ST\u004fP"}"#);
            peer.succeed(&id, json!(7));
        }
    };
    let check = |[before, after]: [Stats; 2]| {
        let counts = |stats: &Stats| {
            let events = stats.events;
            (events.received, events.delivered, events.lagged)
        };
        assert_eq!(counts(&before), (2, 0, 0), "{before:?}");
        assert_eq!(counts(&after), (4, 2, 0), "{after:?}");
    };
    check(play(script, |stream| {
        let transport = qmp_client::transport::Unix::from_stream(stream).unwrap();
        let client = blocking::Client::over(transport, &Options::new()).unwrap();
        client.execute(raw("good")).unwrap();
        let before = client.stats();
        let _events = client.raw_events();
        client.execute(raw("good")).unwrap();
        [before, client.stats()]
    }));
    check(play(script, |stream| {
        // The connection ends with the runtime, which runs its driver.
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            stream.set_nonblocking(true).unwrap();
            let stream = ::tokio::net::UnixStream::from_std(stream).unwrap();
            let client = Client::over(stream, &Options::new()).await.unwrap();
            client.execute(raw("good")).await.unwrap();
            let before = client.stats();
            let _events = client.raw_events();
            client.execute(raw("good")).await.unwrap();
            [before, client.stats()]
        })
    }));
}

/// Bytes are counted exactly, however a peer cuts its messages.
#[test]
fn bytes_are_counted() {
    let script = |peer: &mut Peer| {
        peer.greet();
        let id = peer.expect("good");
        // A digit at a time, and white space.
        let reply = format!("   {{\"return\": 7, \"id\": {id}}}\r\n\r\n");
        reply.bytes().for_each(|byte| peer.send_bytes(&[byte]));
        let id = peer.expect("good");
        peer.succeed(&id, json!(7));
    };
    play(script, |stream| {
        let transport = qmp_client::transport::Unix::from_stream(stream).unwrap();
        let client = blocking::Client::over(transport, &Options::new()).unwrap();
        let before = client.stats();
        assert_eq!(client.execute(raw("good")).unwrap(), 7);
        assert_eq!(client.execute(raw("good")).unwrap(), 7);
        let after = client.stats();
        let sent = b"{\"execute\":\"good\",\"id\":1}\n".len() * 2;
        assert_eq!(after.bytes_sent - before.bytes_sent, sent as u64);
        let received = b"   {\"return\": 7, \"id\": 1}\r\n\r\n{\"return\": 7, \"id\": 2}\r\n".len();
        assert_eq!(after.bytes_received - before.bytes_received, received as u64);
    });
}
