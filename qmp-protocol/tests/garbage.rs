//! Bytes that are not messages: how much of them is shown, and where the next message begins.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use qmp_protocol::{End, Garbage, Incoming, Kind};

use client::{Client, agent, drain, ready, submit, to_agent};

/// Takes what has arrived, and returns the garbage in it.
fn garbage(client: &mut Client) -> Vec<Garbage> {
    let Client { connection, input } = client;
    let mut found = Vec::new();
    while let Some(incoming) = connection.next(input) {
        if let Incoming::Garbage(garbage) = incoming {
            found.push(garbage);
        }
    }
    found
}

/// Up to 120 bytes are shown, however many there were and however they arrived.
#[test]
fn garbage_is_shown_in_part_and_counted_in_full() {
    for length in [1, 119, 120, 121, 122, 300, 5000] {
        for piece in [1, 50, 120, 10_000] {
            let mut client = ready();
            let line = "x".repeat(length) + "\n";
            let mut found = Vec::new();
            for bytes in line.as_bytes().chunks(piece) {
                client.receive(bytes);
                found.extend(garbage(&mut client));
            }
            assert_eq!(found.len(), 1, "{length} in pieces of {piece}");
            assert_eq!(found[0].length, length + 1);
            let whole = length < 120;
            let shown = "x".repeat(length.min(120)) + if whole { "" } else { "…" };
            assert_eq!(*found[0].snippet, *shown);
            assert_eq!(client.dropped().garbage, 1);
        }
    }
}

/// The beginning of a line shows why the connection ended in the middle of it.
#[test]
fn an_unfinished_line_is_shown_at_the_end() {
    for text in ["x".repeat(500), format!("{{\"x\": \"{}", "y".repeat(493))] {
        let mut client = ready();
        for bytes in text.as_bytes().chunks(100) {
            client.receive(bytes);
            assert!(drain(&mut client).is_empty());
        }
        client.end(End::Eof);
        drain(&mut client);
        let Some(End::Truncated(garbage)) = client.ended().map(|end| &**end) else { panic!() };
        assert_eq!(garbage.length, 500);
        assert_eq!(*garbage.snippet, *format!("{}…", &text[..120]));
    }
}

/// A message that is cut off ends where the next one begins, if that is the beginning of a line.
#[test]
fn a_message_that_is_cut_off_costs_no_other() {
    for indent in ["", " ", "\t\t ", "\r\n  "] {
        let cut = "{\"return\": {\"a\": 1\n";
        let mut client = ready();
        let event = "{\"event\": \"A\"}";
        client.receive(format!("{event}\n{cut}{indent}{event}\n").as_bytes());
        let out = drain(&mut client);
        assert_eq!(out.len(), 3, "{out:?}");
        let shown = format!("the peer sent `{}`", cut.trim_end());
        assert!(out[1].starts_with(&shown) && out[1].ends_with("cut off"), "{out:?}");
        assert_eq!((&*out[0], &*out[2]), ("A ", "A "));
    }
    // In the middle of a line, it is part of the damage.
    let mut client = ready();
    client.receive(b"{\"return\": 1 {\"event\": \"A\"}\n{\"event\": \"B\"}\n");
    let out = drain(&mut client);
    assert_eq!(out.last().unwrap(), "B ");
    assert!(!out.contains(&"A ".to_owned()), "{out:?}");
}

/// The id at the end of a damaged reply is found, even if it arrives byte by byte after a long line.
#[test]
fn the_id_of_a_damaged_reply_is_at_its_end() {
    for length in [0, 10, 100, 1000] {
        // The end of the line may be as long as what is looked at.
        let space = " ".repeat(50);
        for piece in [1, 2, 3, 10, 64, 10_000] {
            let mut client = ready();
            let ids = [(); 2].map(|()| submit(&mut client, "x", Kind::InBand));
            let text = "y".repeat(length);
            let line = format!("{{\"return\": \"{text}\u{1}\", \"id\":{space} {}}}\n", ids[1]);
            let mut out = Vec::new();
            for bytes in line.as_bytes().chunks(piece) {
                client.receive(bytes);
                out.extend(drain(&mut client));
            }
            let damaged = format!("{} the reply to `x` is damaged: ", ids[1]);
            assert!(
                out.iter().any(|line| line.starts_with(&damaged)),
                "{length}, {piece}: {out:?}"
            );
            assert!(client.is_pending(ids[0]) && !client.is_pending(ids[1]));
        }
    }
}

/// JSON allows escapes in keys, too.
#[test]
fn the_key_of_the_id_of_a_damaged_reply_may_have_escapes() {
    for (key, is_found) in [
        ("id", true),
        ("i\\u0064", true),
        ("\\u0069\\u0064", true),
        ("i\\\\u0064", false),
        ("return", false),
    ] {
        // Without the second, the line is not an object, and only its end is kept.
        for damage in ["\u{1}", "\" 1 {\""] {
            let mut client = ready();
            let ids = [(); 2].map(|()| submit(&mut client, "x", Kind::InBand));
            let text = "y".repeat(100 << 10);
            let line = format!("{{\"return\": \"{text}{damage}\", \"{key}\": {}}}\n", ids[1]);
            client.receive(line.as_bytes());
            drain(&mut client);
            assert!(client.is_pending(ids[0]));
            assert_eq!(client.is_pending(ids[1]), !is_found, "{key} {damage:?}");
        }
    }
}

