//! Tests of the negotiation, and of servers that do not return ids as they arrived.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::time::{Duration, Instant};

use qmp_protocol::{Deadline, End, Kind, ProtocolError, Settings};

use client::{
    Client, GREETING, agent, connect, drain, ready, reply, sent, submit, take_output, to_agent,
};

const REFUSED: &str = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n";

/// Receives a greeting, and what an earlier client or a server without ids says then.
fn greeted(replies: &str) -> Client {
    let mut client = connect();
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    take_output(&mut client);
    client.receive(replies.as_bytes());
    assert!(drain(&mut client).is_empty(), "{replies}");
    client
}

/// The error of a server that has no such command as the probe, and names it.
fn unknown(id: &str) -> String {
    let desc = "The command x-qmp-protocol-probe-101 has not been found";
    format!("{{\"error\": {{\"class\": \"CommandNotFound\", \"desc\": \"{desc}\"}}{id}}}\n")
}

/// A client that disconnected in the middle of a reply left the rest of it to the next one, to which the
/// server was "not QMP" once.
#[test]
fn the_rest_of_an_earlier_reply_comes_before_the_greeting() {
    let long = format!("{}\"}}, \"id\": \"libvirt-7\"}}\r\n", "x".repeat(5000));
    for rest in [
        "}\r\n",
        "ing\", \"running\": true}, \"id\": 7}\r\n",
        "{\"name\": \"x\"}, {\"name\": \"y\"}], \"id\": 7}\r\n",
        "{}}, \"id\": 7}\r\n{\"return\": {}, \"id\": 8}\r\n",
        "\u{e9}\"}}\n",
        &long,
    ] {
        for piece in [usize::MAX, 14, 1] {
            let mut client = connect();
            for piece in format!("{rest}{GREETING}").as_bytes().chunks(piece) {
                client.receive(piece);
                drain(&mut client);
            }
            client.receive(b"{\"return\": {}, \"id\": 100}\n");
            assert_eq!(drain(&mut client), ["ready"], "{rest} in pieces of {piece}");
            assert_eq!(client.dropped().garbage, 1, "{rest} in pieces of {piece}");
        }
    }
}

/// Whether an object is the rest of a reply is unknown until the byte after it has arrived, or none will.
#[test]
fn an_object_before_the_greeting_is_judged_by_what_follows() {
    let begin = Instant::now();
    let within = Duration::from_secs(10);
    for ending in [Some(End::Eof), None] {
        let mut client = Client::new(Settings::default(), Deadline::after(begin, within));
        client.receive(b"{\"hello\": 1}");
        drain(&mut client);
        assert!(client.ended().is_none());
        match ending {
            Some(end) => client.connection.end(end),
            None => client.connection.expire(begin + within),
        }
        drain(&mut client);
        let Some(End::Protocol(ProtocolError::NotQmp(garbage))) = client.ended().map(|end| &**end)
        else {
            panic!("{:?}", client.ended())
        };
        assert_eq!(&*garbage.snippet, "{\"hello\": 1}");
        assert!(!garbage.reason.contains("unfinished"), "{garbage}");
    }
}

/// Only one line may be the rest of a reply, and if no greeting follows, the error shows it.
#[test]
fn a_server_that_does_not_greet_is_not_qmp() {
    for (text, ends) in [
        ("hello {}\r\nagain {}\r\n", false),
        ("hello {}\r\n{\"again\": 1}\r\n", false),
        ("hello {}\r\n", true),
        ("hello {}\r\n{\"again", true),
        ("hello {}\r\nagain", true),
        ("hello\r\n", false),
        ("{\"hello\": 1}\r\n", false),
    ] {
        let mut client = connect();
        client.receive(text.as_bytes());
        if ends {
            client.connection.end(End::Eof);
        }
        drain(&mut client);
        let Some(End::Protocol(ProtocolError::NotQmp(garbage))) = client.ended().map(|end| &**end)
        else {
            panic!("{text}: {:?}", client.ended())
        };
        assert!(garbage.snippet.contains("hello"), "{text}: {garbage}");
    }
}

/// Some servers keep ids as text or as floating point.
#[test]
fn an_id_may_be_returned_in_another_form() {
    for form in ["\"ID\"", "ID.0", "ID.0e0", "\"ID.0\""] {
        let mut client = connect();
        client.receive(GREETING.as_bytes());
        let id = |number: u64| form.replace("ID", &number.to_string());
        client.receive(format!("{{\"return\": {{}}, \"id\": {}}}\n", id(100)).as_bytes());
        assert_eq!(drain(&mut client), ["ready"], "{form}");
        let call = submit(&mut client, "query-status", Kind::InBand);
        submit(&mut client, "query-name", Kind::InBand);
        let reply = format!("{{\"return\": 7, \"id\": {}}}\n", id(call.number()));
        client.receive(reply.as_bytes());
        assert_eq!(drain(&mut client), [format!("{call} 7")], "{form}");
    }
}

