//! Tests of replies that are decoded in the same pass as their envelope.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use qmp_protocol::{CallId, Incoming, Kind, Transcript, decode_reply};
use qmp_types::Empty;
use serde_core::de::DeserializeOwned;
use serde_json::Value;

use client::{Client, agent, chain, drain, ready, reply, submit, take_output, to_agent};

/// Takes what has arrived as a driver does that waits for the reply to `id`. Returns whether the reply
/// was taken early, and everything that can be observed.
fn take<T: DeserializeOwned + Debug>(
    client: &mut Client,
    id: CallId,
    may_be_early: bool,
) -> (bool, Vec<String>) {
    let (mut is_early, mut seen) = (false, Vec::new());
    let Client { connection, input } = client;
    if let Some(value) = input.decode_early::<T>(id).filter(|_| may_be_early) {
        is_early = connection.take_early(id, input);
        if is_early {
            seen.push(format!("{id} {value:?}"));
        }
    }
    while let Some(incoming) = connection.next(input) {
        seen.push(match incoming {
            Incoming::Reply { id: found, result: Ok(value) } if found == id => {
                match decode_reply::<T>(|| "x".into(), value) {
                    Ok(value) => format!("{id} {value:?}"),
                    Err(error) => format!("{id} {}", chain(&error)),
                }
            }
            Incoming::Reply { id, result: Err(error) } => format!("{id} {}", chain(&error)),
            other => format!("{other:?}"),
        });
    }
    seen.push(format!("{:?} {:?}", connection.dropped(), connection.traffic()));
    let calls = (connection.is_pending(id), connection.is_in_flight(id), connection.is_idle());
    seen.push(format!("{calls:?}"));
    (is_early, seen)
}

/// Checks that a text means the same to a driver that decodes replies early, and returns whether one
/// was. The rest of a reply that is cut off follows.
fn compare<T: DeserializeOwned + Debug>(text: &[u8], rest: &[u8]) -> bool {
    let run = |may_be_early| {
        let mut client = ready();
        let ids = [(); 2].map(|()| submit(&mut client, "x", Kind::InBand));
        take_output(&mut client);
        client.receive(text);
        let first = take::<T>(&mut client, ids[0], may_be_early);
        client.receive(rest);
        let second = take::<T>(&mut client, ids[0], may_be_early);
        reply(&mut client, ids[1]);
        (first.0 || second.0, first.1, second.1, drain(&mut client))
    };
    let (general, early) = (run(false), run(true));
    let shown = String::from_utf8_lossy(text);
    assert!(!general.0);
    assert_eq!((&general.1, &general.2, &general.3), (&early.1, &early.2, &early.3), "{shown}");
    early.0
}

fn compare_all(text: &[u8], rest: &[u8]) -> usize {
    let compared = [
        compare::<Value>(text, rest),
        compare::<BTreeMap<String, Value>>(text, rest),
        compare::<Vec<u8>>(text, rest),
        compare::<Option<String>>(text, rest),
        compare::<Empty>(text, rest),
        compare::<Box<serde_json::value::RawValue>>(text, rest),
    ];
    compared.into_iter().filter(|is_early| *is_early).count()
}

const USUAL: [&str; 8] = [
    "{\"return\": {}, \"id\": 1}\r\n",
    "{\"return\": {\"status\": \"running\", \"running\": true, \"x\": [1.5, -0, {}]}, \"id\": 1}\r\n",
    "{\"return\": [1, 2, 3], \"id\": 1}\n",
    "{\"return\": \"\u{e9}\\n\\ud83d\\ude00\", \"id\": 1}\r\n",
    "{\"return\": null, \"id\": 1}\n",
    "{\"return\":{},\"id\":1}\r\n",
    "{\"id\": 1, \"return\": {}}\r\n",
    "{\"return\": {}, \"id\": 1}\r\n{\"event\": \"STOP\"}\r\n",
];

/// A reply means the same, whichever way it is taken.
#[test]
fn early_replies_are_those_that_the_general_way_gives() {
    for text in &USUAL[..5] {
        assert!(compare_all(text.as_bytes(), b"") > 0, "{text}");
    }
    for text in &USUAL[5..] {
        assert_eq!(compare_all(text.as_bytes(), b""), 0, "{text}");
    }
}

