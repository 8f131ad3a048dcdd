//! Tests of a connection without sockets and clocks.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::time::{Duration, Instant};

use qmp_protocol::{
    CallId, Deadline, End, Error, Incoming, Kind, Misuse, Output, Settings, Submission,
    WriteArguments,
};

use client::{
    Client, GREETING, NEGOTIATION, agent, command, connect, drain, ready, reply, sent, submit,
    take_output, to_agent,
};

/// JSON allows escapes in keys, too. A greeting is taken at once, although no line break follows it.
#[test]
fn keys_may_have_escapes() {
    for key in ["QMP", "Q\\u004dP", "\\u0051\\u004D\\u0050"] {
        let mut client = client::connect();
        client.receive(client::GREETING.replace("QMP", key).as_bytes());
        drain(&mut client);
        assert!(client::take_output(&mut client).contains("qmp_capabilities"), "{key}");
        client.receive(b"{\"r\\u0065turn\": {}, \"\\u0069d\": 100}\n");
        assert_eq!(drain(&mut client), ["ready"]);
        client::take_output(&mut client);
        let id = submit(&mut client, "x", Kind::InBand);
        client.receive(b"{\"\\u0065vent\": \"STOP\", \"d\\u0061ta\": {}}\n");
        client.receive(format!("{{\"\\u0069d\": {id}, \"r\\u0065turn\": 7}}\n").as_bytes());
        assert_eq!(drain(&mut client), ["STOP {}".to_owned(), format!("{id} 7")]);
    }
    // An object inside of a message, the beginning of which another client has read.
    let mut client = client::connect();
    client.receive(b"{\"n\\u0061me\": \"x\"}");
    assert!(drain(&mut client).is_empty());
}

