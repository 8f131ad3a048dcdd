//! Scripts, and the reports about clients that do not follow them.

#![allow(clippy::unwrap_used, missing_docs)] // tests
#![cfg(all(feature = "simulator", unix))]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use qmp_server::script::{Got, Script, ScriptServer};
use qmp_types::qmp::commands::{BlockdevDel, MigratePause, QueryStatus, Stop};
use qmp_types::qmp::types::{RunState, StatusInfo};
use qmp_types::{Empty, QmpError, qmp};
use serde_json::json;

const SOON: Duration = Duration::from_millis(50);
const NEGOTIATE: &[u8] = b"{'execute': 'qmp_capabilities', 'id': 0}";

/// Sends bytes, ends the sending side, and returns everything that the server sends.
fn ask(mut stream: UnixStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

fn running() -> StatusInfo {
    StatusInfo::new(true, RunState::Running)
}

#[test]
fn a_client_that_follows_the_script_is_answered() {
    let server = Script::new()
        .expect(QueryStatus::new())
        .returns(running())
        .event_raw("RESET", Some(json!({"guest": true})))
        .expect(Stop::new())
        .emits(&qmp::events::Stop::new())
        .returns(Empty {})
        .expect_raw("nope")
        .fails(QmpError::generic("no"))
        .start();
    let commands = b"{'execute': 'query-status', 'id': 'a'} {'execute': 'stop'}
        {'execute': 'nope', 'arguments': {'x': 1}, 'id': 2}";
    let text = ask(server.connect().unwrap(), &[NEGOTIATE, commands].concat());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(r#"{"QMP": {"version""#), "{text}");
    assert_eq!(lines[1], r#"{"return": {}, "id": 0}"#);
    assert_eq!(lines[2], r#"{"return": {"running": true, "status": "running"}, "id": "a"}"#);
    assert!(lines[3].ends_with(r#""event": "RESET", "data": {"guest": true}}"#), "{text}");
    assert!(lines[4].ends_with(r#""event": "STOP"}"#), "{text}");
    assert_eq!(lines[5], r#"{"return": {}}"#);
    assert_eq!(lines[6], r#"{"error": {"class": "GenericError", "desc": "no"}, "id": 2}"#);
    assert_eq!(lines.len(), 7);
    server.finish().unwrap();
}

/// Plays a script that expects `blockdev-del` with `node-name` `a`, and returns the failure.
fn failure(sent: &str) -> qmp_server::script::ScriptError {
    let server = Script::new().expect(BlockdevDel::new("a")).returns(Empty {}).start();
    ask(server.connect().unwrap(), &[NEGOTIATE, sent.as_bytes()].concat());
    server.finish().unwrap_err()
}

#[test]
fn failures_show_expected_and_got() {
    let error = failure("{'execute': 'blockdev-del', 'arguments': {'node-name': 'b'}}");
    assert_eq!((error.connection(), error.step()), (1, Some(4)));
    assert_eq!(error.expected(), r#"`blockdev-del` with {"node-name": "a"}"#);
    let got = r#"`blockdev-del` with {"node-name": "b"}"#;
    assert_eq!(*error.got(), Got::Command(got.to_owned()));
    let text = error.to_string();
    let begin = "the client does not follow the script on connection 1, step 4 of 5\n  \
        expected: `blockdev-del` with {\"node-name\": \"a\"}\n  \
        got:      `blockdev-del` with {\"node-name\": \"b\"}\n  \
        before it:\n    sent     {\"QMP\": ";
    assert!(text.starts_with(begin), "{text}");
    let end = "\n    received `qmp_capabilities` without arguments\n    \
        sent     {\"return\": {}, \"id\": 0}";
    assert!(text.ends_with(end), "{text}");
    assert_eq!(format!("{error:?}"), text);

    for (sent, expected) in [
        (
            "{'exec-oob': 'blockdev-del', 'arguments': {'node-name': 'a'}}",
            "`blockdev-del` out-of-band",
        ),
        ("{'execute': 'blockdev-del'}", "`blockdev-del` without arguments"),
        ("{'execute': 'stop'}", "`stop` without arguments"),
        ("{'execute': 'sto\u{1b}[1mp'}", r"\u{1b}"),
        ("nonsense", "an invalid message: 1:41: JSON parse error, invalid keyword 'nonsense'"),
        ("[]", "an invalid message: QMP input must be a JSON object"),
        ("", "the end of the connection"),
    ] {
        let text = failure(sent).to_string();
        assert!(text.contains(expected) && !text.contains('\u{1b}'), "{sent}: {text}");
    }
}

#[test]
fn a_command_after_the_last_step_is_a_failure() {
    let server = Script::new().start();
    ask(server.connect().unwrap(), &[NEGOTIATE, b"{'execute': 'stop'}"].concat());
    let error = server.finish().unwrap_err();
    assert_eq!(error.expected(), "nothing more, at the end of the script");
    assert_eq!(error.step(), Some(3));
    // Also if the client is still connected, and nothing has read the command yet.
    let server = Script::new().start();
    let mut client = server.connect().unwrap();
    client.write_all(&[NEGOTIATE, b"{'execute': 'stop'}"].concat()).unwrap();
    server.finish().unwrap_err();
}

#[test]
fn arguments_are_compared_whole_or_in_part() {
    let sent = b"{'execute': 'x', 'arguments': {'b': {'d': [1], 'c': 2}, 'a': 1}}";
    let plays = |script: Script| {
        let server = script.start();
        ask(server.connect().unwrap(), sent);
        server.finish().is_ok()
    };
    let script = || Script::bare().expect_raw("x");
    assert!(plays(script().returns_raw(json!(1))));
    assert!(plays(script().arguments(json!({"a": 1, "b": {"c": 2, "d": [1]}})).never()));
    assert!(!plays(script().arguments(json!({"a": 1, "b": {"c": 2}})).never()));
    assert!(plays(script().arguments_include(json!({"b": {"c": 2}})).never()));
    assert!(plays(script().arguments(json!({"b": {"d": [1]}})).in_part().never()));
    assert!(!plays(script().arguments_include(json!({"b": {"c": 3}})).never()));
    assert!(!plays(script().arguments_include(json!({"e": null})).never()));
}

#[test]
fn out_of_band_commands_and_descriptors_are_expected() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    let script = || {
        Script::bare()
            .expect(MigratePause::new())
            .out_of_band()
            .returns(Empty {})
            .expect_raw("getfd")
            .descriptors(1)
            .never()
    };
    let server = script().start();
    let mut client = server.connect().unwrap();
    client.write_all(b"{'exec-oob': 'migrate-pause'}").unwrap();
    // Descriptors belong to the command whose bytes they arrive with.
    let mut reply = [0; 16];
    client.read_exact(&mut reply).unwrap();
    let fds = [client.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let bytes = std::io::IoSlice::new(b"{'execute': 'getfd'}");
    sendmsg(&client, &[bytes], &mut control, SendFlags::empty()).unwrap();
    server.finish().unwrap();

    let server = script().start();
    ask(server.connect().unwrap(), b"{'exec-oob': 'migrate-pause'} {'execute': 'getfd'}");
    let error = server.finish().unwrap_err();
    assert_eq!(error.expected(), "`getfd`, with 1 file descriptor");
}

#[test]
fn answers_are_damaged_as_asked() {
    let reply = "{\"return\": 7, \"id\": 1}\r\n";
    let play = |script: Script| {
        let server = script.start();
        let text = ask(server.connect().unwrap(), b"{'execute': 'x', 'id': 1}");
        server.finish().unwrap();
        text
    };
    let script = || Script::bare().expect_raw("x");
    assert_eq!(play(script().returns_raw(json!(7))), reply);
    assert_eq!(play(script().twice().returns_raw(json!(7))), reply.repeat(2));
    assert_eq!(play(script().half().returns_raw(json!(7)).close()), reply[..reply.len() / 2]);
    assert_eq!(
        play(script().with_id("b").returns_raw(json!(7))),
        "{\"return\": 7, \"id\": \"b\"}\r\n"
    );
    assert_eq!(play(script().without_id().returns_raw(json!(7))), "{\"return\": 7}\r\n");
    assert_eq!(play(script().never()), "");
    assert_eq!(play(script().sends("{]").returns_raw(json!(7))), format!("{{]{reply}"));
    assert_eq!(play(script().never().answer("x").returns_raw(json!(7))), reply);
    let begin = Instant::now();
    assert_eq!(play(script().after(SOON).returns_raw(json!(7)).bytewise()), reply);
    assert!(begin.elapsed() >= SOON);
}

#[test]
fn a_command_can_be_answered_after_another_one() {
    let server = Script::bare()
        .expect_raw("first")
        .never()
        .expect_raw("second")
        .returns_raw(json!(2))
        .answer("first")
        .returns_raw(json!(1))
        .start();
    let sent = b"{'execute': 'first', 'id': 'a'} {'execute': 'second', 'id': 'b'}";
    let text = ask(server.connect().unwrap(), sent);
    assert_eq!(text, "{\"return\": 2, \"id\": \"b\"}\r\n{\"return\": 1, \"id\": \"a\"}\r\n");
    server.finish().unwrap();
    // The script itself may be wrong.
    let server = Script::bare().expect_raw("a").never().answer("b").returns_raw(json!(1)).start();
    ask(server.connect().unwrap(), b"{'execute': 'a'}");
    assert!(server.finish().unwrap_err().to_string().contains("an unanswered `b`"));
}

/// A client that connects and does nothing, one that never connects, and one that reads nothing.
#[test]
fn no_script_waits_forever() {
    let begin = Instant::now();
    let server = Script::new().deadline(SOON).start();
    let client = server.connect().unwrap();
    let error = server.finish().unwrap_err();
    assert_eq!((error.step(), error.got()), (Some(2), &Got::Timeout));
    assert_eq!(error.expected(), "`qmp_capabilities`");
    drop(client);

    let server = ScriptServer::new([Script::new().deadline(SOON)]);
    server.serve_tcp(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let error = server.finish().unwrap_err();
    assert_eq!((error.step(), error.expected()), (None, "a client that connects"));

    let server = Script::bare().send(vec![b' '; 4 << 20]).deadline(SOON).start();
    let _client = server.connect().unwrap();
    drop(server.finish());

    let server = Script::new().pause(Duration::MAX).deadline(SOON).start();
    ask(server.connect().unwrap(), NEGOTIATE);
    server.finish().unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn each_connection_plays_the_next_script() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let one = |number: i32| Script::bare().expect_raw("x").returns_raw(json!(number));
    let server = ScriptServer::new([one(1), one(2)]);
    server.serve_tcp(listener).unwrap();
    for number in 1..=2 {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"{'execute': 'x'}").unwrap();
        let mut reply = [0; 13];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(reply.as_slice(), format!("{{\"return\": {number}}}").as_bytes());
    }
    server.finish().unwrap();

    let server = one(1).start();
    let client = server.connect().unwrap();
    assert!(server.connect().unwrap_err().to_string().contains("no script is left"));
    drop(client);
    assert_eq!(*server.finish().unwrap_err().got(), Got::End);
}

#[test]
#[should_panic(expected = "expected: `x`")]
fn a_server_that_is_dropped_panics_with_the_failure() {
    let server = Script::bare().expect_raw("x").never().start();
    drop(server.connect().unwrap());
    drop(server);
}
