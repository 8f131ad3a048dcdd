//! Transcripts, and peers that are recognized by what they send.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::sync::{Arc, Mutex};

use qmp_protocol::{
    Direction, End, Error, Kind, ProtocolError, Submission, Transcript, WriteArguments,
};

use client::{
    Client, GREETING, agent, connect, drain, ready, reply, submit, take_output, to_agent,
};

type Seen = Arc<Mutex<Vec<(Direction, String)>>>;

fn record(client: &mut Client) -> Seen {
    let seen = Seen::default();
    let list = Arc::clone(&seen);
    client.set_transcript(Some(Transcript::new(move |direction, message: &str| {
        list.lock().unwrap().push((direction, message.to_owned()));
    })));
    seen
}

fn take(seen: &Seen) -> Vec<(Direction, String)> {
    std::mem::take(&mut *seen.lock().unwrap())
}

#[test]
fn a_transcript_has_both_directions_in_order() {
    let mut client = connect();
    let seen = record(&mut client);
    client.receive(GREETING.as_bytes());
    client.receive(b"{\"return\": {}, \"id\": 100}\r\n");
    drain(&mut client);
    let text = |text: &str| text.to_owned();
    let negotiation =
        "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]},\"id\":100}";
    assert_eq!(
        take(&seen),
        [
            (Direction::Received, text(GREETING)),
            (Direction::Sent, text(negotiation)),
            (Direction::Received, text("{\"return\": {}, \"id\": 100}")),
        ]
    );
    // A queued command is recorded when it is sent.
    let ids: Vec<_> = (0..9).map(|_| submit(&mut client, "stop", Kind::InBand)).collect();
    assert_eq!(take(&seen).len(), 8);
    reply(&mut client, ids[0]);
    client.receive(b"{\"event\": \"STOP\"}\n");
    drain(&mut client);
    let sent = format!("{{\"execute\":\"stop\",\"id\":{}}}", ids[8]);
    let replied = format!("{{\"return\": {{}}, \"id\": {}}}", ids[0]);
    assert_eq!(
        take(&seen),
        [
            (Direction::Received, replied),
            (Direction::Sent, sent),
            (Direction::Received, text("{\"event\": \"STOP\"}")),
        ]
    );
    client.set_transcript(None);
    reply(&mut client, ids[1]);
    drain(&mut client);
    assert!(take(&seen).is_empty());
}

/// The first command to an agent was written before the transcript was set. The delimiter before it is left out.
#[test]
fn a_transcript_of_an_agent_begins_with_the_synchronization() {
    let mut client = agent();
    let seen = record(&mut client);
    let line = to_agent(&mut client);
    assert_eq!(take(&seen), [(Direction::Sent, line.trim_end().to_owned())]);
}

#[test]
fn secrets_are_masked_in_a_transcript() {
    let mut client = ready();
    let seen = record(&mut client);
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(br#"{"protocol":"vnc","password":"hunter2"}"#);
        Ok(())
    };
    let mut submission = Submission::new("set_password");
    submission.arguments = Some(WriteArguments(&write));
    client.submit(submission).unwrap();
    let (_, text) = take(&seen).pop().unwrap();
    assert!(text.contains("vnc") && !text.contains("hunter2"), "{text}");
    assert!(take_output(&mut client).contains("hunter2"));
}

/// A large message that is not text is shown in the memory that it has, a small one as well as can be.
#[test]
fn bytes_that_are_not_text_are_recorded() {
    for (length, shown) in [(1 << 20, '\u{fffd}'), ((1 << 20) + 1, '?')] {
        let mut client = ready();
        let seen = record(&mut client);
        let (begin, end) = (&b"{\"event\": \"\xff"[..], b"\"}");
        let middle = vec![b'x'; length - begin.len() - end.len()];
        client.receive(&[begin, &middle, end].concat());
        drain(&mut client);
        let (_, text) = take(&seen).pop().unwrap();
        assert_eq!(text.chars().find(|character| !"{\"event: ".contains(*character)), Some(shown));
    }
}

/// A function that panics must not take the client's threads with it.
#[test]
fn a_transcript_that_panics_ends_the_connection() {
    let panicking = || Transcript::new(|_, _: &str| panic!("as the test wants"));
    let is_over = |client: &mut Client| {
        drain(client);
        matches!(client.ended().map(|end| &**end), Some(End::Transcript))
    };
    let mut client = ready();
    client.set_transcript(Some(panicking()));
    let id = submit(&mut client, "stop", Kind::InBand);
    assert!(client.is_pending(id));
    assert!(is_over(&mut client));
    let mut client = ready();
    client.set_transcript(Some(panicking()));
    client.receive(b"{\"event\": \"STOP\"}\n");
    assert!(is_over(&mut client));
    let mut client = agent();
    client.set_transcript(Some(panicking()));
    assert!(is_over(&mut client));
    let error = client.submit(Submission::new("guest-ping")).unwrap_err();
    assert!(matches!(error, Error::Closed(_)), "{error}");
}

/// Events are taken without the connection only if it has nothing to say about them.
#[test]
fn events_are_not_taken_directly_while_they_have_another_meaning() {
    let mut client = connect();
    assert!(client.direct().is_none());
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    assert!(client.direct().is_none());
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    drain(&mut client);
    assert!(client.direct().is_some());
    record(&mut client);
    assert!(client.direct().is_none());
    client.set_transcript(None);
    assert!(client.direct().is_some());
    client.end(End::Eof);
    drain(&mut client);
    assert!(client.direct().is_none());
}

/// A login prompt has no end of line: a client that waited for it would wait until its deadline.
#[test]
fn a_server_of_another_protocol_is_recognized_at_once() {
    let mut client = connect();
    client.receive(b"\r\nDebian GNU/Linux 13 vm ttyS0\r\n\r\n");
    client.receive(b"vm login: ");
    drain(&mut client);
    assert!(matches!(
        client.ended().map(|end| &**end),
        Some(End::Protocol(ProtocolError::NotQmp(_)))
    ));
    let mut client = connect();
    for byte in b"vm login:" {
        assert!(client.ended().is_none());
        client.receive(&[*byte]);
        drain(&mut client);
    }
    assert!(matches!(
        client.ended().map(|end| &**end),
        Some(End::Protocol(ProtocolError::OtherService { .. }))
    ));
    // Any other line may be the beginning of what a QMP server never sends, and is waited for.
    let mut client = connect();
    client.receive(b"Welcome");
    drain(&mut client);
    assert!(client.ended().is_none());
    // After the greeting, it is garbage like any other.
    let mut client = ready();
    client.receive(b"vm login: ");
    drain(&mut client);
    assert!(client.ended().is_none());
    let id = submit(&mut client, "stop", Kind::InBand);
    client.receive(b"\n");
    reply(&mut client, id);
    assert_eq!(drain(&mut client).last(), Some(&format!("{id} {{}}")));
}