#[test]
fn the_negotiation_enables_what_is_offered() {
    let mut client = connect();
    client.receive(GREETING.as_bytes());
    assert!(drain(&mut client).is_empty());
    assert_eq!(
        take_output(&mut client),
        "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]},\"id\":100}\n"
    );
    assert!(!client.is_ready());
    client.receive(b"{\"return\": {}, \"id\": 100}");
    assert_eq!(drain(&mut client), ["ready"]);
    assert!(client.is_ready() && client.oob_enabled());

    let mut settings = Settings::default();
    settings.oob = false;
    let mut client = Client::new(settings, None);
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    assert_eq!(take_output(&mut client), "{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
}

#[test]
fn commands_before_the_greeting_wait_for_it() {
    let mut client = connect();
    let early = submit(&mut client, "query-name", Kind::InBand);
    let oob = submit(&mut client, "migrate-pause", Kind::OutOfBand);
    assert!(client.output().is_empty());
    client.receive(GREETING.as_bytes());
    drain(&mut client);
    assert_eq!(sent(&mut client), [NEGOTIATION]);
    client.receive(b"{\"return\": {}, \"id\": 100}");
    drain(&mut client);
    assert_eq!(sent(&mut client), [oob.number(), early.number()]);
}

/// QEMU goes on with the commands of a client that has left, and sends their replies to the next
/// client: before the reply to its negotiation, but with ids that it uses as well.
#[test]
fn replies_to_an_earlier_client_are_dropped() {
    let mut client = connect();
    let early = submit(&mut client, "query-name", Kind::InBand);
    client.receive(GREETING.as_bytes());
    for number in 0..9 {
        client.receive(format!("{{\"return\": {{}}, \"id\": {number}}}\r\n").as_bytes());
    }
    assert!(drain(&mut client).is_empty());
    assert_eq!(client.dropped().foreign_replies, 9);
    client.receive(b"{\"return\": {}, \"id\": 100}\r\n");
    assert_eq!(drain(&mut client), ["ready"]);
    reply(&mut client, early);
    assert_eq!(drain(&mut client), [format!("{early} {{}}")]);
}

/// A guest that shuts down does not answer. Its silence is success, and so is the end of the
/// connection, but only for a command that was sent.
#[test]
fn silence_is_success_where_success_is_not_answered() {
    let now = Instant::now();
    let shutdown = |client: &mut Client| {
        let mut submission = command("guest-shutdown", Kind::InBand);
        submission.success_response = false;
        submission.deadline = Deadline::after(now, Duration::from_secs(1));
        client.submit(submission).unwrap()
    };
    let mut client = ready();
    let id = shutdown(&mut client);
    take_output(&mut client);
    assert!(drain(&mut client).is_empty());
    client.expire(now + Duration::from_secs(1));
    assert_eq!(drain(&mut client), [format!("{id} {{}}")]);

    // To a peer that does not read, nothing has been sent. That was success.
    for taken_out in [false, true] {
        let mut client = ready();
        shutdown(&mut client);
        if taken_out {
            client.take_output(&mut Output::default());
            client.set_unsent(true);
        }
        client.expire(now + Duration::from_secs(1));
        let out = drain(&mut client);
        assert!(out.len() == 1 && out[0].contains("timed out after 1 s"), "{out:?}");
    }

    let mut client = ready();
    let (_, id) = (shutdown(&mut client), shutdown(&mut client));
    client.receive(
        format!("{{\"error\": {{\"class\": \"GenericError\", \"desc\": \"no\"}}, \"id\": {id}}}")
            .as_bytes(),
    );
    let out = drain(&mut client);
    assert!(out.len() == 1 && out[0].contains("no"), "{out:?}");
    take_output(&mut client);
    client.end(End::Eof);
    let out = drain(&mut client);
    assert!(out.len() == 1 && out[0].ends_with(" {}"), "{out:?}");

    // The peer has closed the connection before the command was sent.
    let mut client = ready();
    shutdown(&mut client);
    client.sent(5);
    client.end(End::Eof);
    let out = drain(&mut client);
    assert!(out.len() == 1 && out[0].contains("ended"), "{out:?}");

    let mut client = connect();
    shutdown(&mut client);
    client.end(End::Eof);
    let out = drain(&mut client);
    assert!(out.len() == 1 && out[0].contains("ended"), "{out:?}");
    let mut client = connect();
    shutdown(&mut client);
    client.expire(now + Duration::from_secs(1));
    let out = drain(&mut client);
    assert!(out.len() == 1 && out[0].contains("timed out after 1 s"), "{out:?}");
}

/// No reply makes room for other commands, so the deadline does.
#[test]
fn a_silent_command_does_not_stay_in_flight() {
    let (mut client, now) = (ready(), Instant::now());
    let silent = |client: &mut Client| {
        let mut submission = command("be-gone", Kind::InBand);
        submission.success_response = false;
        submission.deadline = Deadline::after(now, Duration::from_secs(1));
        client.submit(submission).unwrap()
    };
    let (given_up, _) = (silent(&mut client), [(); 7].map(|()| silent(&mut client)));
    let two = [(); 2].map(|()| submit(&mut client, "query-status", Kind::InBand).number());
    assert_eq!(sent(&mut client).len(), 8);
    client.abandon(given_up, now);
    assert_eq!(sent(&mut client), two[..1]);
    client.expire(now + Duration::from_secs(1));
    assert_eq!(drain(&mut client).len(), 7);
    assert_eq!(sent(&mut client), two[1..]);
}

#[test]
fn out_of_band_without_its_negotiation_is_refused() {
    let mut settings = Settings::default();
    settings.oob = false;
    let mut client = Client::new(settings, None);
    let early = submit(&mut client, "migrate-pause", Kind::OutOfBand);
    client.receive(GREETING.as_bytes());
    client.receive(b"{\"return\": {}, \"id\": 0}");
    let out = drain(&mut client);
    assert_eq!(out[0], "ready");
    assert!(out[1].starts_with(&format!("{early} ")) && out[1].contains("negotiated"), "{out:?}");
    let error = client.submit(command("migrate-pause", Kind::OutOfBand)).unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::OobNotEnabled { .. })), "{error:?}");
}

#[test]
fn the_ninth_command_waits_and_out_of_band_passes() {
    let mut client = ready();
    let ids: Vec<CallId> = (0..10).map(|_| submit(&mut client, "stop", Kind::InBand)).collect();
    let oob = submit(&mut client, "migrate-pause", Kind::OutOfBand);
    let mut first: Vec<u64> = ids[..8].iter().map(|id| id.number()).collect();
    first.push(oob.number());
    assert_eq!(sent(&mut client), first);

    reply(&mut client, oob);
    drain(&mut client);
    assert!(client.output().is_empty());
    reply(&mut client, ids[0]);
    drain(&mut client);
    assert_eq!(sent(&mut client), [ids[8].number()]);

    // An abandoned command is still in the server's queue.
    client.abandon(ids[1], Instant::now());
    assert!(client.output().is_empty());
    reply(&mut client, ids[1]);
    assert!(drain(&mut client).is_empty());
    assert_eq!(client.dropped().late_replies, 1);
    assert_eq!(sent(&mut client), [ids[9].number()]);
}

