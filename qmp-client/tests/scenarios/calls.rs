//! Unusual replies and events, and calls that were abandoned.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use qmp_client::{Error, Raw, Subject};
use qmp_client::{ErrorClass, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::peer::EVENT;
use super::{Front, PATIENCE, SOON, expect_running, play_ready, status};

pub fn unknown_event<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            peer.send(r#"{"event": "NEVER_HEARD_OF", "data": {"x": [1]}, "timestamp": {"seconds": 1, "microseconds": 2}}"#);
            peer.running(&id);
            peer.status();
        },
        |client| {
            expect_running(client);
            expect_running(client);
            let event = client.event(PATIENCE).unwrap();
            assert_eq!(&*event.name, "NEVER_HEARD_OF");
            assert_eq!(event.data.unwrap().get(), r#"{"x": [1]}"#);
            assert_eq!(event.timestamp, Timestamp { seconds: 1, microseconds: 2 });
        },
    );
}

pub fn unknown_time<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            peer.send(r#"{"event": "RESUME", "timestamp": {"seconds": -1, "microseconds": -1}}"#);
            peer.send(r#"{"event": "STOP"}"#);
            peer.running(&id);
            peer.status();
        },
        |client| {
            expect_running(client);
            expect_running(client);
            for name in ["RESUME", "STOP"] {
                let event = client.event(PATIENCE).unwrap();
                assert_eq!((&*event.name, event.timestamp), (name, Timestamp::UNKNOWN));
            }
        },
    );
}

/// The time of an event is information, and never loses the event.
pub fn times_in_any_form<F: Front>(drip: bool) {
    let known = |seconds, microseconds| Timestamp { seconds, microseconds };
    let times = [
        (r#"{"seconds": 5.5, "microseconds": 7}"#, known(5, 7)),
        ("5", known(5, 0)),
        ("5.25", known(5, 250_000)),
        (r#""5.25""#, known(5, 250_000)),
        (r#""noon""#, Timestamp::UNKNOWN),
        ("1e300", Timestamp::UNKNOWN),
        ("99999999999999999999999", Timestamp::UNKNOWN),
        ("-5", Timestamp::UNKNOWN),
        ("null", Timestamp::UNKNOWN),
        ("[5]", Timestamp::UNKNOWN),
    ];
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            for (time, _) in times {
                peer.send(&format!(r#"{{"event": "STOP", "timestamp": {time}}}"#));
            }
            peer.running(&id);
        },
        |client| {
            expect_running(client);
            for (time, expected) in times {
                assert_eq!(client.event(PATIENCE).unwrap().timestamp, expected, "{time}");
            }
            assert_eq!(client.dropped().garbage, 0);
        },
    );
}

/// Some servers keep ids as text or as floating point.
pub fn ids_in_other_forms<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            for form in ["\"ID\"", "ID.0", "\"ID.0\"", "ID.0e0"] {
                let id = peer.expect("query-status");
                let id = form.replace("ID", &id.to_string());
                peer.send(&format!(r#"{{"return": {{"status": "running"}}, "id": {id}}}"#));
            }
        },
        |client| (0..4).for_each(|_| expect_running(client)),
    );
}

pub fn unknown_members<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            let value = json!({"new": {"x": []}, "status": "running"});
            peer.send(&json!({"a": 1, "id": id, "return": value, "z": {"event": 1}}).to_string());
            peer.status();
        },
        |client| {
            expect_running(client);
            expect_running(client);
        },
    );
}

/// A server that cannot read a command cannot echo its id either.
pub fn error_without_id<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            peer.expect("query-status");
            peer.send(
                r#"{"error": {"class": "GenericError", "desc": "JSON parse error, stray 'x'"}}"#,
            );
            peer.status();
        },
        |client| {
            let error = client.execute(status(), PATIENCE).unwrap_err();
            assert_eq!(error.server().unwrap().desc, "JSON parse error, stray 'x'");
            assert_eq!(error.command(), Some("query-status"));
            expect_running(client);
        },
    );
}

pub fn unknown_error_class<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            let error = json!({"class": "Sulking", "desc": "no", "data": 1});
            peer.send(&json!({"id": id, "error": error}).to_string());
            peer.status();
        },
        |client| {
            let error = client.execute(status(), PATIENCE).unwrap_err();
            assert_eq!(error.class(), Some(&ErrorClass::Unknown("Sulking".into())));
            assert_eq!(error.server().unwrap().rest.get("data").unwrap(), 1);
            expect_running(client);
        },
    );
}

