//! Large messages, and large numbers of them.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use qmp_client::{Error, Options, Raw};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::peer::EVENT;
use super::{Front, PATIENCE, SOON, expect_running, play, play_ready, status};

const MEGABYTE: usize = 1_000_000;

pub fn huge_reply<F: Front>(drip: bool) {
    const SIZE: usize = 100 * MEGABYTE;
    play::<F>(
        drip,
        &Options::new().message_size(SIZE + 100),
        |peer| {
            peer.greet();
            let id = peer.expect("query-status");
            let piece = format!("\"{}\",", "x".repeat(997)).repeat(1000);
            peer.send_bytes(b"{\"return\": [");
            for _ in 0..SIZE / piece.len() {
                peer.send_bytes(piece.as_bytes());
            }
            peer.send(&format!("0], \"id\": {id}}}"));
            peer.status();
        },
        |client| {
            let mut client = client.unwrap();
            let text: Raw<Box<RawValue>> = Raw::new("query-status");
            let reply = client.execute(text, PATIENCE * 2).unwrap();
            assert_eq!(reply.get().len(), SIZE + 3);
            expect_running(&mut client);
        },
    );
}

/// The reply ends the connection at once, and not only when all of it has arrived.
pub fn too_large_reply<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new().message_size(MEGABYTE),
        |peer| {
            peer.greet();
            peer.expect("query-status");
            peer.send_bytes(b"{\"return\": \"");
            peer.send_bytes(&vec![b'x'; 2 * MEGABYTE]);
        },
        |client| {
            let mut client = client.unwrap();
            let error = client.execute(status(), PATIENCE).unwrap_err();
            assert!(error.is_closed(), "{error:?}");
            assert!(error.report().contains("limit of 1000000 bytes"), "{}", error.report());
            assert!(client.execute(status(), PATIENCE).unwrap_err().is_closed());
        },
    );
}

pub fn events_without_a_listener<F: Front>(drip: bool) {
    const EVENTS: u64 = 200_000;
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            let lines = format!("{EVENT}\r\n").repeat(1000);
            for _ in 0..EVENTS / 1000 {
                peer.send_bytes(lines.as_bytes());
            }
            peer.running(&id);
            peer.status();
        },
        |client| {
            let reply = client.execute(status(), PATIENCE * 2).unwrap();
            assert_eq!(reply["status"], "running");
            expect_running(client);
            let Err(Error::Lagged(lost)) = client.event(PATIENCE) else { panic!() };
            let mut left = 0;
            while client.event(Duration::ZERO).is_ok() {
                left += 1;
            }
            assert_eq!(lost + left, EVENTS);
            assert_eq!(left, 1024);
        },
    );
}

/// The deadline covers writing. A command that was sent in part is completed later.
pub fn peer_that_stops_reading<F: Front>(drip: bool) {
    let large = Raw::<Value>::new("large").arguments(&json!({"x": "x".repeat(4 * MEGABYTE)}));
    let (has_expired, expired) = mpsc::channel();
    play_ready::<F>(
        drip,
        move |peer| {
            expired.recv_timeout(PATIENCE).unwrap();
            let late = peer.expect("large");
            peer.succeed(&late, json!({"status": "wrong"}));
            peer.status();
        },
        move |client| {
            let begin = Instant::now();
            let error = client.execute(large, SOON).unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert!((SOON..PATIENCE / 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
            has_expired.send(()).unwrap();
            expect_running(client);
            assert_eq!(client.dropped().late_replies, 1);
        },
    );
}
