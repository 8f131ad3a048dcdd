//! Limits at their edges, and what an idle client costs.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::time::{Duration, Instant};

use qmp_protocol::{
    Deadline, End, Error, EventText, Input, Kind, Misuse, Output, ProtocolError, Settings,
    TakeEvents,
};
use qmp_types::Timestamp;

use client::{
    Client, GREETING, agent, command, connect, drain, ready, reply, sent, submit, take_output,
    to_agent,
};

/// Returns a client after its negotiation with settings of its own.
fn ready_with(change: impl FnOnce(&mut Settings)) -> Client {
    let mut settings = Settings::default();
    settings.negotiation_id = client::NEGOTIATION;
    change(&mut settings);
    let mut client = Client::new(settings, None);
    client.receive(GREETING.as_bytes());
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    drain(&mut client);
    take_output(&mut client);
    client
}

/// Returns an event of this many bytes.
fn event(length: usize) -> String {
    let (begin, end) = ("{\"event\": \"A\", \"data\": {\"x\": \"", "\"}}");
    format!("{begin}{}{end}", "x".repeat(length - begin.len() - end.len()))
}

/// Takes the names and data of events directly.
#[derive(Default)]
struct Taker {
    last: Option<usize>,
    sizes: Vec<usize>,
}

impl TakeEvents for Taker {
    fn decode(&mut self, _name: &str, _timestamp: Timestamp, text: &str) -> Option<usize> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
        values.next()?.ok()?;
        self.last = Some(values.byte_offset());
        self.last
    }

    fn commit(&mut self, event: EventText<'_>) {
        self.last = None;
        self.sizes.push(event.name.len() + event.data.map_or(0, str::len));
    }

    fn undo(&mut self) {
        self.last = None;
    }
}

/// A message of exactly the limit is accepted, one byte more ends the connection; however long the
/// limit is, and in whatever pieces the message arrives.
#[test]
fn a_message_may_have_as_many_bytes_as_the_limit_says() {
    for limit in [200, 1024, 5000, 40_000] {
        for piece in [1, 7, 4096, limit, limit + 1] {
            for (length, fits) in [(limit, true), (limit + 1, false)] {
                let mut client = ready_with(|settings| settings.message_size = limit);
                let text = event(length) + "\n";
                let mut out = Vec::new();
                for bytes in text.as_bytes().chunks(piece) {
                    client.receive(bytes);
                    out.extend(drain(&mut client));
                    if client.ended().is_some() {
                        break;
                    }
                }
                let case = format!("{length} of {limit} bytes in pieces of {piece}");
                assert_eq!(out.len(), usize::from(fits), "{case}");
                match client.ended().map(|end| &**end) {
                    None => assert!(fits, "{case}"),
                    Some(End::Protocol(ProtocolError::TooLarge { limit: told })) => {
                        assert!(!fits && *told == limit, "{case}");
                        // Nothing of it is kept.
                        assert!(client.input.is_empty() && client.input.spare().len() <= 4096);
                    }
                    other => panic!("{case}: {other:?}"),
                }
            }
        }
    }
}

/// The end of a message that is too large need not arrive.
#[test]
fn an_endless_message_ends_the_connection_at_the_limit() {
    let mut client = ready_with(|settings| settings.message_size = 300);
    let text = event(1000);
    client.receive(&text.as_bytes()[..300]);
    assert!(drain(&mut client).is_empty() && client.ended().is_none());
    client.receive(&text.as_bytes()[300..301]);
    drain(&mut client);
    assert!(client.ended().is_some());
}

/// A reply may be nested as deeply as the limit says. One level more fails its call, and no other.
#[test]
fn a_reply_may_be_nested_as_deeply_as_the_limit_says() {
    for limit in [2, 3, 30, 40, 100, 600] {
        for (depth, fits) in [(limit, true), (limit + 1, false)] {
            let mut client = ready_with(|settings| settings.depth = limit);
            let id = submit(&mut client, "x", Kind::InBand);
            // The reply itself is a level.
            let value = "[".repeat(depth - 1) + &"]".repeat(depth - 1);
            client.receive(format!("{{\"return\": {value}, \"id\": {id}}}\n").as_bytes());
            let out = drain(&mut client);
            if fits {
                assert_eq!(out, [format!("{id} {value}")]);
            } else {
                let told = format!("nested {depth} levels deep, and the limit is {limit}");
                assert!(out.len() == 1 && out[0].contains(&told), "{out:?}");
            }
            let next = submit(&mut client, "x", Kind::InBand);
            reply(&mut client, next);
            assert_eq!(drain(&mut client), [format!("{next} {{}}")]);
        }
    }
}

