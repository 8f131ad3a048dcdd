//! The messages of errors: the failed operation, and the chain of causes.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // tests

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use qmp_protocol::{
    Closed, End, Error, Mismatch, Misuse, ProtocolError, ServerError, Service, Timeout, WaitedFor,
};
use qmp_types::{DecodeError, QmpError};

/// Returns an error and its causes, one per line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}\n{error}");
        next = error.source();
    }
    text
}

/// Returns the reason for the end of a connection to a peer that begins with these bytes.
fn end_of(bytes: &[u8]) -> Arc<End> {
    let mut connection = qmp_protocol::Connection::new(qmp_protocol::Settings::default(), None);
    let mut input = connection.new_input();
    input.push(bytes);
    while connection.next(&mut input).is_some() {}
    connection.end(End::Eof);
    while connection.next(&mut input).is_some() {}
    Arc::clone(connection.ended().unwrap())
}

fn decode_error() -> DecodeError {
    qmp_types::decode::<u8>("true").unwrap_err()
}

#[test]
fn a_server_error_names_the_command() {
    let error: QmpError =
        serde_json::from_str(r#"{"class": "GenericError", "desc": "no\u001b[1m"}"#).unwrap();
    let error = Error::from(ServerError::new("stop".into(), error));
    assert_eq!(chain(&error), "stop failed: no\\u{1b}[1m");
}

#[test]
fn a_mismatch_names_the_reply_or_the_event() {
    let reason = decode_error().to_string();
    let error = Error::from(Mismatch::reply("query-name".into(), decode_error()));
    let told = format!("the reply to `query-name` does not match the schema\n{reason}");
    assert_eq!(chain(&error), told);
    let error = Error::from(Mismatch::event("STOP", decode_error()));
    let told = format!("the data of event `STOP` does not match the schema\n{reason}");
    assert_eq!(chain(&error), told);
}

#[test]
fn a_misuse_says_what_cannot_be_done() {
    let command = || "getfd".into();
    let cause = serde_json::from_str::<u8>("x").unwrap_err();
    let reason = cause.to_string();
    for (misuse, command, told) in [
        (
            Misuse::Arguments { command: command(), error: None },
            Some("getfd"),
            "cannot send `getfd`: its arguments are not a JSON object".to_owned(),
        ),
        (
            Misuse::Arguments { command: command(), error: Some(cause) },
            Some("getfd"),
            format!("cannot send `getfd`: its arguments are not a JSON object\n{reason}"),
        ),
        (
            Misuse::OobNotEnabled { command: command() },
            Some("getfd"),
            "cannot execute `getfd` out-of-band: `oob` was not negotiated".to_owned(),
        ),
        (
            Misuse::TooManyDescriptors { command: command() },
            Some("getfd"),
            "cannot send more than 16 file descriptors with `getfd`".to_owned(),
        ),
        (
            Misuse::NoSuchKey { character: '\u{1b}' },
            None,
            "cannot type '\\u{1b}': the keyboard has no key for it".to_owned(),
        ),
    ] {
        assert_eq!(misuse.command(), command);
        assert_eq!(chain(&Error::from(misuse)), told);
    }
}

#[test]
fn the_end_of_a_connection_names_its_reason() {
    let io = || io::Error::new(io::ErrorKind::BrokenPipe, "gone");
    let refused = serde_json::from_str(r#"{"class": "GenericError", "desc": "no"}"#).unwrap();
    for (end, told) in [
        (End::Eof, "the peer closed it"),
        (End::Transport(io()), "gone"),
        (End::Local, "this side closed it"),
        (End::NoDriver, "its driver was dropped"),
        (End::Transcript, "its transcript hook panicked"),
        (End::Negotiation(refused), "the server refused the negotiation: no"),
        (
            End::Protocol(ProtocolError::TooLarge { limit: 7 }),
            "a message exceeds the limit of 7 bytes (see the option `message_size`)",
        ),
    ] {
        assert_eq!(chain(&end), told);
        let by_peer = matches!(end, End::Eof);
        let end = Arc::new(end);
        let closed = Closed::new(Some("stop".into()), &end);
        assert_eq!(closed.by_peer(), by_peer);
        let begin = "the connection ended before the reply to `stop`";
        assert_eq!(chain(&Error::from(closed)), format!("{begin}\n{told}"));
        let closed = Error::from(Closed::new(None, &end));
        assert_eq!(chain(&closed), format!("the connection has ended\n{told}"));
    }
}

#[test]
fn a_peer_that_is_not_a_qmp_server_is_named() {
    let hint = "open a QMP monitor with `-qmp unix:PATH,server=on,wait=off`";
    for (bytes, told) in [
        (
            &b"QEMU 10.0.0 monitor - type 'help'\r\n"[..],
            format!(
                "the peer is a human monitor (it greeted with `QEMU 10.0.0 monitor - type 'help'`); {hint}"
            ),
        ),
        (b"(qemu) ", format!("the peer is a human monitor (it greeted with `(qemu)`); {hint}")),
        (
            b"QEMU is not here\n",
            "the peer is not a QMP server\nthe peer sent `QEMU is not here` (17 bytes): not a JSON \
             object"
                .to_owned(),
        ),
        (
            b"{\"QMP\": ",
            "the peer is not a QMP server\nthe peer sent `{\"QMP\":` (8 bytes): an unfinished message"
                .to_owned(),
        ),
    ] {
        assert_eq!(chain(&*end_of(bytes)), told);
    }
    for (bytes, service, name) in [
        (&b"RFB 003.008\n"[..], Service::Vnc, "a VNC server"),
        (b"SSH-2.0-x\r\n", Service::Ssh, "an SSH server"),
        (b"HTTP/1.1 400 Bad Request\r\n", Service::Http, "an HTTP server"),
        (b"NBDMAGIC", Service::Nbd, "an NBD server"),
        (b"vm login: ", Service::SerialConsole, "a serial console"),
    ] {
        let end = end_of(bytes);
        let End::Protocol(ProtocolError::OtherService { service: found, .. }) = &*end else {
            panic!("{end:?}")
        };
        assert_eq!(*found, service);
        let text = chain(&*end);
        assert!(
            text.starts_with(&format!("the peer is {name}, not a QMP server; {hint}\n")),
            "{text}"
        );
        assert!(text.contains("the peer sent `"), "{text}");
    }
}

#[test]
fn errors_of_the_protocol_name_the_command() {
    let garbage = match &*end_of(b"x\n") {
        End::Protocol(ProtocolError::NotQmp(garbage)) => Arc::new(garbage.clone()),
        end => panic!("{end:?}"),
    };
    let sent = garbage.to_string();
    let command = || "x".into();
    let closed = ["the peer is not a guest agent", "the peer is not a QMP server"];
    for (error, named, told) in [
        (ProtocolError::NotAgent((*garbage).clone()), false, format!("{}\n{sent}", closed[0])),
        (ProtocolError::NotQmp((*garbage).clone()), false, format!("{}\n{sent}", closed[1])),
        (
            ProtocolError::TooDeep { command: command(), depth: 3, limit: 2 },
            true,
            "the reply to `x` is nested 3 levels deep, and the limit is 2 (see the option `depth`)"
                .to_owned(),
        ),
        (
            ProtocolError::BadReply { command: command(), garbage: Arc::clone(&garbage) },
            true,
            format!("the reply to `x` is damaged\n{sent}"),
        ),
        (
            ProtocolError::LostReply { command: command(), garbage: Arc::clone(&garbage) },
            true,
            format!("the reply to `x` was lost\n{sent}"),
        ),
    ] {
        assert_eq!(error.command(), named.then_some("x"));
        assert_eq!(chain(&Error::from(error)), told);
    }
}

#[test]
fn a_timeout_says_what_may_be_wrong_unless_the_cause_is_known() {
    let timeout = |waited_for| Timeout::new(waited_for, Duration::from_millis(1500));
    let begin = "timed out after 1.5 s waiting for ";
    for (waited_for, told, alone) in [
        (WaitedFor::Greeting, "the greeting", "; another client may be connected, since"),
        (WaitedFor::Agent, "the guest agent", "; it may not be running"),
    ] {
        let unknown = chain(&timeout(waited_for.clone()));
        assert!(unknown.starts_with(&format!("{begin}{told}{alone}")), "{unknown}");
        let known = timeout(waited_for).because(Some(io::Error::other("full")));
        assert_eq!(chain(&Error::from(known)), format!("{begin}{told}\nfull"));
    }
    let reply = timeout(WaitedFor::Reply("stop".into()));
    assert_eq!((reply.command(), reply.sent), (Some("stop"), true));
    assert_eq!(chain(&reply), format!("{begin}the reply to `stop`"));
    assert!(reply.source().is_none());
    let other = timeout(WaitedFor::State("the guest to start".into()));
    assert_eq!((other.command(), other.sent), (None, false));
    assert_eq!(chain(&other), format!("{begin}the guest to start"));
    let connection = timeout(WaitedFor::Connection("unix:/x".into()));
    assert_eq!(chain(&connection), format!("{begin}the connection to unix:/x"));
}