#[test]
fn a_command_that_is_abandoned_while_queued_is_not_sent() {
    let mut client = ready();
    let ids: Vec<CallId> = (0..10).map(|_| submit(&mut client, "stop", Kind::InBand)).collect();
    client.abandon(ids[8], Instant::now());
    take_output(&mut client);
    for id in &ids[..8] {
        reply(&mut client, *id);
    }
    drain(&mut client);
    assert_eq!(sent(&mut client), [ids[9].number()]);
    assert!(!client.is_pending(ids[8]));
}

#[test]
fn deadlines_are_reported_and_enforced() {
    let now = Instant::now();
    let within = |seconds| Deadline::after(now, Duration::from_secs(seconds));
    let mut client = ready();
    assert_eq!(client.deadline(), None);
    let mut call = |seconds| {
        let mut submission = Submission::new("stop");
        submission.deadline = within(seconds);
        client.submit(submission).unwrap()
    };
    let ids: Vec<CallId> = [3, 1, 2, 9, 9, 9, 9, 9, 2].into_iter().map(&mut call).collect();
    assert_eq!(client.deadline(), Some(now + Duration::from_secs(1)));
    client.expire(now + Duration::from_millis(999));
    assert!(drain(&mut client).is_empty());
    client.expire(now + Duration::from_secs(2));
    let late = |id: &CallId, seconds| {
        format!("{id} timed out after {seconds} s waiting for the reply to `stop`")
    };
    assert_eq!(drain(&mut client), [late(&ids[1], 1), late(&ids[2], 2), late(&ids[8], 2)]);
    assert_eq!(client.deadline(), Some(now + Duration::from_secs(3)));

    // The late replies are dropped.
    for id in &ids[..3] {
        reply(&mut client, *id);
    }
    assert_eq!(drain(&mut client), [format!("{} {{}}", ids[0])]);
    assert_eq!(client.dropped().late_replies, 2);
    assert_eq!(Deadline::after(now, Duration::MAX), None);
}

/// A server that could not read a command answers in order, without an id.
#[test]
fn an_error_without_id_is_for_the_oldest_in_band_command() {
    const ERROR: &[u8] = br#"{"error": {"class": "GenericError", "desc": "unreadable"}}"#;
    let mut client = ready();
    let oob = submit(&mut client, "migrate-pause", Kind::OutOfBand);
    let one = submit(&mut client, "stop", Kind::InBand);
    let two = submit(&mut client, "cont", Kind::InBand);
    let refused = |id, name| [format!("{id} {name} failed: unreadable")];
    for (id, name) in [(one, "stop"), (two, "cont"), (oob, "migrate-pause")] {
        client.receive(ERROR);
        assert_eq!(drain(&mut client), refused(id, name));
    }
    client.receive(ERROR);
    assert!(drain(&mut client).is_empty());
    assert_eq!(client.dropped().foreign_replies, 1);
}

#[test]
fn arguments_must_be_an_object() {
    let mut client = ready();
    let mut submit = |text: &'static [u8]| {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(text);
            Ok(())
        };
        let mut submission = Submission::new("x");
        submission.arguments = Some(WriteArguments(&write));
        client.submit(submission)
    };
    for text in [&b"null"[..], b"[]", b"1", b""] {
        let error = submit(text).unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::Arguments { .. })), "{error:?}");
    }
    submit(b"{\"a\":1}").unwrap();
    assert_eq!(take_output(&mut client), "{\"execute\":\"x\",\"arguments\":{\"a\":1},\"id\":5}\n");
}

