//! Bytes that are not a message.

use qmp_client::{Error, ProtocolError, Raw};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Front, PATIENCE, SOON, expect_running, play_ready, status};

pub fn garbage_then_good<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            for garbage in ["qemu: warning", "{\"return\": }", "[{}]", "}", "{}", "{\"event\": 1}"]
            {
                let id = peer.expect("query-status");
                peer.send(garbage);
                peer.running(&id);
            }
        },
        |client| {
            for count in 1..=6 {
                expect_running(client);
                assert_eq!(client.dropped().garbage, count);
            }
        },
    );
}

/// The id can be read, so the call fails at once and not at its deadline.
pub fn damaged_reply<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            peer.send(&format!(r#"{{"return": {{"status": running}}, "id": {id}}}"#));
            peer.status();
        },
        |client| {
            let error = client.execute(status(), PATIENCE).unwrap_err();
            assert_eq!(error.command(), Some("query-status"));
            let Error::Protocol(protocol) = &error else { panic!("{error:?}") };
            assert!(matches!(**protocol, ProtocolError::BadReply { .. }), "{error:?}");
            assert!(error.report().contains("running}"), "{}", error.report());
            expect_running(client);
        },
    );
}

/// In-band commands are answered in order, so the second reply shows that the first was lost.
pub fn damaged_reply_overtaken<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            peer.expect("query-status");
            let id = peer.expect("query-status");
            peer.send("{\"return\": nonsense}");
            peer.running(&id);
            // Without another command, the call fails at its deadline, and the error says why.
            peer.expect("query-status");
            peer.send("{\"return\": nonsense}");
        },
        |client| {
            let mut replies = client.execute_all(vec![status(), status()]);
            assert_eq!(replies.pop().unwrap().unwrap()["status"], "running");
            let error = replies.pop().unwrap().unwrap_err();
            let Error::Protocol(protocol) = &error else { panic!("{error:?}") };
            assert!(matches!(**protocol, ProtocolError::LostReply { .. }), "{error:?}");

            let error = client.execute(status(), SOON * 25).unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert!(error.report().contains("nonsense"), "{}", error.report());
        },
    );
}

/// A truncated message must not swallow those that follow it.
pub fn truncated_line_then_good<F: Front>(drip: bool) {
    let cuts = ["{\"return\": {\"status\": \"runn", "{\"return\": {\"status\": 1", "{\"retu", "{"];
    play_ready::<F>(
        drip,
        |peer| {
            for cut in cuts {
                let id = peer.expect("query-status");
                peer.send(cut);
                peer.running(&id);
            }
        },
        |client| {
            for _ in cuts {
                expect_running(client);
            }
            assert_eq!(client.dropped().garbage, 4);
        },
    );
}

pub fn invalid_utf8<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            peer.send_bytes(b"{\"event\": \"ST\xc3OP\"}\r\n");
            peer.running(&id);
            let id = peer.expect("query-status");
            peer.send_bytes(b"{\"return\": {\"status\": \"r\xfe\"}, \"id\": ");
            peer.send(&format!("{id}}}"));
            peer.status();
        },
        |client| {
            expect_running(client);
            let error = client.execute(status(), PATIENCE).unwrap_err();
            assert!(error.report().contains("UTF-8"), "{}", error.report());
            expect_running(client);
            assert_eq!(client.dropped().garbage, 2);
        },
    );
}

/// Guest agents send 0xFF to mark a new beginning.
pub fn delimiters<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            for _ in 0..2 {
                let id = peer.expect("query-status");
                peer.send_bytes(b"\xff");
                peer.running(&id);
                peer.send_bytes(b"\xff\n\xff \t");
            }
        },
        |client| {
            expect_running(client);
            expect_running(client);
            assert_eq!(client.dropped().garbage, 0);
        },
    );
}

/// Separators between two messages cost nothing, on the same line or on their own.
pub fn separators<F: Front>(drip: bool) {
    let separators: [&[u8]; 12] = [
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xFF",
        b"\n\n\r\n",
        b"\r",
        b"\x0C",
        b"\x0B",
        b"\xC2\xA0",
        b"\xC2\x85\xE2\x80\xA8",
        b"\x1E",
        b"\xFF\xFE\0\0",
        b" \t\x7F\xE3\x80\x80\x1A",
    ];
    play_ready::<F>(
        drip,
        |peer| {
            for separator in separators {
                let id = peer.expect("query-status");
                peer.send_bytes(separator);
                let reply = json!({"return": {"status": "running"}, "id": id});
                peer.send_bytes(reply.to_string().as_bytes());
                peer.send_bytes(separator);
            }
        },
        |client| {
            separators.iter().for_each(|_| expect_running(client));
            assert_eq!(client.dropped().garbage, 0);
        },
    );
}

pub fn reply_nested_deep<F: Front>(drip: bool) {
    const DEPTH: usize = 10_000;
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
            peer.send(&format!(r#"{{"return": {open}{close}, "id": {id}}}"#));
            // This is within the limit, but too deep for a `Value`.
            let id = peer.expect("query-status");
            let (open, close) = ("[".repeat(1000), "]".repeat(1000));
            peer.send(&format!(r#"{{"return": {open}{close}, "id": {id}}}"#));
            peer.status();
        },
        |client| {
            let error = client.execute(status(), PATIENCE).unwrap_err();
            let Error::Protocol(protocol) = &error else { panic!("{error:?}") };
            let ProtocolError::TooDeep { depth, limit, .. } = **protocol else {
                panic!("{error:?}")
            };
            assert_eq!((depth, limit), (DEPTH + 1, 1024));
            let error = client.execute(status(), PATIENCE).unwrap_err();
            assert!(matches!(error, Error::Decode(_)), "{error:?}");
            expect_running(client);
        },
    );
}

/// The depth of a reply that is not decoded, or of garbage, does not matter.
pub fn message_nested_deep_in_garbage<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
            peer.send(&format!(r#"{{"x": {deep}, "return": {deep}, "id": {id}}}"#));
            let id = peer.expect("query-status");
            peer.send(&format!("{{{}", "[".repeat(50_000)));
            peer.succeed(&id, json!(1));
        },
        |client| {
            let text: Raw<Box<RawValue>> = Raw::new("query-status");
            assert_eq!(client.execute(text, PATIENCE).unwrap().get().len(), 1000);
            assert_eq!(client.execute(Raw::<Value>::new("query-status"), PATIENCE).unwrap(), 1);
        },
    );
}
