//! Messages that the fast paths read, and those that they must not.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::borrow::Cow;

use qmp_protocol::{Incoming, Kind, object_length};

use client::{Client, drain, ready, submit};

const EVENT: &[u8] =
    b"{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\r\n";

/// Takes the next message, which must be an event. Returns whether the fast path has read it: the
/// general parser copies the name.
fn is_fast(client: &mut Client) -> bool {
    let Client { connection, input } = client;
    match connection.next(input) {
        Some(Incoming::Event { name, .. }) => {
            assert_eq!(name, "STOP");
            matches!(name, Cow::Borrowed(_))
        }
        other => panic!("{other:?}"),
    }
}

/// An event is read once, whether it arrives alone, after another message, or in two parts.
#[test]
fn an_event_as_qemu_writes_it_takes_the_fast_path() {
    let mut client = ready();
    for _ in 0..2 {
        client.receive(EVENT);
        assert!(is_fast(&mut client));
    }
    client.receive(&EVENT.repeat(3));
    for _ in 0..3 {
        assert!(is_fast(&mut client));
    }
    for split in 1..EVENT.len() - 2 {
        client.receive(&EVENT[..split]);
        assert!(drain(&mut client).is_empty());
        client.receive(&EVENT[split..]);
        assert!(is_fast(&mut client), "{split}");
        assert!(drain(&mut client).is_empty());
    }
    client.receive(b"{\"event\": \"ST\\u004fP\"}\n");
    assert!(!is_fast(&mut client));
}

/// Both paths give the data of an event as the server sent it, and null as no data.
#[test]
fn an_event_has_its_data() {
    for (data, seen) in [("{}", "{}"), ("{\"x\": [1, null]}", "{\"x\": [1, null]}"), ("null", "")] {
        for name in ["STOP", "ST\\u004fP"] {
            let mut client = ready();
            client.receive(format!("{{\"event\": \"{name}\", \"data\": {data}}}\n").as_bytes());
            assert_eq!(drain(&mut client), [format!("STOP {seen}")]);
        }
    }
}

/// A client that takes events directly prepares for that only if one comes next, as QEMU writes it.
#[test]
fn an_event_is_recognized_by_its_beginning() {
    let begin = "{\"timestamp\": {\"seconds\": ".len();
    for length in 0..EVENT.len() {
        let mut client = ready();
        client.receive(&EVENT[..length]);
        assert_eq!(client.input.is_at_event(), length > begin, "{length}");
    }
    for other in
        ["", "{\"return\": {}, \"id\": 1}\r\n{\"event\"", "{\"event\": \"STOP\", \"data\": {}}\r\n"]
    {
        let mut client = ready();
        client.receive(other.as_bytes());
        assert!(!client.input.is_at_event(), "{other}");
    }
    // Another message before it comes first.
    let mut client = ready();
    client.receive(&[b"{\"return\": {}, \"id\": 1}\r\n", EVENT, EVENT].concat());
    assert!(!client.input.is_at_event());
    let Client { connection, input } = &mut client;
    assert!(matches!(connection.next(input), Some(Incoming::Dropped)));
    assert!(client.input.is_at_event());
}

/// A client keeps the data of an event without decoding it, and must know where it ends and that it is
/// valid. What is nested too deeply for the fast path is left to the general parser.
#[test]
fn the_end_of_data_is_found() {
    for data in ["{}", "{ }", "{\"x\": [1, {\"y\": \"}\"}]}", "{\"a\":-0.5e1}", &nested(32)] {
        let is_plain = !data.contains('.');
        for rest in ["", "}", "}\r\n{}", " ,"] {
            let found = object_length(&format!("{data}{rest}"));
            assert_eq!(found, is_plain.then_some(data.len()), "{data}{rest}");
        }
    }
    for text in ["", "[]", "1", "\"{}\"", " {}", "{", "{\"x\"}", "{\"x\": 1", "{x}", &nested(33)] {
        assert_eq!(object_length(text), None, "{text}");
    }
}

