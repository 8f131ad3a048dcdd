//! The states of a call: queued, in flight, finished, given up.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::time::{Duration, Instant};

use qmp_protocol::{CallId, Deadline, End, Kind, Output};

use client::{
    Client, GREETING, NEGOTIATION, agent, command, connect, drain, ready, reply, sent, submit,
    take_output, to_agent,
};

const GARBAGE: &[u8] = b"garbage\n";

fn submit_many(client: &mut Client, count: usize) -> Vec<CallId> {
    (0..count).map(|_| submit(client, "stop", Kind::InBand)).collect()
}

fn submit_within(client: &mut Client, now: Instant, seconds: u64) -> CallId {
    let mut submission = command("stop", Kind::InBand);
    submission.deadline = Deadline::after(now, Duration::from_secs(seconds));
    client.submit(submission).unwrap()
}

/// A driver that waits for one call asks for its state, and one that may close, for all.
#[test]
fn a_call_is_pending_until_its_result_is_taken() {
    let (mut client, now) = (ready(), Instant::now());
    assert!(client.is_idle());
    let first = submit_within(&mut client, now, 1);
    assert!(client.is_pending(first) && client.is_in_flight(first) && !client.is_queued(first));
    assert!(!client.is_idle());
    let ids = submit_many(&mut client, 8);
    let last = ids[7];
    assert!(client.is_pending(last) && client.is_queued(last) && !client.is_in_flight(last));
    for id in &ids[..7] {
        reply(&mut client, *id);
    }
    drain(&mut client);
    reply(&mut client, last);
    drain(&mut client);
    assert!(!client.is_pending(last) && !client.is_idle());

    client.expire(now + Duration::from_secs(1));
    // The result is there, and has not been taken. The server may still be executing the command.
    assert!(client.is_pending(first) && !client.is_pending(last));
    assert_eq!(drain(&mut client).len(), 1);
    assert!(!client.is_pending(first) && client.is_in_flight(first) && !client.is_idle());
    reply(&mut client, first);
    assert!(drain(&mut client).is_empty());
    assert!(client.is_idle() && !client.is_in_flight(first));

    // Each of the three lists keeps a client busy.
    let mut client = connect();
    let queued = submit(&mut client, "stop", Kind::InBand);
    assert!(client.is_queued(queued) && !client.is_idle());
    client.expire(now);
    assert!(!client.is_idle());
    client.end(End::Eof);
    assert_eq!(drain(&mut client).len(), 1);
    assert!(client.is_idle());
    let mut client = connect();
    let queued = submit_within(&mut client, now, 1);
    client.expire(now + Duration::from_secs(1));
    assert!(!client.is_queued(queued) && client.is_pending(queued) && !client.is_idle());
}

/// A caller that gives up at the last moment, when the call has just failed, is not told of it, and
/// others are.
#[test]
fn a_call_that_is_given_up_is_not_reported() {
    let (mut client, now) = (ready(), Instant::now());
    let ids = [(); 3].map(|()| submit_within(&mut client, now, 1));
    client.expire(now + Duration::from_secs(1));
    client.abandon(ids[1], now);
    let out = drain(&mut client);
    assert_eq!(out.len(), 2);
    assert!(out[0].starts_with(&format!("{} ", ids[0])), "{out:?}");
    assert!(out[1].starts_with(&format!("{} ", ids[2])), "{out:?}");
}

/// Before the negotiation, out-of-band commands are counted, since they go first. One that was given
/// up counted on, and no other command was sent.
#[test]
fn an_out_of_band_command_that_is_given_up_holds_nothing_up() {
    for given_up in 0..3 {
        let mut client = connect();
        let in_band = submit_many(&mut client, 2);
        let oob = [(); 2].map(|()| submit(&mut client, "migrate-pause", Kind::OutOfBand));
        for id in &oob[..given_up] {
            client.abandon(*id, Instant::now());
        }
        client.receive(GREETING.as_bytes());
        client.receive(b"{\"return\": {}, \"id\": 100}\n");
        drain(&mut client);
        let mut order: Vec<_> = oob[given_up..].iter().map(|id| id.number()).collect();
        order.extend(in_band.iter().map(|id| id.number()));
        order.insert(0, NEGOTIATION);
        assert_eq!(sent(&mut client), order);
    }
    // Nor does one whose deadline has passed.
    let (mut client, now) = (connect(), Instant::now());
    let mut submission = command("migrate-pause", Kind::OutOfBand);
    submission.deadline = Deadline::after(now, Duration::from_secs(1));
    client.submit(submission).unwrap();
    let other = submit(&mut client, "stop", Kind::InBand);
    client.expire(now + Duration::from_secs(1));
    client.receive(GREETING.as_bytes());
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    drain(&mut client);
    assert_eq!(sent(&mut client), [NEGOTIATION, other.number()]);
}