/// A server that writes the id first is told from one that writes it last by decoding the damaged reply,
/// which costs memory, and so is not done with a long one.
#[test]
fn the_id_of_a_damaged_reply_may_be_at_its_beginning() {
    for (length, is_found) in [(100, true), (2000, true), (64 << 10, true), ((64 << 10) + 1, false)]
    {
        let mut client = ready();
        let ids = [(); 2].map(|()| submit(&mut client, "x", Kind::InBand));
        let (begin, end) = (format!("{{\"id\": {}, \"return\": \"", ids[1]), b"\xFF\"}");
        let middle = vec![b'y'; length - begin.len() - end.len()];
        client.receive(&[begin.as_bytes(), &middle, end, b"\n"].concat());
        let out = drain(&mut client);
        let damaged = format!("{} the reply to `x` is damaged: ", ids[1]);
        assert_eq!(
            out.iter().any(|line| line.starts_with(&damaged)),
            is_found,
            "{length}: {out:?}"
        );
        assert!(client.is_pending(ids[0]));
        assert_eq!(client.is_pending(ids[1]), !is_found);
    }
}

/// The reason says which member of an object is wrong, so that a bug report about a server has it.
#[test]
fn the_reason_names_the_member() {
    for (text, reason) in [
        ("{\"event\": 1}", "invalid type: integer `1`, expected a string at $.event"),
        (
            "{\"retrun\": {}}",
            "the message has none of the keys `return`, `error`, `event` and `QMP`",
        ),
    ] {
        let mut client = ready();
        client.receive(text.as_bytes());
        assert_eq!(*garbage(&mut client)[0].reason, *reason, "{text}");
    }
}

/// Text, whatever number it ends with, was not meant as a reply, since a reply is an object.
#[test]
fn a_line_of_text_answers_no_command() {
    let mut client = client::connect();
    client.receive(client::GREETING.as_bytes());
    client.receive(b"\nwarning: see \"id\": 100}\n");
    assert_eq!(drain(&mut client).len(), 1);
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    assert_eq!(drain(&mut client), ["ready"]);

    // What an agent's terminal prints is not its reply, and needs no synchronization.
    let mut client = agent();
    client.receive(b"\xFF{\"return\": 2}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    to_agent(&mut client);
    let id = submit(&mut client, "guest-ping", Kind::InBand);
    to_agent(&mut client);
    client.receive(b"warning\n");
    assert_eq!(drain(&mut client).len(), 1);
    assert!(to_agent(&mut client).is_empty());
    client.receive(b"{\"return\": {}}\n");
    assert_eq!(drain(&mut client), [format!("{id} {{}}")]);
}

/// The contents of a file for an earlier client are one long line, which is not that of a terminal.
#[test]
fn a_long_line_for_an_earlier_client_of_an_agent_is_skipped() {
    let mut client = agent();
    to_agent(&mut client);
    client.receive(format!("{}\", \"eof\": true}}}}\n", "A".repeat(500)).as_bytes());
    assert_eq!(drain(&mut client).len(), 1);
    client.receive(b"{\"return\": 2}\n");
    assert_eq!(drain(&mut client), ["ready"]);
}

/// Whatever an agent was sending to an earlier client ends with the delimiter, and is not looked at.
#[test]
fn bytes_before_an_agents_delimiter_are_skipped() {
    for before in
        [&b"AAAA\", \"x\": [{"[..], b"{\"return\": {\"a", b"{\"return\": 2}", b"vm login: "]
    {
        for piece in [1, 4, 1000] {
            let mut client = agent();
            to_agent(&mut client);
            let text = [before, b"\xFF{\"return\": 2}\n"].concat();
            let mut out = Vec::new();
            for bytes in text.chunks(piece) {
                client.receive(bytes);
                out.extend(drain(&mut client));
            }
            assert!(client.is_ready(), "{:?} {out:?}", String::from_utf8_lossy(before));
            assert_eq!(client.dropped().garbage, 0);
        }
    }
}

/// An earlier client may have used any text as an id, and damage may make any text of one.
#[test]
fn text_that_only_looks_like_a_number_is_no_id() {
    let ids: [&[u8]; 5] = [
        "\"caf\u{e9}e-1\"".as_bytes(),
        "\"\u{e9}.0\"".as_bytes(),
        b"\xffe-1",
        b"\"\xff.0\"",
        b"\"e0\"",
    ];
    for id in ids {
        for (before, after) in [("{\"return\": {}, \"id\": ", "}\n"), ("x \"id\": ", "}\n")] {
            let bytes = [before.as_bytes(), id, after.as_bytes()].concat();
            for mut client in [client::connect(), ready(), agent()] {
                let is_ready = client.is_ready();
                client.receive(&bytes);
                drain(&mut client);
                assert_eq!(client.is_ready(), is_ready);
            }
        }
        let mut client = agent();
        to_agent(&mut client);
        client.receive(&[b"{\"return\": ", id, b"}\n"].concat());
        drain(&mut client);
        assert!(!client.is_ready());
    }
}