/// Ids of another client, and ids that this client never sends.
pub fn reply_with_foreign_id<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            for _ in 0..2 {
                let id = peer.expect("query-status");
                for foreign in [json!(0), json!("libvirt-7"), json!(null), json!([1])] {
                    peer.succeed(&foreign, json!({"status": "wrong"}));
                }
                peer.send(r#"{"return": {"status": "wrong"}}"#);
                peer.running(&id);
            }
        },
        |client| {
            expect_running(client);
            expect_running(client);
            assert_eq!(client.dropped().foreign_replies, 10);
        },
    );
}

pub fn reply_twice<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            peer.running(&id);
            peer.succeed(&id, json!({"status": "wrong"}));
            peer.status();
        },
        |client| {
            expect_running(client);
            expect_running(client);
            assert_eq!(client.dropped().foreign_replies, 1);
        },
    );
}

#[derive(Debug, Deserialize)]
struct Status {
    #[expect(dead_code, reason = "only its presence matters")]
    running: bool,
}

pub fn reply_of_the_wrong_type<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            peer.succeed(&id, json!({"running": "yes"}));
            peer.status();
        },
        |client| {
            let command: Raw<Status> = Raw::new("query-status");
            let error = client.execute(command, PATIENCE).unwrap_err();
            assert_eq!(error.command(), Some("query-status"));
            let Error::Decode(mismatch) = &error else { panic!("{error:?}") };
            assert_eq!(mismatch.subject, Subject::Reply("query-status".into()));
            assert_eq!(mismatch.error.path(), "$.running");
            expect_running(client);
        },
    );
}

pub fn canceled_then_another<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let canceled = peer.expect("query-status");
            let id = peer.expect("query-status");
            peer.succeed(&canceled, json!({"status": "wrong"}));
            peer.running(&id);
            peer.status();
        },
        |client| {
            client.cancel(status());
            expect_running(client);
            expect_running(client);
            assert_eq!(client.dropped().late_replies, 1);
        },
    );
}

/// Eight commands may be in flight. A command that is canceled while it is queued is not sent.
pub fn canceled_while_queued<F: Front>(drip: bool) {
    let (has_canceled, canceled) = mpsc::channel();
    play_ready::<F>(
        drip,
        move |peer| {
            let stop: Vec<Value> = (0..8).map(|_| peer.expect("stop")).collect();
            // If the ninth were sent, it would arrive before the one that is expected now.
            canceled.recv_timeout(PATIENCE).unwrap();
            for id in &stop {
                peer.succeed(id, json!({}));
            }
            peer.status();
        },
        move |client| {
            for _ in 0..8 {
                client.cancel(Raw::<Value>::new("stop"));
            }
            client.cancel(Raw::<Value>::new("quit"));
            has_canceled.send(()).unwrap();
            expect_running(client);
            assert_eq!(client.dropped().late_replies, 8);
        },
    );
}

/// The late reply must not be taken for the next command's. Events that keep arriving must not
/// delay the deadline.
pub fn deadline_then_another<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let late = peer.expect("query-status");
            let begin = Instant::now();
            while begin.elapsed() < SOON * 2 {
                peer.send(EVENT);
                std::thread::sleep(Duration::from_millis(5));
            }
            let id = peer.expect("query-status");
            peer.succeed(&late, json!({"status": "wrong"}));
            peer.running(&id);
        },
        |client| {
            let begin = Instant::now();
            let error = client.execute(status(), SOON).unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert_eq!(error.command(), Some("query-status"));
            assert!((SOON..PATIENCE / 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
            expect_running(client);
            assert_eq!(client.dropped().late_replies, 1);
        },
    );
}

/// Replies are matched by id. A ninth command waits until one of eight has been answered.
pub fn replies_in_any_order<F: Front>(drip: bool) {
    const COMMANDS: usize = 20;
    let command = |number: usize| Raw::<usize>::new("echo").arguments(&json!({"number": number}));
    play_ready::<F>(
        drip,
        |peer| {
            let mut open = Vec::new();
            for sent in 0..COMMANDS {
                open.push(peer.command());
                if open.len() == 8 || sent + 1 == COMMANDS {
                    for command in open.drain(..).rev() {
                        peer.succeed(&command["id"], command["arguments"]["number"].clone());
                    }
                }
            }
        },
        |client| {
            let replies = client.execute_all((0..COMMANDS).map(command).collect());
            let replies: Vec<usize> = replies.into_iter().map(Result::unwrap).collect();
            assert_eq!(replies, (0..COMMANDS).collect::<Vec<_>>());
        },
    );
}
