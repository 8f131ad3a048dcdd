//! Recordings: their format, their matching, and hostile ones.

#![allow(clippy::unwrap_used, missing_docs)] // tests
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::Shutdown;

use qmp_server::replay::{Direction, Fault, Order, Recorder, Recording, Replay, ReplayServer};

const NEGOTIATE: &str = "{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}";

/// Returns a recording from its messages: `>` marks those that were sent.
fn recording(messages: &str) -> Recording {
    let line = |line: &str| {
        let (direction, message) = line.split_once(' ').unwrap();
        let direction = if direction == ">" { "sent" } else { "received" };
        format!("{{\"time\": 15, \"direction\": \"{direction}\", \"message\": {message}}}\n")
    };
    let text: String =
        messages.lines().map(str::trim).filter(|text| !text.is_empty()).map(line).collect();
    Recording::parse(&text).unwrap()
}

/// Returns the lines that follow the answer to negotiation.
fn ask(server: &ReplayServer, commands: &str) -> Vec<String> {
    let mut stream = server.connect().unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream.write_all(format!("{NEGOTIATE}{commands}").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines().skip(2).map(str::to_owned).collect()
}

const SESSION: &str = r#"
    < {"QMP": {"version": {"qemu": {"major": 9, "minor": 2, "micro": 1}, "package": "p"}, "capabilities": ["oob"]}}
    > {"execute": "qmp_capabilities", "id": 0}
    < {"return": {}, "id": 0}
    < {"event": "EARLY", "timestamp": {"seconds": 1, "microseconds": 2}}
    > {"execute": "a", "arguments": {"x": {"p": 1, "q": [2]}, "password": "<secret>"}, "id": 1}
    > {"exec-oob": "b", "id": 2}
    < {"return": "b", "id": 2}
    < {"event": "BEFORE", "data": {"of": "a"}, "timestamp": {"seconds": 3, "microseconds": 4}}
    < {"error": {"class": "DeviceNotFound", "desc": "a"}, "id": 1}
    < {"event": "AFTER", "timestamp": {"seconds": 5, "microseconds": 6}}
    > {"execute": "c", "id": 3}
    < {"return": 1, "id": 3}
    > {"execute": "c", "id": 4}
    < {"return": 2, "id": 4}
"#;

#[test]
fn replies_are_found_by_request_and_events_are_in_their_places() {
    let server = Replay::of(recording(SESSION)).start();
    let lines = ask(
        &server,
        "{'execute': 'c'} {'execute': 'c', 'id': 'x'} {'execute': 'c'}
         {'execute': 'a', 'arguments': {'password': 'hunter2', 'x': {'q': [2], 'p': 1}}, 'id': []}
         {'execute': 'c', 'arguments': {'y': 1}}",
    );
    assert_eq!(
        lines,
        [
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "EARLY"}"#,
            r#"{"return": 1}"#,
            r#"{"return": 2, "id": "x"}"#,
            r#"{"return": 2}"#,
            r#"{"timestamp": {"seconds": 3, "microseconds": 4}, "event": "BEFORE", "data": {"of": "a"}}"#,
            r#"{"id": [], "error": {"class": "DeviceNotFound", "desc": "a"}}"#,
            r#"{"timestamp": {"seconds": 5, "microseconds": 6}, "event": "AFTER"}"#,
            r#"{"error": {"class": "GenericError", "desc": "the recording does not contain `c` with {\"y\": 1}"}}"#,
        ]
    );
    let error = server.finish().unwrap_err();
    assert_eq!(error.faults(), [Fault::NotRecorded { request: "`c` with {\"y\": 1}".to_owned() }]);
}

#[test]
fn strict_order_is_checked() {
    let strict = || Replay::of(recording(SESSION)).order(Order::Strict).start();
    let server = strict();
    // Each connection continues where the one before has ended.
    ask(&server, "{'execute': 'a', 'arguments': {'x': {'p': 1, 'q': [2]}, 'password': ''}}");
    ask(&server, "{'exec-oob': 'b'}");
    let lines = ask(&server, "{'execute': 'c'} {'execute': 'c'}");
    assert_eq!(lines[1..], ["{\"return\": 1}", "{\"return\": 2}"]);
    server.finish().unwrap();
    let server = strict();
    let lines = ask(&server, "{'execute': 'c'}");
    assert!(lines[1].contains("the recording continues with `a` with"), "{lines:?}");
    let error = server.finish().unwrap_err();
    assert_eq!(error.faults().len(), 1 + 4);
}