/// An id of a type that no client uses says as much as none.
#[test]
fn an_id_of_another_type_is_like_none() {
    for id in ["null", "true", "[100]", "{\"id\": 100}"] {
        let mut client = greeted(&format!("{{\"return\": {{}}, \"id\": {id}}}\n"));
        client.receive(unknown(&format!(", \"id\": {id}")).as_bytes());
        assert_eq!(drain(&mut client), ["ready"], "{id}");
        let one = submit(&mut client, "one", Kind::InBand);
        client.receive(format!("{{\"return\": 7, \"id\": {id}}}\n").as_bytes());
        assert_eq!(drain(&mut client), [format!("{one} 7")], "{id}");
    }
}

/// An agent of another make returned an id, although commands to agents have none, and each call
/// waited until its deadline.
#[test]
fn an_id_in_a_reply_of_an_agent_is_ignored() {
    // 1 and 2 would be those of the negotiation with a monitor.
    for id in ["null", "0", "1", "2", "\"x\"", "7"] {
        let mut client = agent();
        client.receive(format!("{{\"return\": 2, \"id\": {id}}}\n").as_bytes());
        assert_eq!(drain(&mut client), ["ready"], "{id}");
        for reply in ["\"return\": 7", "\"error\": {\"desc\": \"no\"}"] {
            let call = submit(&mut client, "guest-ping", Kind::InBand);
            client.receive(format!("{{{reply}, \"id\": {id}}}\n").as_bytes());
            let out = drain(&mut client);
            assert!(out.len() == 1 && out[0].starts_with(&format!("{call} ")), "{id}: {out:?}");
        }
    }
}

/// The number of a synchronization may come back as text or as floating point, as ids do.
#[test]
fn the_number_of_a_synchronization_may_have_another_form() {
    for form in ["2", "\"2\"", "2.0"] {
        let mut client = agent();
        client.receive(format!("{{\"return\": {form}}}\n").as_bytes());
        assert_eq!(drain(&mut client), ["ready"], "{form}");
    }
}

/// The error of a server that does not return ids.
const UNKNOWN: &[u8] = b"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n";

/// Some servers do not return the id at all, and each call waited until its deadline. One command at
/// a time works.
#[test]
fn a_server_without_ids_executes_one_command_at_a_time() {
    let mut client = connect();
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    take_output(&mut client);
    client.receive(b"{\"return\": {}}\n");
    assert!(drain(&mut client).is_empty());
    // A command that no server has: its error has an id if any reply has.
    assert_eq!(take_output(&mut client), "{\"execute\":\"x-qmp-protocol-probe-101\",\"id\":101}\n");
    client.receive(UNKNOWN);
    assert_eq!(drain(&mut client), ["ready"]);
    assert!(!client.oob_enabled());
    let one = submit(&mut client, "one", Kind::InBand);
    let two = submit(&mut client, "two", Kind::InBand);
    assert_eq!(sent(&mut client), [one.number()]);
    client.abandon(one, Instant::now());
    assert!(sent(&mut client).is_empty());
    // The late reply is not taken for the second one's.
    client.receive(b"{\"return\": 1}\n");
    assert!(drain(&mut client).is_empty());
    assert_eq!(client.dropped().late_replies, 1);
    assert_eq!(sent(&mut client), [two.number()]);
    client.receive(b"{\"return\": 2}\n");
    assert_eq!(drain(&mut client), [format!("{two} 2")]);
}

/// Replies without an id may be to an earlier client, which sent none: this server returns ids, and
/// none of them is taken for a reply to this client.
#[test]
fn replies_to_an_earlier_client_without_ids_do_not_mislead() {
    let mut client = greeted("{\"return\": {}}\n{\"return\": 7}\n");
    client.receive(b"{\"return\": {}, \"id\": 100}");
    assert_eq!(drain(&mut client), ["ready"]);
    take_output(&mut client);
    let (one, two) =
        (submit(&mut client, "one", Kind::InBand), submit(&mut client, "two", Kind::InBand));
    assert_eq!(sent(&mut client), [one.number(), two.number()]);
    client.receive(b"{\"return\": 8}\n");
    assert!(drain(&mut client).is_empty());
    reply(&mut client, one);
    assert_eq!(drain(&mut client), [format!("{one} {{}}")]);
}