/// Descriptors travel with the first byte of their command. An earlier command would take them.
#[test]
#[cfg(unix)]
fn descriptors_travel_with_their_command() {
    let mut client = ready();
    let with = |count: usize| {
        let mut submission = Submission::new("getfd");
        let open = || std::fs::File::open("/dev/null").unwrap().into();
        submission.descriptors = (0..count).map(|_| open()).collect();
        submission
    };
    let mut ids = vec![submit(&mut client, "stop", Kind::InBand)];
    for count in [2, 0, 3, 0] {
        ids.push(client.submit(with(count)).unwrap());
    }
    let piece = |client: &mut Client, descriptors: usize, commands: &[CallId]| {
        assert_eq!(client.descriptors().len(), descriptors);
        // The descriptors are sent with the first byte, before the other bytes.
        let first = client.output()[..1].to_vec();
        client.sent(1);
        assert!(client.descriptors().is_empty());
        let text = [first, client.output().to_vec()].concat();
        client.sent(text.len() - 1);
        let text = String::from_utf8(text).unwrap();
        for (line, id) in text.lines().zip(commands) {
            assert!(line.ends_with(&format!("\"id\":{id}}}")), "{line}");
        }
        assert_eq!(text.lines().count(), commands.len());
    };
    piece(&mut client, 0, &ids[..1]);
    piece(&mut client, 2, &ids[1..3]);
    // The server would close the first ones if others arrived before it has taken them.
    reply(&mut client, ids[0]);
    drain(&mut client);
    assert!(client.output().is_empty());
    client.abandon(ids[1], Instant::now());
    reply(&mut client, ids[1]);
    drain(&mut client);
    piece(&mut client, 3, &ids[3..]);
    assert!(client.output().is_empty());
}