/// Garbage may have been the reply to any command. In-band commands are answered in order, so that the
/// next reply tells which: that call fails at once, and not at its deadline.
#[test]
fn a_reply_that_was_garbage_is_reported_with_the_next() {
    let mut client = ready();
    let oob = submit(&mut client, "migrate-pause", Kind::OutOfBand);
    let ids = submit_many(&mut client, 3);
    client.receive(GARBAGE);
    reply(&mut client, ids[1]);
    let out = drain(&mut client);
    assert_eq!(out.len(), 3, "{out:?}");
    assert!(out[0].contains("the peer sent `garbage`"), "{out:?}");
    assert_eq!(out[1], format!("{} {{}}", ids[1]));
    assert!(out[2].starts_with(&format!("{} the reply to `stop` was lost: ", ids[0])), "{out:?}");
    // What follows in the order, or has none, may still be answered.
    reply(&mut client, ids[2]);
    reply(&mut client, oob);
    assert_eq!(drain(&mut client), [format!("{} {{}}", ids[2]), format!("{oob} {{}}")]);
    // The reply that was lost makes room, too.
    assert!(client.is_idle());
}

/// The reply to an out-of-band command tells nothing about the others, and neither does the reply to a
/// command that was sent after the garbage.
#[test]
fn garbage_before_a_command_was_sent_is_not_its_reply() {
    let mut client = ready();
    let first = submit_many(&mut client, 1)[0];
    let oob = submit(&mut client, "migrate-pause", Kind::OutOfBand);
    client.receive(GARBAGE);
    reply(&mut client, oob);
    assert_eq!(drain(&mut client).len(), 2);
    assert!(client.is_pending(first));
    reply(&mut client, first);
    assert_eq!(drain(&mut client), [format!("{first} {{}}")]);

    client.receive(GARBAGE);
    drain(&mut client);
    let later = submit_many(&mut client, 2);
    reply(&mut client, later[1]);
    assert_eq!(drain(&mut client), [format!("{} {{}}", later[1])]);
    assert!(client.is_pending(later[0]));
}

/// A timeout shows what arrived instead of the reply.
#[test]
fn a_timeout_shows_the_garbage_that_arrived_meanwhile() {
    let (mut client, now) = (ready(), Instant::now());
    submit_within(&mut client, now, 1);
    client.receive(GARBAGE);
    drain(&mut client);
    let later = submit_within(&mut client, now, 1);
    client.expire(now + Duration::from_secs(1));
    let out = drain(&mut client);
    assert!(out[0].contains("waiting for the reply to `stop`: the peer sent `garbage`"), "{out:?}");
    assert_eq!(out[1], format!("{later} timed out after 1 s waiting for the reply to `stop`"));
}

/// A guard's command is sent although others are queued before it, when the connection is about to be
/// closed.
#[test]
fn a_client_that_is_about_to_close_sends_what_it_must() {
    let mut client = ready();
    let ids = submit_many(&mut client, 12);
    assert_eq!(sent(&mut client).len(), 8);
    let last = [ids[9], ids[11]];
    client.send_now(|id| last.contains(&id));
    assert_eq!(sent(&mut client), last.map(CallId::number));
    assert!(client.is_in_flight(last[0]) && client.is_queued(ids[8]) && client.is_queued(ids[10]));
    for id in &ids {
        reply(&mut client, *id);
        assert_eq!(drain(&mut client).len(), 1);
        take_output(&mut client);
    }

    // Before the negotiation, the server would refuse it.
    let mut client = connect();
    let id = submit(&mut client, "stop", Kind::InBand);
    client.send_now(|_| true);
    assert!(client.output().is_empty() && client.is_queued(id));
    // An agent is synchronized with, and answers when it is ready.
    let mut client = agent();
    to_agent(&mut client);
    submit(&mut client, "guest-fsfreeze-thaw", Kind::InBand);
    client.send_now(|_| true);
    assert!(to_agent(&mut client).contains("guest-fsfreeze-thaw"));
}

