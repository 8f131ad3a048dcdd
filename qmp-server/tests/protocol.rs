//! The protocol on the wire, compared with connections that were recorded from QEMU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use qmp_server::{CloseReason, Limits, Session};
use support::{NEGOTIATE, greeting, lines, recorded, server, server_with};

const PROTOCOL: &str = include_str!("data/protocol.txt");

#[test]
fn replies_equal_those_of_qemu() {
    for connection in recorded(PROTOCOL) {
        let client = server().connect();
        assert_eq!(lines(&client.take_output()).len(), 1, "the greeting");
        for (sent, expected) in connection.exchanges {
            client.receive(&sent);
            let sent = String::from_utf8_lossy(&sent);
            assert_eq!(lines(&client.take_output()), expected, "{}: {sent}", connection.title);
        }
    }
}

#[test]
fn input_may_arrive_byte_by_byte_or_all_at_once() {
    for connection in recorded(PROTOCOL) {
        let expected: Vec<String> =
            connection.exchanges.iter().flat_map(|(_, lines)| lines.clone()).collect();
        let sent: Vec<u8> =
            connection.exchanges.iter().flat_map(|(sent, _)| sent.clone()).collect();
        let single = server().connect();
        drop(single.take_output());
        sent.iter().for_each(|byte| single.receive(&[*byte]));
        assert_eq!(lines(&single.take_output()), expected, "one at a time");
        let whole = server().connect();
        drop(whole.take_output());
        whole.receive(&sent);
        // Out-of-band commands overtake, so the order differs.
        let mut replies = lines(&whole.take_output());
        let mut expected = expected;
        replies.sort();
        expected.sort();
        assert_eq!(replies, expected, "all at once");
    }
}

#[test]
fn the_greeting_has_qemus_format() {
    let mut session = Session::new(&greeting(), Limits::default());
    assert_eq!(
        lines(&session.take_output()),
        [
            r#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": "test"}, "capabilities": ["oob"]}}"#
        ]
    );
}

#[test]
fn out_of_band_commands_overtake_waiting_commands() {
    let connection = server().connect();
    connection.receive(b"{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}");
    drop(connection.take_output());
    connection.receive(
        b"{'execute': 'query-name', 'id': 1} {'execute': 'query-name', 'id': 2}\
          {'exec-oob': 'migrate-pause', 'id': 3} [",
    );
    let ids: Vec<serde_json::Value> = lines(&connection.take_output())
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, [3, 1, 2]);
}