/// After a call was abandoned, it is unknown when the agent answers again. As at the beginning, the
/// client repeats the synchronization until the agent answers, as long as a call waits for that.
#[test]
fn the_synchronization_is_repeated_until_the_agent_answers() {
    let second = Duration::from_secs(1);
    let begin = Instant::now();
    let mut client = Client::new(Settings::agent(), Deadline::after(begin, 60 * second));
    assert_eq!(client.deadline(), Some(begin + second));
    let length = client.output().len();
    client.sent(length);
    client.receive(b"\xFF{\"return\": 1}\n");
    assert_eq!(drain(&mut client), ["ready"]);

    let first = submit(&mut client, "guest-ping", Kind::InBand);
    to_agent(&mut client);
    let later = begin + 10 * second;
    client.abandon(first, later);
    let token = |number: u64| {
        format!("{{\"execute\":\"guest-sync-delimited\",\"arguments\":{{\"id\":{number}}}}}\n")
    };
    assert_eq!(to_agent(&mut client), token(2));
    // No call waits yet.
    assert_eq!(client.deadline(), None);

    let mut second_call = command("guest-info", Kind::InBand);
    second_call.deadline = Deadline::after(later, 30 * second);
    let id = client.submit(second_call).unwrap();
    for number in 3..5 {
        let again = client.deadline().unwrap();
        assert_eq!(again, later + second * (number - 2));
        client.expire(again - Duration::from_millis(1));
        assert!(client.output().is_empty());
        client.expire(again);
        assert_eq!(to_agent(&mut client), token(number.into()));
    }
    // To a peer that does not read, the command is not sent again and again.
    for seconds in 3..29 {
        client.expire(later + second * seconds);
    }
    assert_eq!(to_agent(&mut client), token(5));
    // Late replies to earlier synchronizations, and to the abandoned call.
    client.receive(b"{\"return\": {}}\n\xFF{\"return\": 2}\n\xFF{\"return\": 3}\n");
    assert!(drain(&mut client).is_empty());
    client.receive(b"\xFF{\"return\": 5}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    assert_eq!(to_agent(&mut client), "{\"execute\":\"guest-info\"}\n");
    client.receive(b"{\"return\": {}}\n");
    assert_eq!(drain(&mut client), [format!("{id} {{}}")]);
    assert_eq!(client.deadline(), None);
}

#[test]
fn the_end_fails_all_calls_with_the_first_reason() {
    let mut client = ready();
    let in_flight = submit(&mut client, "stop", Kind::InBand);
    let waiting: Vec<CallId> = (0..9).map(|_| submit(&mut client, "cont", Kind::InBand)).collect();
    let abandoned = waiting[0];
    client.abandon(abandoned, Instant::now());
    client.receive(b"{\"event\": \"SHUTDOWN\"}\n{\"return\": {");
    client.end(End::Eof);
    client.end(End::Local);
    let out = drain(&mut client);
    assert_eq!(out[0], "SHUTDOWN ");
    assert!(out[1].starts_with(&format!("{in_flight} ")), "{out:?}");
    assert_eq!(out.len(), 2 + waiting.len() - 1);
    assert!(out[1].contains("in the middle of a message"), "{out:?}");
    assert!(matches!(**client.ended().unwrap(), End::Truncated(_)));
    let error = client.submit(Submission::new("stop")).unwrap_err();
    assert!(matches!(error, Error::Closed(_)));
}

/// A xorshift generator, which returns the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// Returns everything that the connection gives out when bytes arrive in these pieces.
fn feed<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Vec<String> {
    let mut client = ready();
    let ids: Vec<CallId> = (0..4).map(|_| submit(&mut client, "stop", Kind::InBand)).collect();
    assert_eq!(ids[0].number(), 1);
    let mut out = Vec::new();
    for piece in pieces {
        client.receive(piece);
        out.extend(drain(&mut client));
    }
    client.end(End::Eof);
    out.extend(drain(&mut client));
    out.push(format!("{:?}", client.dropped()));
    out
}

/// However bytes are split, the result is the same and nothing panics: for messages, parts of
/// messages and garbage, in any order.
#[test]
fn the_result_does_not_depend_on_how_bytes_are_split() {
    let parts: &[&[u8]] = &[
        b"{\"return\": {}, \"id\": 1}\r\n",
        b"{\"return\": {\"a\": [1, {\"b\": \"}\\\"\"}]}, \"id\": 2}",
        b"{\n  \"return\": {\n  },\n  \"id\": 3\n}\n",
        b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 4}\n",
        b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n",
        b"{\"event\": \"STOP\", \"data\": {\"x\": null}, \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\r\n",
        b"{\"event\": \"STOP\"}",
        b"{\"event\": \"ST\\u004fP\", \"more\": 1}",
        b"{\"event\": \"S\xc3\xa9\"}\n",
        b"{\"event\": \"S\xc3\"}\n",
        b"{\"return\": 1e}, \"id\": 1}\n",
        b"{\"QMP\": {}}",
        b"{\"return\": \"",
        b"{\"return\": {\"x\"",
        b"[1,",
        b"{",
        b"}",
        b"{}",
        b"\"",
        b"\\",
        b"\n",
        b"\r\n",
        b" ",
        b"\xff",
        b"\x00",
        b"garbage\n",
        b"(qemu) ",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3000 {
        let count = 1 + random.below(8);
        let text: Vec<u8> =
            (0..count).flat_map(|_| parts[random.below(parts.len())]).copied().collect();
        let whole = feed(std::iter::once(&text[..]));
        let shown = String::from_utf8_lossy(&text);
        assert_eq!(whole, feed(text.chunks(1)), "{shown}");
        let (left, right) = text.split_at(random.below(text.len() + 1));
        assert_eq!(whole, feed([left, right].into_iter()), "{shown}");
    }
}

/// Each of these would take minutes if bytes were examined again whenever more arrive.
#[test]
fn the_cost_is_linear_in_the_bytes() {
    let begin = processor_time();
    let size = 1 << 20;
    let long_string = [b"{\"event\": \"", &vec![b'x'; size][..], b"\"}"].concat();
    let long_space = [b"{\"event\":", &vec![b' '; size][..], b"\"X\"}"].concat();
    let openings = b"{\n".repeat(size / 2);
    let brackets = b"[".repeat(size);
    let junk = b"x".repeat(size);
    let objects = b"{}".repeat(size / 64);
    for text in [long_string, long_space, openings, brackets, junk, objects] {
        let mut client = ready();
        for piece in text.chunks(512) {
            client.receive(piece);
            drain(&mut client);
        }
    }
    let taken = processor_time() - begin;
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}

/// Returns the time for which a processor has run this thread, so that other programs do not count;
/// the time of day on systems other than Linux.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let time = text.split(' ').next().and_then(|word| word.parse().ok()).map(Duration::from_nanos);
    time.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap_or_default())
}

/// Endless garbage takes no memory, and a large buffer is freed.
#[test]
fn memory_is_freed() {
    let mut client = ready();
    for _ in 0..1000 {
        client.receive(&[b'x'; 10_000]);
        drain(&mut client);
    }
    assert!(client.input.spare().len() <= 128 << 10);
    let large = format!("\n{{\"event\": \"{}\"}}", "x".repeat(10 << 20));
    client.receive(large.as_bytes());
    assert!(client.input.spare().len() > 1 << 20);
    drain(&mut client);
    client.release(0);
    client.input.release(0);
    assert!(client.input.spare().len() <= 4096);
}