/// A synchronization has a reason: a call that was given up. Another one would delay every command.
#[test]
fn an_agent_is_not_synchronized_with_in_vain() {
    let (mut client, now) = (agent(), Instant::now());
    client.receive(b"\xFF{\"return\": 2}\n");
    drain(&mut client);
    to_agent(&mut client);
    client.expire(now);
    assert!(client.output().is_empty());
    let id = submit(&mut client, "guest-ping", Kind::InBand);
    to_agent(&mut client);
    client.expire(now);
    let other = submit(&mut client, "guest-info", Kind::InBand);
    client.abandon(other, now);
    assert!(client.output().is_empty());
    client.receive(b"{\"return\": {}}\n");
    assert_eq!(drain(&mut client), [format!("{id} {{}}")]);
    client.abandon(id, now);
    assert!(client.output().is_empty());
}

/// Output that was taken out to be sent is not sent by the connection as well.
#[test]
fn output_that_was_taken_out_is_gone() {
    let mut client = ready();
    let id = submit(&mut client, "stop", Kind::InBand);
    let mut output = Output::default();
    client.take_output(&mut output);
    assert!(client.output().is_empty());
    let text = output.piece().to_vec();
    assert_eq!(text, format!("{{\"execute\":\"stop\",\"id\":{id}}}\n").as_bytes());
    output.sent(3);
    assert_eq!((output.piece(), output.is_empty()), (&text[3..], false));
    output.sent(text.len() - 3);
    assert!(output.is_empty());
}

/// The reason for the end is told once to a caller that takes it, and then only that it was.
#[test]
fn the_reason_for_the_end_is_taken_once() {
    let mut client = ready();
    assert!(client.ended().is_none() && client.take_ended().is_none() && !client.is_ending());
    client.end(End::Eof);
    assert!(client.is_ending() && client.ended().is_none());
    drain(&mut client);
    assert!(matches!(**client.ended().unwrap(), End::Eof) && !client.is_ready());
    assert!(matches!(*client.take_ended().unwrap(), End::Eof));
    assert!(matches!(*client.take_ended().unwrap(), End::Local));
}

/// The greeting is kept for callers that connect later.
#[test]
fn the_greeting_is_kept() {
    let mut client = connect();
    assert!(client.greeting().is_none());
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    assert_eq!(client.greeting().unwrap().version.qemu.major, 10);
}

/// A damaged reply is counted like a whole one: as late if its call was given up.
#[test]
fn a_damaged_reply_to_a_call_that_was_given_up_is_late() {
    let mut client = ready();
    let ids = submit_many(&mut client, 2);
    client.abandon(ids[0], Instant::now());
    for id in ids {
        client.receive(format!("{{\"retrun\": {{}}, \"id\": {id}}}\n").as_bytes());
    }
    let out = drain(&mut client);
    assert_eq!(out.len(), 3, "{out:?}");
    assert_eq!((client.dropped().late_replies, client.dropped().garbage), (1, 2));
    assert!(client.is_idle());
}

/// A reply that is taken early tells as much about the commands before it.
#[test]
fn an_early_reply_reports_the_one_that_was_garbage() {
    let mut client = ready();
    let ids = submit_many(&mut client, 2);
    client.receive(GARBAGE);
    drain(&mut client);
    reply(&mut client, ids[1]);
    let Client { connection, input } = &mut client;
    assert!(input.decode_early::<qmp_types::Empty>(ids[1]).is_some());
    assert!(connection.take_early(ids[1], input));
    let out = drain(&mut client);
    assert!(out.len() == 1 && out[0].contains("the reply to `stop` was lost"), "{out:?}");
}

/// An agent's damaged reply is followed by a synchronization, which has a second to be answered.
#[test]
fn a_synchronization_that_was_just_sent_is_not_repeated_at_once() {
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    let mut client = Client::new(qmp_protocol::Settings::agent(), Deadline::after(now, 9 * second));
    to_agent(&mut client);
    client.receive(b"\xFF{\"return\": 1}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    submit(&mut client, "guest-info", Kind::InBand);
    to_agent(&mut client);
    client.receive(b"{\"retrun\": {}}\n");
    drain(&mut client);
    assert!(to_agent(&mut client).contains("guest-sync-delimited"));
    submit(&mut client, "guest-ping", Kind::InBand);
    client.expire(now + 5 * second);
    assert!(to_agent(&mut client).is_empty());
    assert_eq!(client.deadline(), Some(now + 6 * second));
    client.expire(now + 6 * second);
    assert!(to_agent(&mut client).contains("guest-sync-delimited"));
}