/// One byte is replaced, or missing, or the rest arrives later.
#[test]
fn damage_is_left_to_the_general_way() {
    let bytes = b"\"\\{],0.\n\xff ";
    let mut early = 0;
    for text in USUAL.map(str::as_bytes) {
        for at in 0..text.len() {
            early += usize::from(compare::<Value>(&text[..at], &text[at..]));
            for byte in bytes.chunks(1).chain([&b""[..]]) {
                let mut other = text.to_vec();
                other.splice(at..=at, byte.iter().copied());
                // The reply that was damaged follows once more.
                early += usize::from(compare::<Value>(&other, text));
                early += usize::from(compare::<Vec<u8>>(&other, text));
            }
        }
    }
    assert!(early > 100, "{early}");
}

/// A type that panics did so in the thread that read the reply of another one.
#[test]
fn the_value_of_another_reply_is_not_looked_at() {
    #[derive(Debug)]
    struct Bomb;
    impl<'de> serde_core::Deserialize<'de> for Bomb {
        fn deserialize<D: serde_core::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("decoded")
        }
    }
    let mut client = ready();
    let ids = [(); 2].map(|()| submit(&mut client, "x", Kind::InBand));
    reply(&mut client, ids[1]);
    assert!(client.input.decode_early::<Bomb>(ids[0]).is_none());
    let mut both = ready();
    let ids = [(); 2].map(|()| submit(&mut both, "x", Kind::InBand));
    ids.into_iter().for_each(|id| reply(&mut both, id));
    assert!(both.input.decode_early::<Bomb>(ids[1]).is_none());
    let decode = || client.input.decode_early::<Bomb>(ids[1]);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)).is_err());
}

/// A transcript misses no message.
#[test]
fn a_transcript_has_every_reply() {
    let mut client = ready();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    let show = move |_, message: &str| list.lock().unwrap().push(message.to_owned());
    client.set_transcript(Some(Transcript::new(show)));
    let id = submit(&mut client, "x", Kind::InBand);
    reply(&mut client, id);
    let (is_early, found) = take::<Value>(&mut client, id, true);
    assert!(!is_early && found[0].starts_with("1 Object"), "{found:?}");
    assert_eq!(seen.lock().unwrap()[1], "{\"return\": {}, \"id\": 1}");
}

/// A reply that no caller waits for is dropped and counted, and what finished before comes first.
#[test]
fn only_a_reply_that_is_awaited_is_taken_early() {
    let mut client = ready();
    let abandoned = submit(&mut client, "x", Kind::InBand);
    client.abandon(abandoned, std::time::Instant::now());
    reply(&mut client, abandoned);
    assert!(!take::<Value>(&mut client, abandoned, true).0);
    assert_eq!(client.dropped().late_replies, 1);

    // Once more: no command in flight has the id now.
    reply(&mut client, abandoned);
    assert!(!take::<Value>(&mut client, abandoned, true).0);
    assert_eq!(client.dropped().foreign_replies, 1);
}

/// A guest agent is synchronized with, and its replies have no ids that count.
#[test]
fn replies_of_a_guest_agent_go_the_general_way() {
    let mut client = agent();
    let sync = to_agent(&mut client);
    let number: Value = serde_json::from_str(sync.trim()).unwrap();
    let number = &number["arguments"]["id"];
    client.receive(format!("{{\"return\": {number}}}\n").as_bytes());
    drain(&mut client);
    let id = submit(&mut client, "guest-ping", Kind::InBand);
    reply(&mut client, id);
    assert!(!take::<Value>(&mut client, id, true).0);
}

/// A reply that may be deeper than the limit is not taken early.
#[test]
fn the_limit_of_depth_holds() {
    let mut settings = qmp_protocol::Settings::default();
    settings.depth = 4;
    settings.negotiation_id = client::NEGOTIATION;
    let mut client = Client::new(settings, None);
    client.receive(client::GREETING.as_bytes());
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    drain(&mut client);
    let id = submit(&mut client, "x", Kind::InBand);
    client.receive(b"{\"return\": [[[[[[]]]]]], \"id\": 1}\n");
    let (is_early, seen) = take::<Value>(&mut client, id, true);
    assert!(!is_early && seen[0].contains("deep"), "{seen:?}");
}