/// A caller that gives up may drop all calls at once, which took quadratic time.
#[test]
fn abandoning_many_calls_takes_linear_time() {
    let mut client = ready();
    let ids: Vec<_> =
        (0..20_000).map(|_| submit(&mut client, "query-status", Kind::InBand)).collect();
    let (start, begin) = (Instant::now(), processor_time());
    ids.iter().for_each(|id| client.abandon(*id, start));
    let taken = processor_time() - begin;
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    assert!(ids.iter().all(|id| !client.is_pending(*id)));
}

/// A NUL byte between two messages made the second one garbage.
#[test]
fn separators_between_messages_are_skipped() {
    const MARK: &str = "\u{feff}";
    for separator in [
        "\0",
        "\0\0\r\n",
        MARK,
        "\r",
        "\n\n\n",
        "\t \r\0",
        " \u{feff}\0\u{feff}\n",
        "\u{b}\u{c}",
        "\u{a0}",
        "\u{85}\u{2028}",
        "\u{1e}",
        "\u{200b}",
        "\u{3000}\u{7f}",
    ] {
        for step in [1, 1000] {
            let mut client = connect();
            let text = format!(
                "{separator}{GREETING}{separator}{{\"return\": {{}}, \"id\": 100}}{separator}{{\"event\": \"A\"}}\
                 {separator}{{\"event\": \"B\"}}\n"
            );
            let mut out = Vec::new();
            for piece in text.as_bytes().chunks(step) {
                client.receive(piece);
                out.extend(drain(&mut client));
            }
            assert_eq!(out, ["ready", "A ", "B "], "{separator:?}");
            assert_eq!(client.dropped().garbage, 0, "{separator:?}");
        }
    }
}

/// Bytes that no text has: the delimiter of guest agents, and the mark of UTF-16.
#[test]
fn bytes_between_messages_that_are_not_text_are_skipped() {
    for separator in [&b"\xFF"[..], b"\xFE\xFF", b"\xFF\xFE\0", b"\r\xFF\0\xEF\xBB\xBF\n"] {
        for step in [1, 1000] {
            let mut client = ready();
            let text =
                [separator, b"{\"event\": \"A\"}", separator, b"{\"event\": \"B\"}\n"].concat();
            let mut out = Vec::new();
            for piece in text.chunks(step) {
                client.receive(piece);
                out.extend(drain(&mut client));
            }
            assert_eq!(out, ["A ", "B "], "{separator:?}");
            assert_eq!(client.dropped().garbage, 0, "{separator:?}");
        }
    }
}

/// The socket of a console answers with a login prompt, or echoes. That was only reported at the
/// deadline, although it was known at once.
#[test]
fn a_terminal_is_not_a_guest_agent() {
    for text in [
        "\r\nDebian GNU/Linux 12 vm ttyS0\r\n\r\nvm login: ",
        "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":2}}\r\n",
        "sh: 1: {execute:guest-sync-delimited: not found\n",
        "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n",
    ] {
        let mut client = agent();
        client.receive(text.as_bytes());
        drain(&mut client);
        let end = client.ended().map(|end| end.to_string());
        assert_eq!(end.as_deref(), Some("the peer is not a guest agent"), "{text}");
    }
    // The rest of a reply to an earlier client is not a sign of a terminal.
    let mut client = agent();
    client.receive(b"AAAA\", \"eof\": true}}\n");
    drain(&mut client);
    assert!(client.ended().is_none());
    client.receive(b"{\"return\": 2}\n");
    assert_eq!(drain(&mut client), ["ready"]);
}

/// An agent answers one command at a time, so it is known which command's reply is damaged.
#[test]
fn a_damaged_reply_of_an_agent_fails_its_call_at_once() {
    for damaged in [&b"{\"return\": \"\xC3\"}\n"[..], b"{\"retrun\": 1}\n"] {
        let mut client = agent();
        client.receive(b"\xFF{\"return\": 2}\n");
        assert_eq!(drain(&mut client), ["ready"]);
        take_output(&mut client);
        let id = submit(&mut client, "guest-info", Kind::InBand);
        take_output(&mut client);
        client.receive(damaged);
        let out = drain(&mut client);
        let lost = format!("{id} the reply to `guest-info` is damaged: ");
        assert!(out.iter().any(|line| line.starts_with(&lost)), "{out:?}");
        // The client synchronizes again, whatever else was in that reply.
        let next = submit(&mut client, "guest-ping", Kind::InBand);
        assert!(take_output(&mut client).contains("guest-sync-delimited"));
        client.receive(b"\xFF{\"return\": 3}\n");
        assert_eq!(drain(&mut client), ["ready"]);
        assert!(take_output(&mut client).contains("guest-ping"));
        client.receive(b"{\"return\": {}}\n");
        assert_eq!(drain(&mut client), [format!("{next} {{}}")]);
    }
}

