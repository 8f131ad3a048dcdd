//! Replies to an earlier client, which a server still sends, during the negotiation.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use client::{Client, GREETING, agent, connect, drain, ready, submit, take_output, to_agent};

fn greeted() -> Client {
    let mut client = connect();
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    take_output(&mut client);
    client
}

/// An earlier client may have used the id that this one keeps for its question.
#[test]
fn an_answer_to_a_question_that_was_not_asked_is_dropped() {
    let mut client = greeted();
    client.receive(b"{\"return\": {}, \"id\": 101}\n");
    assert!(drain(&mut client).is_empty());
    assert!(!client.is_ready() && client.output().is_empty());
    assert_eq!(client.dropped().foreign_replies, 1);
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    assert!(client.oob_enabled());
}

/// Once the question has been asked, only its answer, or that of the negotiation, decides.
#[test]
fn other_replies_do_not_answer_the_question() {
    for other in [
        r#"{"return": {}, "id": 7}"#,
        r#"{"error": {"class": "CommandNotFound", "desc": "no"}, "id": 7}"#,
        r#"{"error": {"class": "CommandNotFound", "desc": "no"}, "id": "libvirt-7"}"#,
        r#"{"error": {"class": "GenericError", "desc": "no"}}"#,
        r#"{"return": {}}"#,
    ] {
        let mut client = greeted();
        client.receive(b"{\"return\": {}}\n");
        assert!(drain(&mut client).is_empty());
        assert!(take_output(&mut client).contains("\"id\":101"));
        client.receive(other.as_bytes());
        assert!(drain(&mut client).is_empty(), "{other}");
        // The question is asked once.
        assert!(!client.is_ready() && client.output().is_empty(), "{other}");
        client.receive(b"{\"return\": {}, \"id\": 100}\n");
        assert_eq!(drain(&mut client), ["ready"], "{other}");
    }
}

/// An agent's replies to an earlier client are counted, each.
#[test]
fn replies_before_the_synchronization_are_late() {
    let mut client = agent();
    to_agent(&mut client);
    for count in 1..4 {
        client.receive(b"{\"return\": {}}\n");
        assert!(drain(&mut client).is_empty());
        assert_eq!(client.dropped().late_replies, count);
    }
    client.receive(b"\xFF{\"return\": 2}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    assert_eq!(client.dropped().late_replies, 3);
}

/// The errors of an agent that is too old for a delimiter are told from others by their class, once.
#[test]
fn an_old_agent_is_asked_in_the_old_way() {
    let mut client = agent();
    assert!(to_agent(&mut client).contains("guest-sync-delimited"));
    client.receive(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n");
    assert!(drain(&mut client).is_empty());
    assert!(to_agent(&mut client).is_empty());
    client.receive(b"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n");
    assert!(drain(&mut client).is_empty());
    assert!(to_agent(&mut client).contains("\"guest-sync\""));
    // That one does not exist either: not asked again and again.
    client.receive(b"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n");
    assert!(drain(&mut client).is_empty());
    assert!(to_agent(&mut client).is_empty());
    client.receive(b"{\"return\": 3}\n");
    assert_eq!(drain(&mut client), ["ready"]);
}

/// A server that returns ids after all is sent several commands at a time again.
#[test]
fn the_window_is_restored_with_the_ids() {
    let mut client = ready();
    for _ in 0..3 {
        submit(&mut client, "stop", qmp_protocol::Kind::InBand);
    }
    assert_eq!(take_output(&mut client).lines().count(), 3);
    let mut client = greeted();
    client.receive(b"{\"return\": {}}\n");
    drain(&mut client);
    take_output(&mut client);
    client.receive(
        b"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"x-qmp-protocol-probe-101\"}}\n",
    );
    assert_eq!(drain(&mut client), ["ready"]);
    let ids = [(); 3].map(|()| submit(&mut client, "stop", qmp_protocol::Kind::InBand));
    assert_eq!(take_output(&mut client).lines().count(), 1);
    client.receive(format!("{{\"return\": {{}}, \"id\": {}}}\n", ids[0]).as_bytes());
    assert_eq!(drain(&mut client), [format!("{} {{}}", ids[0])]);
    assert_eq!(take_output(&mut client).lines().count(), 2);
}

/// Returns a client whose question has not been answered, although the negotiation is complete.
fn asking() -> Client {
    let mut client = greeted();
    client.receive(b"{\"return\": {}}\n");
    assert!(drain(&mut client).is_empty());
    assert!(take_output(&mut client).contains("\"id\":101"));
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    client
}

const UNREADABLE: &[u8] = b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"unreadable\"}}\n";

/// An error without an id is the answer to the question as long as that may come, and then the answer to
/// the oldest command.
#[test]
fn an_answer_is_expected_until_a_later_command_is_answered() {
    let mut client = asking();
    let id = submit(&mut client, "stop", qmp_protocol::Kind::InBand);
    client.receive(UNREADABLE);
    assert!(drain(&mut client).is_empty() && client.is_pending(id));
    client.receive(UNREADABLE);
    assert_eq!(drain(&mut client), [format!("{id} stop failed: unreadable")]);

    let mut client = asking();
    let ids = [(); 2].map(|()| submit(&mut client, "stop", qmp_protocol::Kind::InBand));
    client.receive(format!("{{\"return\": {{}}, \"id\": {}}}\n", ids[0]).as_bytes());
    assert_eq!(drain(&mut client), [format!("{} {{}}", ids[0])]);
    client.receive(UNREADABLE);
    assert_eq!(drain(&mut client), [format!("{} stop failed: unreadable", ids[1])]);

    // The question has no successful answer: that is one to an earlier client.
    let mut client = asking();
    let id = submit(&mut client, "stop", qmp_protocol::Kind::InBand);
    client.receive(b"{\"return\": {}}\n");
    assert!(drain(&mut client).is_empty());
    assert_eq!(client.dropped().foreign_replies, 1);
    client.receive(UNREADABLE);
    assert!(drain(&mut client).is_empty() && client.is_pending(id));

    // The slow path notes that a command was answered.
    let mut client = asking();
    let id = submit(&mut client, "stop", qmp_protocol::Kind::InBand);
    client.receive(format!("{{\"return\": {{}}, \"id\": {id}}}\n").as_bytes());
    let Client { connection, input } = &mut client;
    assert!(input.decode_early::<qmp_types::Empty>(id).is_some());
    assert!(!connection.take_early(id, input));
}

/// The socket of a monitor was given for that of an agent.
#[test]
fn a_monitor_is_not_an_agent() {
    let mut client = agent();
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    assert_eq!(client.ended().unwrap().to_string(), "the peer is not a guest agent");
    assert_eq!(client.dropped().garbage, 1);
}

/// Only the damaged reply to this negotiation ends the connection.
#[test]
fn a_damaged_reply_to_an_earlier_client_is_skipped() {
    let damaged = |id: u64| format!("{{\"retrun\": {{}}, \"id\": {id}}}\n");
    let mut client = greeted();
    client.receive(damaged(7).as_bytes());
    assert_eq!(drain(&mut client).len(), 1);
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    client.receive(damaged(100).as_bytes());
    assert_eq!(drain(&mut client).len(), 1);
    assert!(client.is_ready());
    assert_eq!(client.dropped().garbage, 2);
}