/// QEMU answers a parse error that an earlier client has left without an id. That ended the
/// connection.
#[test]
fn an_error_for_an_earlier_client_costs_nothing() {
    for errors in [REFUSED.to_owned(), REFUSED.repeat(3), REFUSED.to_owned() + "{\"return\": {}}\n"]
    {
        let mut client = greeted(&errors);
        client.receive(b"{\"return\": {}, \"id\": 100}\n");
        assert_eq!(drain(&mut client), ["ready"]);
        // The answer to the probe is not counted.
        client.receive(unknown(", \"id\": 101").as_bytes());
        assert!(drain(&mut client).is_empty());
        assert_eq!(client.dropped().foreign_replies, 0);
        let call = submit(&mut client, "query-status", Kind::InBand);
        reply(&mut client, call);
        assert_eq!(drain(&mut client), [format!("{call} {{}}")]);
    }
}

/// An earlier client misspelt two commands and sent no ids: the second error is not taken for the
/// answer to the probe.
#[test]
fn a_misspelt_command_of_an_earlier_client_costs_nothing() {
    let not_found = String::from_utf8(UNKNOWN.to_vec()).unwrap();
    let mut client = greeted(&not_found.repeat(2));
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    assert_eq!(drain(&mut client), ["ready"]);

    // It may be taken for the answer after a success, until the server returns an id.
    let mut client = greeted("{\"return\": {}}\n");
    client.receive(UNKNOWN);
    assert_eq!(drain(&mut client), ["ready"]);
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    client.receive(unknown(", \"id\": 101").as_bytes());
    assert!(drain(&mut client).is_empty());
    assert_eq!(client.dropped().foreign_replies, 0);
    assert!(client.oob_enabled());
    take_output(&mut client);
    let (one, two) =
        (submit(&mut client, "one", Kind::InBand), submit(&mut client, "two", Kind::InBand));
    assert_eq!(sent(&mut client), [one.number(), two.number()]);
}

/// The server was asked whether it returns ids, and answers that without one after commands have
/// been sent: the error is not for them.
#[test]
fn a_late_answer_without_an_id_is_not_for_a_command() {
    let mut client = greeted("{\"return\": {}}\n");
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    let call = submit(&mut client, "query-status", Kind::InBand);
    client.receive(UNKNOWN);
    assert!(drain(&mut client).is_empty());
    // The next one is.
    client.receive(UNKNOWN);
    assert_eq!(drain(&mut client), [format!("{call} query-status failed: no")]);
}

/// A server that returns no ids refuses the negotiation: the probe shows that the error is for it.
#[test]
fn a_refusal_without_an_id_ends_the_connection() {
    for id in ["", ", \"id\": 101"] {
        let mut client = greeted(REFUSED);
        client.receive(unknown(id).as_bytes());
        drain(&mut client);
        let end = client.ended().map(|end| &**end);
        assert!(matches!(end, Some(End::Negotiation(_))), "{end:?}");
    }
    // If nothing shows it, the error is the cause of the timeout.
    let now = Instant::now();
    let mut client = Client::new(Settings::default(), Deadline::after(now, Duration::from_secs(1)));
    client.receive(format!("{GREETING}{REFUSED}").as_bytes());
    drain(&mut client);
    client.expire(now + Duration::from_secs(1));
    drain(&mut client);
    let end = client.ended().unwrap();
    let cause = std::error::Error::source(&**end).map(ToString::to_string);
    assert!(matches!(**end, End::Handshake(_)), "{end:?}");
    assert_eq!(cause.as_deref(), Some("no"));
}

/// Some servers return ids with errors only. Each call waited until its deadline.
#[test]
fn a_server_may_return_ids_with_errors_only() {
    let mut client = greeted("{\"return\": {}}\n");
    client.receive(unknown(", \"id\": 101").as_bytes());
    assert_eq!(drain(&mut client), ["ready"]);
    take_output(&mut client);
    let (one, two) =
        (submit(&mut client, "one", Kind::InBand), submit(&mut client, "two", Kind::InBand));
    assert_eq!(sent(&mut client), [one.number()]);
    let error = format!("{{\"error\": {{\"desc\": \"no\"}}, \"id\": {one}}}\n");
    client.receive(error.as_bytes());
    assert_eq!(drain(&mut client), [format!("{one} one failed: no")]);
    assert_eq!(sent(&mut client), [two.number()]);
    client.receive(b"{\"return\": 2}\n");
    assert_eq!(drain(&mut client), [format!("{two} 2")]);
}

/// The reply to the negotiation was damaged, which was only reported at the deadline.
#[test]
fn a_damaged_reply_to_the_negotiation_is_reported_at_once() {
    for damaged in
        [&b"{\"return\": \"\xC3\", \"id\": 100}\n"[..], b"{\"retrun\": 1, \"id\": 100}\n"]
    {
        let mut client = connect();
        client.receive(GREETING.as_bytes());
        client.receive(damaged);
        drain(&mut client);
        let end = client.ended().map(|end| &**end);
        let is_damaged = matches!(end, Some(End::Protocol(ProtocolError::BadReply { .. })));
        assert!(is_damaged, "{end:?}");
        assert_eq!(client.dropped().garbage, 1);
    }
}

