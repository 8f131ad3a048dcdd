//! The errors of commands whose replies do not arrive: were they sent?

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::time::{Duration, Instant};

use qmp_protocol::{CallId, Deadline, End, Error, Incoming, Kind};

use client::{Client, command, ready, submit, take_output};

fn errors(client: &mut Client) -> Vec<(CallId, Error)> {
    let Client { connection, input } = client;
    let mut errors = Vec::new();
    while let Some(incoming) = connection.next(input) {
        if let Incoming::Reply { id, result: Err(error) } = incoming {
            errors.push((id, error));
        }
    }
    errors
}

/// A caller that may repeat a command must know whether the first one reached the server.
#[test]
fn a_timeout_says_whether_the_command_was_sent() {
    let (mut client, now) = (ready(), Instant::now());
    let ids: Vec<_> = (0..10)
        .map(|_| {
            let mut submission = command("stop", Kind::InBand);
            submission.deadline = Deadline::after(now, Duration::from_secs(1));
            client.submit(submission).unwrap()
        })
        .collect();
    take_output(&mut client);
    client.expire(now + Duration::from_secs(1));
    let sent: Vec<_> = errors(&mut client)
        .into_iter()
        .map(|(id, error)| match error {
            Error::Timeout(timeout) => (id, timeout.sent),
            error => panic!("{error}"),
        })
        .collect();
    assert_eq!(sent.len(), 10);
    for (id, sent) in sent {
        assert_eq!(sent, ids[..8].contains(&id), "{id}");
    }
}

#[test]
fn the_end_of_a_connection_says_whether_the_command_was_sent() {
    for complete in [true, false] {
        let mut client = ready();
        submit(&mut client, "stop", Kind::InBand);
        let length = client.output().len();
        client.sent(if complete { length } else { length / 2 });
        client.end(End::Eof);
        let (_, error) = errors(&mut client).pop().unwrap();
        let Error::Closed(closed) = error else { panic!("{error}") };
        assert_eq!((closed.sent, closed.not_executed), (complete, !complete));
    }
}