/// The reply to the second command came while the agent was synchronized with, and was dropped.
#[test]
fn no_command_is_sent_between_a_damaged_reply_and_the_synchronization() {
    let mut client = agent();
    client.receive(b"\xFF{\"return\": 2}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    take_output(&mut client);
    submit(&mut client, "guest-info", Kind::InBand);
    let next = submit(&mut client, "guest-ping", Kind::InBand);
    take_output(&mut client);
    client.receive(b"{\"retrun\": 1}\n");
    drain(&mut client);
    let text = to_agent(&mut client);
    assert!(text.contains("guest-sync-delimited") && !text.contains("guest-ping"), "{text}");
    client.receive(b"\xFF{\"return\": 3}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    assert!(take_output(&mut client).contains("guest-ping"));
    client.receive(b"{\"return\": {}}\n");
    assert_eq!(drain(&mut client), [format!("{next} {{}}")]);
}

/// Null says that an event has no data, and does not decode as such.
#[test]
fn an_event_may_have_null_for_its_data() {
    for event in
        ["{\"event\": \"A\", \"data\": null}\n", "{\"event\": \"A\", \"x\": 1, \"data\": null}\n"]
    {
        let mut client = ready();
        client.receive(event.as_bytes());
        let Client { connection, input } = &mut client;
        let incoming = connection.next(input);
        assert!(matches!(incoming, Some(Incoming::Event { data: None, .. })), "{incoming:?}");
    }
}

/// The name of an event is kept with the event, and copied for each of its queues.
#[test]
fn an_event_with_a_long_name_is_refused() {
    let mut client = ready();
    client.receive(format!("{{\"event\": \"{}\"}}\n", "X".repeat(2000)).as_bytes());
    client.receive(b"{\"event\": \"Y\"}\n");
    let out = drain(&mut client);
    assert!(out[0].contains("too long") && out[1].contains('Y'), "{out:?}");
}

/// A caller that connects again has to know whether a command may have been executed. All in flight
/// counted as not sent when one of them was not, also while a thread had just sent them.
#[test]
fn only_a_command_whose_end_was_not_sent_has_certainly_not_been_executed() {
    let fates = |client: &mut Client| {
        let Client { connection, input } = client;
        let mut fates = Vec::new();
        while let Some(incoming) = connection.next(input) {
            if let Incoming::Reply { result: Err(Error::Closed(closed)), .. } = incoming {
                fates.push((closed.sent, closed.not_executed));
            }
        }
        fates
    };
    let two = || {
        let mut client = ready();
        submit(&mut client, "stop", Kind::InBand);
        let first = client.output().len();
        submit(&mut client, "cont", Kind::InBand);
        (client, first)
    };
    // All but the end of the second line, which the server does not need, and one byte more.
    for (unsent, second) in [(1, false), (3, true), (10, true)] {
        // A driver that sends from the connection's own output.
        let (mut client, _) = two();
        let length = client.output().len();
        client.sent(length - unsent);
        client.end(End::Eof);
        assert_eq!(fates(&mut client), [(false, false), (false, second)], "{unsent}");
        // One that takes it out.
        let (mut client, _) = two();
        let mut output = Output::default();
        client.take_output(&mut output);
        submit(&mut client, "quit", Kind::InBand);
        output.sent(length - unsent);
        client.lost_from(output.position());
        client.end(End::Eof);
        let fates = fates(&mut client);
        assert_eq!(fates, [(false, false), (false, second), (false, true)], "{unsent}");
    }
    // A thread is sending what it took out.
    let (mut client, _) = two();
    client.take_output(&mut Output::default());
    client.output_lost();
    client.end(End::Eof);
    assert_eq!(fates(&mut client), [(false, false), (false, false)]);
    // The second one was appended when the first had been sent.
    let mut client = ready();
    submit(&mut client, "stop", Kind::InBand);
    let length = client.output().len();
    client.sent(length);
    submit(&mut client, "cont", Kind::InBand);
    client.end(End::Eof);
    assert_eq!(fates(&mut client), [(false, false), (false, true)]);
}