#[test]
fn recordings_that_are_invalid_name_the_line() {
    for (text, expected) in [
        ("\n{", "line 2 of the recording is invalid: EOF"),
        ("[]", "line 1"),
        ("{\"direction\": \"up\", \"message\": {}}", "neither `sent` nor `received`"),
        ("{\"direction\": \"sent\"}", "`message` is missing"),
        ("{\"direction\": \"sent\", \"message\": []}", "not an object"),
        ("{\"direction\": \"sent\", \"message\": {}}", "not a command"),
        ("{\"direction\": \"received\", \"message\": {}}", "not one of a server's"),
        ("{\"time\": -1, \"direction\": \"sent\", \"text\": \"\"}", "not a number of microseconds"),
    ] {
        let error = Recording::parse(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep =
        format!("{{\"direction\": \"sent\", \"message\": {{\"execute\": \"x\", \"id\": {deep}}}}}");
    Recording::parse(&deep).unwrap_err();
    assert!(Recording::open(std::env::temp_dir().join("no/such/recording")).is_err());
}

#[test]
fn recorders_write_what_recordings_read() {
    let path = std::env::temp_dir().join(format!("recording-{}", std::process::id()));
    let recorder = Recorder::new(std::fs::File::create(&path).unwrap(), "vm");
    recorder.message(Direction::Sent, "{'execute':\r\n \"x\", \"id\": 1}", 2);
    recorder.message(Direction::Received, "garbage \u{1b}", 0);
    // Another connection, with the same id.
    let other = recorder.monitor("other");
    other.message(Direction::Sent, "{\"execute\": \"x\", \"id\": 1}", 0);
    other.message(Direction::Sent, "{\"not\": \"a command\"}", 0);
    recorder.message(Direction::Received, "{\"return\": 18446744073709551615, \"id\": 1}", 0);
    other.message(Direction::Received, "{\"return\": 5, \"id\": 1}", 0);
    recorder.finish().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(text.lines().count(), 1 + 6);
    assert!(text.contains(r#""monitor": "vm", "text": "garbage \u001b"}"#), "{text}");
    assert_eq!(Recording::parse(&text).unwrap().request_count(), 2);
    let other = Replay::of(Recording::of_monitor(text.as_bytes(), "other").unwrap()).start();
    assert_eq!(ask(&other, "{'execute': 'x'}"), ["{\"return\": 5}"]);
    let recording = Recording::of_monitor(text.as_bytes(), "vm").unwrap();
    let server = Replay::of(recording).start();
    assert_eq!(ask(&server, "{'execute': 'x'}"), ["{\"return\": 18446744073709551615}"]);
    server.finish().unwrap();

    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let recorder = Recorder::new(Full, "vm");
    recorder.message(Direction::Sent, "{}", 0);
    recorder.finish().unwrap_err();
}

/// A secret can be part of a text: the rest of it is compared.
#[test]
fn masked_parts_of_texts_equal_any() {
    let line = r#"{"execute": "human-monitor-command", "arguments": {"command-line": "LINE"}}"#;
    let server = Replay::of(recording(&format!(
        "> {}\n< {{\"return\": \"\"}}\n> {}\n< {{\"return\": 1}}",
        line.replace("LINE", "change <secret>"),
        line.replace("LINE", "https://me:<secret>@host/<secret>.img"),
    )));
    let server = server.start();
    for (sent, expected) in [
        ("change vnc password hunter2", "{\"return\": \"\"}"),
        ("https://me:a@host/b.img", "{\"return\": 1}"),
        ("https://me:a@host/b.iso", "does not contain"),
        ("https://me:a@other/b.img", "does not contain"),
        ("chang", "does not contain"),
    ] {
        let lines = ask(&server, &line.replace("LINE", sent));
        assert!(lines[0].contains(expected), "{sent}: {lines:?}");
    }
    server.finish().unwrap_err();
}