#[test]
fn the_name_of_an_event_may_have_1024_bytes() {
    for (length, fits) in [(1024, true), (1025, false)] {
        let mut client = ready();
        let name = "X".repeat(length);
        client.receive(format!("{{\"event\": \"{name}\"}}\n").as_bytes());
        assert_eq!(drain(&mut client)[0] == format!("{name} "), fits, "{length}");
        assert_eq!(client.dropped().garbage, u64::from(!fits));
    }
}

/// QEMU drops the descriptors after the sixteenth.
#[test]
#[cfg(unix)]
fn a_command_may_have_sixteen_descriptors() {
    for (count, fits) in [(16, true), (17, false)] {
        let mut client = ready();
        let mut submission = command("getfd", Kind::InBand);
        let open = || std::fs::File::open("/dev/null").unwrap().into();
        submission.descriptors = (0..count).map(|_| open()).collect();
        match client.submit(submission) {
            Ok(_) => {
                assert!(fits && client.descriptors().len() == count);
                // A socket that takes nothing has not taken them either.
                client.sent(0);
                assert_eq!(client.descriptors().len(), count);
                client.sent(1);
                assert!(client.descriptors().is_empty());
            }
            Err(Error::Misuse(Misuse::TooManyDescriptors { .. })) => assert!(!fits),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_window_is_that_of_the_settings() {
    for window in [1, 3] {
        let mut client = ready_with(|settings| settings.window = window);
        let ids: Vec<_> = (0..5).map(|_| submit(&mut client, "stop", Kind::InBand)).collect();
        assert_eq!(sent(&mut client).len(), window);
        assert!(client.is_in_flight(ids[window - 1]) && !client.is_in_flight(ids[window]));
        assert!(client.is_queued(ids[window]) && !client.is_queued(ids[window - 1]));
    }
}

/// Calls `expire` at each deadline, as a driver does, and returns how often: a client whose deadline
/// stays in the past is a thread that never sleeps.
fn run_out(client: &mut Client) -> usize {
    let mut count = 0;
    while let Some(deadline) = client.deadline() {
        client.expire(deadline);
        drain(client);
        count += 1;
        assert!(count < 100, "the deadline does not move: {:?}", client.connection);
    }
    count
}

/// After a deadline was acted on, the next one is later, or none.
#[test]
fn an_idle_client_does_not_spin() {
    let now = Instant::now();
    let within = |seconds| Deadline::after(now, Duration::from_secs(seconds));
    let timed = |client: &mut Client, name, seconds| {
        let mut submission = command(name, Kind::InBand);
        submission.deadline = within(seconds);
        submission.success_response = !name.starts_with("guest-shut");
        client.submit(submission).unwrap()
    };

    // With a monitor: no greeting, no answer to the negotiation, no reply; nothing at all.
    let mut settings = Settings::default();
    settings.negotiation_id = client::NEGOTIATION;
    let mut client = Client::new(settings.clone(), within(5));
    timed(&mut client, "query-status", 3);
    assert_eq!(run_out(&mut client), 2);
    assert!(client.ended().is_some());
    let mut client = Client::new(settings.clone(), within(5));
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    assert_eq!(client.deadline(), within(5).map(|deadline| deadline.at));
    assert_eq!(run_out(&mut client), 1);
    let mut client = Client::new(settings, within(5));
    client.receive(GREETING.as_bytes());
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    drain(&mut client);
    // The greeting's deadline is met.
    assert_eq!(client.deadline(), None);
    let ids = [1, 2, 3].map(|seconds| timed(&mut client, "query-status", seconds));
    client.abandon(ids[1], now);
    assert_eq!(run_out(&mut client), 2);
    assert_eq!(client.deadline(), None);

    // With an agent that never answers: once a second while a call waits.
    let mut client = Client::new(Settings::agent(), within(5));
    to_agent(&mut client);
    timed(&mut client, "guest-ping", 3);
    assert!(run_out(&mut client) <= 6);
    // With one that stops answering.
    let mut client = agent();
    client.receive(b"\xFF{\"return\": 2}\n");
    drain(&mut client);
    to_agent(&mut client);
    timed(&mut client, "guest-ping", 1);
    timed(&mut client, "guest-shutdown", 3);
    to_agent(&mut client);
    assert!(run_out(&mut client) <= 6);
    assert!(client.is_idle());

    // One that has ended waits for nothing, whatever has been left unsent.
    let mut client = connect();
    timed(&mut client, "query-status", 3);
    client.end(End::Eof);
    assert_eq!(drain(&mut client).len(), 1);
    assert_eq!(client.deadline(), None);
}

/// A large reply is rare: its memory is given back when the next read begins, without the driver.
#[test]
fn memory_is_given_back_after_a_large_reply() {
    let mut client = ready();
    let id = submit(&mut client, "x", Kind::InBand);
    let value = "x".repeat(2 << 20);
    client.receive(format!("{{\"return\": \"{value}\", \"id\": {id}}}\n").as_bytes());
    assert_eq!(drain(&mut client).len(), 1);
    assert!(client.input.is_empty());
    assert!(client.input.spare().len() <= 4096);

    // A smaller buffer stays until the driver asks for it, and what has arrived is never lost.
    client.receive(format!("\n{}", event(500_000)).as_bytes());
    drain(&mut client);
    assert!(client.input.spare().len() >= 500_000);
    client.input.release(1 << 20);
    assert!(client.input.spare().len() >= 500_000);
    client.receive(b"{\"event\": \"B\"");
    client.input.release(0);
    client.receive(b"}");
    assert_eq!(drain(&mut client), ["B "]);
    client.input.release(0);
    assert!(client.input.spare().len() <= 4096);
}

/// A driver frees memory whenever it is idle, which loses no call and no result.
#[test]
fn freeing_memory_loses_nothing() {
    let (mut client, now) = (ready(), Instant::now());
    let ids: Vec<_> = (0..10)
        .map(|_| {
            let mut submission = command("stop", Kind::InBand);
            submission.deadline = Deadline::after(now, Duration::from_secs(1));
            client.submit(submission).unwrap()
        })
        .collect();
    client.release(0);
    assert_eq!(sent(&mut client).len(), 8);
    client.release(0);
    reply(&mut client, ids[0]);
    assert_eq!(drain(&mut client).len(), 1);
    assert_eq!(sent(&mut client), [ids[8].number()]);
    client.expire(now + Duration::from_secs(1));
    client.release(0);
    assert_eq!(drain(&mut client).len(), 9);
}

/// A peer that sends little is not given much memory, and one that sends much gets large reads.
#[test]
fn reads_grow_with_what_arrives() {
    let mut input = Input::new(1 << 20);
    let first = input.spare().len();
    assert_eq!(first, 4096);
    input.filled(first - 1);
    assert!(input.spare().len() >= 2048);
    let mut sizes = Vec::new();
    let mut input = Input::new(1 << 20);
    for _ in 0..4 {
        let size = input.spare().len();
        sizes.push(size);
        input.filled(size);
    }
    assert_eq!(sizes[0], 4096);
    assert!(sizes[1] >= 16 << 10 && sizes[3] >= 64 << 10, "{sizes:?}");
    // A message near the limit is given little more than the limit.
    let total: usize = sizes.iter().sum();
    let mut input = Input::new(total);
    let mut length = 0;
    while length < total {
        let size = input.spare().len();
        assert!(size > 0 && length + size <= total + (64 << 10), "{length} and {size}");
        input.filled(size);
        length += size;
    }
}

/// A buffer has room for half of a small read at least, and is kept as it is while it has.
#[test]
fn a_buffer_grows_when_little_room_is_left() {
    let mut input = Input::new(1 << 20);
    assert_eq!(input.spare().len(), 4096);
    for (count, room) in [(100, 3996), (1948, 2048), (1, 4096)] {
        input.filled(count);
        assert_eq!(input.spare().len(), room, "after {count} bytes more");
    }
    // A peer that fills a read sends more than that: the next one is larger, although all is consumed.
    let mut client = ready();
    client.input.release(0);
    let room = client.input.spare().len();
    client.receive(&vec![b'\n'; room]);
    drain(&mut client);
    assert!(client.input.is_empty());
    assert_eq!((room, client.input.spare().len()), (4096, 16 << 10));
    client.input.release(16 << 10);
    assert_eq!(client.input.spare().len(), 16 << 10);
    client.input.release((16 << 10) - 1);
    assert_eq!(client.input.spare().len(), 4096);
}

/// A message that outgrows the buffer is copied to a larger one: not for each read, and not to one that
/// is several times as large.
#[test]
fn a_large_message_is_copied_a_few_times() {
    let mut input = Input::new(64 << 20);
    let (mut length, mut sizes) = (0, std::collections::BTreeSet::new());
    while length < 8 << 20 {
        let room = input.spare().len();
        assert!(room <= length / 2 + (64 << 10), "{room} bytes after {length}");
        sizes.insert(length + room);
        let count = room.min(64 << 10);
        input.filled(count);
        length += count;
    }
    assert!(sizes.len() < 25, "{sizes:?}");
}

/// The bytes in each direction, whichever way they are sent.
#[test]
fn traffic_is_counted() {
    let mut client = ready();
    let before = client.traffic();
    submit(&mut client, "stop", Kind::InBand);
    let first = take_output(&mut client).len();
    submit(&mut client, "cont", Kind::InBand);
    let mut output = Output::default();
    client.take_output(&mut output);
    let second = output.piece().len();
    assert_eq!(client.traffic().sent - before.sent, (first + second) as u64);
    // What was taken out is not moved again before it was sent.
    submit(&mut client, "quit", Kind::InBand);
    client.take_output(&mut output);
    assert_eq!(output.piece().len(), second);
    assert_eq!(client.traffic().sent - before.sent, (first + second) as u64);
    let text = event(600) + "\n";
    client.receive(text.as_bytes());
    drain(&mut client);
    assert_eq!(client.traffic().received - before.received, text.len() as u64);
}

/// Events that are taken directly have the same limit as others, and the counts are right.
#[test]
fn events_are_taken_directly_up_to_the_limit() {
    let whole = |length: usize| {
        let begin = "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"A\", \"data\": {\"x\": \"";
        format!("{begin}{}\"}}}}\r\n", "x".repeat(length - begin.len() - 3))
    };
    for (length, direct) in [(200, 3), (1024, 3), (1025, 0)] {
        let mut client = ready();
        client.receive(whole(length).repeat(3).as_bytes());
        let mut taker = Taker::default();
        let right = client.direct().unwrap();
        client.input.take_events(right, &mut taker);
        assert_eq!(taker.sizes.len(), direct, "{length}");
        assert!(taker.last.is_none());
        // The name and the data, without what is around them.
        let around = whole(200).find("\"A\"").unwrap() + "\"A\", \"data\": }".len() - 1;
        assert!(taker.sizes.iter().all(|size| *size == length - around), "{:?}", taker.sizes);
        assert_eq!(drain(&mut client).len(), 3 - direct);
    }
    // With a smaller limit on messages, that.
    let mut client = ready_with(|settings| settings.message_size = 300);
    client.receive(whole(300).as_bytes());
    client.receive(whole(301).as_bytes());
    let mut taker = Taker::default();
    let right = client.direct().unwrap();
    client.input.take_events(right, &mut taker);
    assert_eq!(taker.sizes.len(), 1);
    drain(&mut client);
    assert!(client.ended().is_some());
}

/// A burst is taken in portions, so that a peer that never pauses cannot keep a driver from its calls.
#[test]
fn a_burst_is_taken_in_portions() {
    let line = "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\r\n";
    let count = (200 << 10) / line.len();
    let mut client = ready();
    client.receive(line.repeat(count).as_bytes());
    let (mut taken, mut portions) = (0, 0);
    while taken < count {
        let mut taker = Taker::default();
        let right = client.direct().unwrap();
        client.input.take_events(right, &mut taker);
        let bytes = taker.sizes.len() * line.len();
        assert!(bytes > 0 && bytes <= 64 << 10, "{bytes}");
        assert!(taker.sizes.iter().all(|size| *size == "STOP".len()));
        taken += taker.sizes.len();
        portions += 1;
    }
    assert_eq!(taken, count);
    assert_eq!(portions, 4);
}
