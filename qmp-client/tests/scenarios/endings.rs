//! How a connection ends.

use qmp_client::{End, Error, Options, Raw};
use serde_json::Value;

use super::peer::EVENT;
use super::{Front, PATIENCE, expect_running, play, play_ready, status};

fn reason(error: &Error) -> &End {
    match error {
        Error::Closed(closed) => &closed.reason,
        _ => panic!("{error:?}"),
    }
}

pub fn end_instead_of_reply<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            peer.expect("query-status");
            peer.hang_up();
        },
        |client| {
            let first = client.execute(status(), PATIENCE).unwrap_err();
            assert_eq!(first.command(), Some("query-status"));
            assert!(matches!(reason(&first), End::Eof), "{first:?}");
            let second = client.execute(status(), PATIENCE).unwrap_err();
            assert!(matches!(reason(&second), End::Eof), "{second:?}");
            assert!(client.event(PATIENCE).unwrap_err().is_closed());
        },
    );
}

/// The calls after the one that was waited for failed without their command, and without saying whether
/// it had been sent.
pub fn end_with_several_in_flight<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            peer.status();
            peer.expect("query-status");
            peer.expect("query-status");
            peer.expect("query-status");
            peer.hang_up();
        },
        |client| {
            let mut results = client.execute_all(vec![status(), status(), status(), status()]);
            assert_eq!(results.remove(0).unwrap()["status"], "running");
            for result in results {
                let error = result.unwrap_err();
                assert_eq!(error.command(), Some("query-status"), "{error:?}");
                let Error::Closed(closed) = &error else { panic!("{error:?}") };
                assert!(closed.sent && !closed.not_executed, "{error:?}");
            }
        },
    );
}

pub fn end_in_a_message<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            peer.status();
            peer.expect("query-status");
            peer.send_bytes(b"{\"return\": {\"status\": \"run");
            peer.hang_up();
        },
        |client| {
            expect_running(client);
            let error = client.execute(status(), PATIENCE).unwrap_err();
            assert!(matches!(reason(&error), End::Truncated(_)), "{error:?}");
            assert!(error.report().contains("run"), "{}", error.report());
        },
    );
}

/// Events that arrived before the end are given out, and then the reason for it.
pub fn events_before_the_end<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            peer.status();
            peer.send(EVENT);
            peer.send(EVENT);
            peer.hang_up();
        },
        |client| {
            expect_running(client);
            assert_eq!(&*client.event(PATIENCE).unwrap().name, "STOP");
            assert_eq!(&*client.event(PATIENCE).unwrap().name, "STOP");
            for _ in 0..2 {
                let error = client.event(PATIENCE).unwrap_err();
                assert!(matches!(reason(&error), End::Eof), "{error:?}");
            }
            assert!(client.execute(status(), PATIENCE).unwrap_err().is_closed());
        },
    );
}

/// A message that is too large ends the connection, and proves nothing about the server: it may live
/// on. `quit` was reported as a success then.
pub fn an_end_by_this_side<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new().message_size(1000),
        |peer| {
            peer.greet();
            let id = peer.expect("query-qmp-schema");
            peer.succeed(&id, "x".repeat(2000).into());
        },
        |client| {
            let mut client = client.unwrap();
            for command in ["query-qmp-schema", "quit"] {
                let error = client.execute(Raw::<Value>::new(command), PATIENCE).unwrap_err();
                let Error::Closed(closed) = &error else { panic!("{error:?}") };
                assert!(!closed.by_peer(), "{error:?}");
                assert!(matches!(*closed.reason, End::Protocol(_)), "{error:?}");
            }
        },
    );
}