/// Returns an object with this many levels of brackets.
fn nested(levels: usize) -> String {
    format!("{{\"x\": {}1{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
}

/// A line is taken with its end, so that a driver knows that nothing is left.
#[test]
fn nothing_is_left_of_a_line() {
    let line = EVENT.trim_ascii_end();
    for (end, is_empty) in [(&b""[..], true), (b"\n", true), (b"\r\n", true), (b"\n\n", false)] {
        let mut client = ready();
        client.receive(&[line, end].concat());
        assert!(is_fast(&mut client));
        assert_eq!(client.input.is_empty(), is_empty, "{end:?}");
        assert!(drain(&mut client).is_empty() && client.input.is_empty());
    }
}

/// The rest of a line of garbage is garbage, whatever it looks like.
#[test]
fn a_message_in_a_line_of_garbage_is_garbage() {
    let mut client = ready();
    client.receive(b"garbage ");
    assert!(drain(&mut client).is_empty());
    client.receive(EVENT);
    let out = drain(&mut client);
    assert!(out.len() == 1 && out[0].contains("garbage {"), "{out:?}");
    client.receive(EVENT);
    assert!(is_fast(&mut client));
}

/// A driver may ask again although nothing has arrived since.
#[test]
fn an_unfinished_message_may_be_asked_for_again() {
    for length in 1..EVENT.len() - 2 {
        let mut client = ready();
        client.receive(&EVENT.repeat(3));
        client.receive(&EVENT[..length]);
        for _ in 0..3 {
            assert!(is_fast(&mut client));
        }
        for _ in 0..3 {
            assert!(drain(&mut client).is_empty());
        }
        client.receive(&EVENT[length..]);
        assert_eq!(drain(&mut client), ["STOP "], "{length}");
    }
}

/// Only a complete line, of the usual form and length, is decoded before its envelope was read.
#[test]
fn a_reply_is_decoded_early_if_it_is_all_that_has_arrived() {
    let value = |length: usize| "x".repeat(length - "{\"return\": \"\", \"id\": 1}\n".len());
    let line = |length| format!("{{\"return\": \"{}\", \"id\": 1}}\n", value(length));
    for (text, is_early) in [
        (line(100), true),
        (line(1024), true),
        (line(1025), false),
        (line(100).trim_end().to_owned(), false),
        (line(100) + &line(100), false),
        (format!(" {}", line(100)), false),
    ] {
        let mut client = ready();
        let id = submit(&mut client, "x", Kind::InBand);
        client.receive(text.as_bytes());
        let Client { connection, input } = &mut client;
        let early = input.decode_early::<String>(id);
        assert_eq!(early.is_some(), is_early, "{} bytes", text.len());
        if let Some(reply) = early {
            assert!(connection.take_early(id, input));
            assert_eq!(reply, value(text.len()));
            assert!(input.is_empty() && !connection.is_pending(id));
            assert_eq!(connection.traffic().received, {
                let handshake = client::GREETING.len() + "{\"return\": {}, \"id\": 100}\n".len();
                (handshake + text.len()) as u64
            });
        }
    }
}

/// An event that arrived together with a reply is taken first, and the reply is still whole.
#[test]
fn a_reply_after_an_event_is_decoded_early() {
    let mut client = ready();
    for _ in 0..2 {
        let id = submit(&mut client, "x", Kind::InBand);
        client.receive(EVENT);
        client.receive(format!("{{\"return\": 7, \"id\": {id}}}\r\n").as_bytes());
        assert!(client.input.decode_early::<u8>(id).is_none());
        assert!(is_fast(&mut client));
        let Client { connection, input } = &mut client;
        assert_eq!(input.decode_early::<u8>(id), Some(7));
        assert!(connection.take_early(id, input));
        assert!(client.input.is_empty() && drain(&mut client).is_empty());
    }
}

/// A reply whose beginning was garbage, or was looked at before, takes the slow path.
#[test]
fn the_rest_of_something_is_not_decoded_early() {
    let mut client = ready();
    let id = submit(&mut client, "x", Kind::InBand);
    let line = format!("{{\"return\": 7, \"id\": {id}}}\r\n");
    client.receive(b"garbage ");
    assert!(drain(&mut client).is_empty());
    client.receive(line.as_bytes());
    assert!(client.input.decode_early::<u8>(id).is_none());
    // The id at the end of the line tells whose reply was damaged.
    let out = drain(&mut client);
    assert!(out.len() == 2 && out[1].contains("the reply to `x` is damaged"), "{out:?}");

    let id = submit(&mut client, "x", Kind::InBand);
    let line = format!("{{\"return\": 7, \"id\": {id}}}\r\n");
    client.receive(&line.as_bytes()[..5]);
    assert!(drain(&mut client).is_empty());
    client.receive(&line.as_bytes()[5..]);
    assert!(client.input.decode_early::<u8>(id).is_none());
    assert_eq!(drain(&mut client), [format!("{id} 7")]);
}

/// A member that comes twice is left to the general parser.
#[test]
fn a_member_that_is_repeated_does_not_take_the_fast_path() {
    for more in
        [r#""event": "STOP""#, r#""data": {}, "data": {}"#, r#""timestamp": {}, "timestamp": {}"#]
    {
        let mut client = ready();
        client.receive(format!("{{\"event\": \"STOP\", {more}}}\n").as_bytes());
        assert!(!is_fast(&mut client), "{more}");
    }
}

/// Two reads may part a message anywhere, such as after an escape.
#[test]
fn a_message_with_escapes_may_be_split_anywhere() {
    let text =
        r#"{"event": "STOP", "data": {"a\"b": "\\", "c\\": "\u00e9\n\"", "d": ["}\\\"", "{"]}}"#;
    let data = &text[text.find("{\"a").unwrap()..text.len() - 1];
    for split in 1..text.len() {
        let mut client = ready();
        client.receive(&text.as_bytes()[..split]);
        assert!(drain(&mut client).is_empty());
        client.receive(&text.as_bytes()[split..]);
        assert_eq!(drain(&mut client), [format!("STOP {data}")], "{split}");
    }
}