/// A control character in a string is damage, and the rest of the line says to which reply.
#[test]
fn a_reply_with_a_control_character_fails_its_call_at_once() {
    let filler = "x".repeat(1000);
    let mut client = ready();
    let call = submit(&mut client, "query-status", Kind::InBand);
    client.receive(format!("{{\"return\": \"\u{1}{filler}\", \"id\": {call}}}\n").as_bytes());
    let out = drain(&mut client);
    let damaged = format!("{call} the reply to `query-status` is damaged: ");
    assert!(out.iter().any(|line| line.starts_with(&damaged)), "{out:?}");

    // An agent has one command in flight.
    let mut client = agent();
    client.receive(b"\xFF{\"return\": 2}\n");
    drain(&mut client);
    let call = submit(&mut client, "guest-info", Kind::InBand);
    to_agent(&mut client);
    client.receive(format!("{{\"return\": \"\u{1}{filler}\"}}\n").as_bytes());
    let out = drain(&mut client);
    assert!(out.iter().any(|line| line.starts_with(&format!("{call} "))), "{out:?}");
    assert!(to_agent(&mut client).contains("guest-sync-delimited"));
}

/// A synchronization after a damaged reply may be lost. It was repeated at the next deadline only.
#[test]
fn a_synchronization_after_a_damaged_reply_is_repeated() {
    let second = Duration::from_secs(1);
    let mut client = agent();
    client.receive(b"\xFF{\"return\": 2}\n");
    drain(&mut client);
    submit(&mut client, "guest-info", Kind::InBand);
    to_agent(&mut client);
    client.receive(b"{\"retrun\": 1}\n");
    drain(&mut client);
    assert!(to_agent(&mut client).contains("guest-sync-delimited"));
    submit(&mut client, "guest-ping", Kind::InBand);
    // The driver is asked for the time at once.
    let now = Instant::now() + second;
    assert!(client.deadline().unwrap() <= now);
    client.expire(now);
    assert_eq!(client.deadline(), Some(now + second));
    client.expire(now + second);
    assert!(to_agent(&mut client).contains("guest-sync-delimited"));
}

/// Without a deadline for the first answer, the first synchronization was never repeated, and a
/// terminal was not recognized.
#[test]
fn an_agent_without_a_deadline_is_synchronized_with() {
    let now = Instant::now();
    let mut client = Client::new(Settings::agent(), None);
    client.expire(now);
    to_agent(&mut client);
    let again = client.deadline().unwrap();
    assert_eq!(again, now + Duration::from_secs(1));
    client.expire(again);
    assert!(to_agent(&mut client).contains("guest-sync-delimited"));
    client.receive(b"localhost login: \n");
    drain(&mut client);
    let end = client.ended().map(|end| &**end);
    assert!(matches!(end, Some(End::Protocol(ProtocolError::NotAgent(_)))), "{end:?}");
}

/// The server is asked whether it returns ids because another client's reply came first. Then it
/// refuses the negotiation.
#[test]
fn a_refusal_after_a_reply_without_an_id_ends_the_connection() {
    let mut client = connect();
    client.receive(GREETING.as_bytes());
    client.receive(b"{\"return\": {}}\n");
    assert!(drain(&mut client).is_empty());
    let error = "{\"class\": \"GenericError\", \"desc\": \"no\"}";
    client.receive(format!("{{\"error\": {error}, \"id\": 100}}\n").as_bytes());
    drain(&mut client);
    let end = client.ended().map(|end| &**end);
    assert!(matches!(end, Some(End::Negotiation(_))), "{end:?}");
}

/// An earlier client left several commands without ids: the first reply is taken for the one to the
/// negotiation, and the next must not be taken for one to a command of this client.
#[test]
fn replies_to_an_earlier_client_without_ids_are_not_taken_for_others() {
    let mut client = connect();
    let early = submit(&mut client, "query-name", Kind::InBand);
    client.receive(GREETING.as_bytes());
    client.receive(b"{\"return\": \"foreign\"}\n");
    let mut out = drain(&mut client);
    take_output(&mut client);
    client.receive(b"{\"return\": \"foreign\"}\n{\"return\": {}, \"id\": 100}\n");
    out.extend(drain(&mut client));
    take_output(&mut client);
    reply(&mut client, early);
    out.extend(drain(&mut client));
    assert_eq!(out, ["ready".to_owned(), format!("{early} {{}}")]);
}