#[test]
fn messages_over_the_limits_are_rejected_and_the_connection_continues() {
    let mut limits = Limits::default();
    limits.message_bytes = 1000;
    limits.message_tokens = 100;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(1025), close.repeat(1025));
    for (sent, limit) in [
        (deep("[", "]"), "nesting depth"),
        (deep("{'a':", "}"), "nesting depth"),
        (format!("{{'execute': '{}'}}", "x".repeat(1001)), "token size"),
        (format!("[{}1]", format!("'{}',", "x".repeat(50)).repeat(30)), "token size"),
        (format!("[{}1]", "1,".repeat(100)), "token count"),
    ] {
        let mut limits = limits.clone();
        if limit == "nesting depth" {
            limits.message_bytes = usize::MAX;
            limits.message_tokens = usize::MAX;
        }
        let connection = server_with(limits).connect();
        connection.receive(NEGOTIATE);
        drop(connection.take_output());
        connection.receive(sent.as_bytes());
        connection.receive(b"{'execute': 'query-name'}\n");
        let error = format!(
            r#"{{"error": {{"class": "GenericError", "desc": "JSON {limit} limit exceeded"}}}}"#
        );
        assert_eq!(lines(&connection.take_output()), [error.as_str(), r#"{"return": {}}"#]);
    }
}

#[test]
fn messages_at_the_depth_limit_are_accepted() {
    let connection = server().connect();
    connection.receive(NEGOTIATE);
    drop(connection.take_output());
    let deep = format!("{}{}", "[".repeat(1022), "]".repeat(1022));
    let message = format!("{{'execute': 'query-name', 'id': {deep}}}");
    connection.receive(message.as_bytes());
    assert_eq!(lines(&connection.take_output()), [format!(r#"{{"return": {{}}, "id": {deep}}}"#)]);
    // Arguments have a lower limit, because decoding them has to fit on the stack.
    let message = format!("{{'execute': 'echo', 'arguments': {{'a': {deep}}}}}");
    connection.receive(message.as_bytes());
    assert!(lines(&connection.take_output())[0].contains("48 levels deep"));
}

#[test]
fn long_parse_errors_are_truncated() {
    let connection = server().connect();
    drop(connection.take_output());
    connection.receive(format!("{}\n", "x".repeat(3000)).as_bytes());
    let reply = lines(&connection.take_output()).remove(0);
    assert_eq!(reply.len(), 1097 - "\r\n".len() - "56".len() + "1".len());
}

#[test]
fn commands_of_a_client_that_does_not_read_are_not_executed() {
    let mut limits = Limits::default();
    limits.output_bytes = 10_000;
    let connection = server_with(limits).connect();
    connection.receive(NEGOTIATE);
    drop(connection.take_output());
    for _ in 0..1000 {
        if !connection.wants_input() {
            break;
        }
        connection.receive(b"{'execute': 'query-name'}");
    }
    assert!(!connection.wants_input());
    connection.receive(&b"{'execute': 'query-name'}".repeat(1000));
    let unread = connection.take_output();
    assert!((5_000..6_000).contains(&unread.len()), "{}", unread.len());
    // Reading makes room, and the remaining commands are executed.
    let mut replies = lines(&unread).len();
    loop {
        let more = lines(&connection.take_output()).len();
        if more == 0 {
            break;
        }
        replies += more;
    }
    assert!(connection.wants_input() && replies > 1000, "{replies}");
    assert_eq!(connection.closed(), None);
}

#[test]
fn a_client_that_leaves_too_many_events_unread_is_disconnected() {
    let mut limits = Limits::default();
    limits.output_bytes = 10_000;
    let server = server_with(limits);
    let (idle, busy) = (server.connect(), server.connect());
    for connection in [&idle, &busy] {
        connection.receive(NEGOTIATE);
        drop(connection.take_output());
    }
    let mut emitted = 0;
    while idle.closed().is_none() && emitted < 100 {
        busy.receive(b"{'execute': 'emit', 'arguments': {'length': 1000}}");
        assert_eq!(lines(&busy.take_output()).len(), 2);
        emitted += 1;
    }
    assert_eq!(emitted, 10);
    assert!(
        matches!(idle.closed(), Some(CloseReason::OutputOverflow(10_000..=12_000))),
        "{:?}",
        idle.closed()
    );
    assert!(!idle.has_output() && !idle.wants_input());
    assert_eq!(server.connection_count(), 2);
    drop(idle);
    assert_eq!(server.connection_count(), 1);
}

#[test]
fn events_are_not_sent_before_negotiation() {
    let server = server();
    let (early, ready) = (server.connect(), server.connect());
    ready.receive(NEGOTIATE);
    ready.receive(b"{'execute': 'emit', 'arguments': {'length': 1}}");
    assert_eq!(lines(&early.take_output()).len(), 1, "the greeting");
    let output = lines(&ready.take_output());
    assert!(output[2].starts_with(r#"{"timestamp": {"seconds": "#), "{output:?}");
    assert!(output[2].ends_with(r#"}, "event": "EMITTED", "data": {"text": "x"}}"#), "{output:?}");
    assert_eq!(output[3], r#"{"return": {}}"#);
}

#[test]
fn the_parser_recovers_from_random_bytes() {
    // A generator with a fixed seed, so that the test is reproducible.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words: [&[u8]; 16] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\"",
        b"'",
        b"\\u",
        b"d83d",
        b"\xFF",
        b"1e5",
        b"'execute'",
        b"'query-name'",
        b"null",
        b"\n",
    ];
    for _ in 0..300 {
        let connection = server().connect();
        connection.receive(NEGOTIATE);
        for _ in 0..200 {
            let number = random();
            match number % 4 {
                0 => connection.receive(&number.to_le_bytes()),
                _ => connection.receive(words[(number >> 8) as usize % words.len()]),
            }
        }
        // An invalid byte brings the parser back to a known state.
        connection.receive(b"\xFF\n{'execute': 'query-name', 'id': 'last'}\n");
        let replies = lines(&connection.take_output());
        assert_eq!(replies.last().unwrap(), r#"{"return": {}, "id": "last"}"#);
    }
}

#[test]
fn pending_output_remains_after_the_server_has_ended() {
    let server = server();
    let (one, other) = (server.connect(), server.connect());
    for connection in [&one, &other] {
        connection.receive(NEGOTIATE);
    }
    one.receive(b"{'execute': 'quit', 'id': 1} {'execute': 'query-name'}");
    assert!(server.has_ended());
    assert_eq!(lines(&one.take_output()).last().unwrap(), r#"{"return": {}, "id": 1}"#);
    assert_eq!(
        (one.closed(), other.closed()),
        (Some(CloseReason::Server), Some(CloseReason::Server))
    );
    assert_eq!(lines(&other.take_output()).len(), 2);
    assert_eq!(server.connect().closed(), Some(CloseReason::Server));
    assert_eq!(one.closed().unwrap().to_string(), "the server has ended");
}

#[test]
fn only_commands_with_handlers_are_listed() {
    let connection = server().connect();
    connection.receive(NEGOTIATE);
    drop(connection.take_output());
    connection.receive(b"{'execute': 'query-commands'} {'execute': 'query-qmp-schema'}");
    let replies = lines(&connection.take_output());
    assert_eq!(
        replies[0],
        r#"{"return": [{"name": "qmp_capabilities"}, {"name": "query-commands"}, {"name": "query-qmp-schema"}, {"name": "query-version"}, {"name": "echo"}, {"name": "emit"}, {"name": "migrate-pause"}, {"name": "query-name"}, {"name": "quit"}]}"#
    );
    // The schema contains the commands that are listed, except those without checks.
    let schema: serde_json::Value = serde_json::from_str(&replies[1]).unwrap();
    let entries = schema["return"].as_array().unwrap();
    let is_command = |entry: &&serde_json::Value| entry["meta-type"] == "command";
    let names: Vec<_> =
        entries.iter().filter(is_command).map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "query-name",
            "migrate-pause",
            "quit",
            "qmp_capabilities",
            "query-commands",
            "query-qmp-schema",
            "query-version"
        ]
    );
}
