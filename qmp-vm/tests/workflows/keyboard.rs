//! Typing.

use std::time::{Duration, Instant};

use qmp_client::qmp::types::QKeyCode;
use qmp_client::{Error, Options, Raw, WaitedFor};
use qmp_vm::Workflows;
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::{SOON, play, play_blocking, play_with};

/// Expects a `send-key` of these keys, and returns the command's id.
fn expect_keys(peer: &mut Peer, keys: &[&str]) -> Value {
    let command = peer.command();
    check_keys(&command, keys)
}

fn check_keys(command: &Value, keys: &[&str]) -> Value {
    assert_eq!(command["execute"], "send-key", "{command}");
    let codes = command["arguments"]["keys"].as_array().unwrap();
    let codes: Vec<_> = codes.iter().map(|key| key["data"].as_str().unwrap()).collect();
    assert_eq!(codes, keys);
    assert_eq!(command["arguments"]["hold-time"], 20);
    command["id"].clone()
}

fn presses(peer: &mut Peer, keys: &[&str]) {
    let id = expect_keys(peer, keys);
    peer.succeed(&id, json!({}));
}

fn is_stopped(peer: &mut Peer) {
    let id = peer.expect("query-status");
    peer.succeed(&id, json!({"status": "paused", "running": false}));
}

/// A text that the keyboard cannot type as a whole is not typed at all.
#[test]
fn a_text_is_typed_as_a_whole_or_not_at_all() {
    let script = |peer: &mut Peer| {
        peer.status();
        presses(peer, &["shift", "h"]);
        presses(peer, &["i"]);
        // Nothing of the second text.
        peer.status();
    };
    let status = || Raw::<Value>::new("query-status");
    play(script, async |client| {
        client.type_text("Hi").await.unwrap();
        let error = client.type_text("Hé").await.unwrap_err();
        assert!(matches!(error, Error::Misuse(_)), "{error:?}");
        assert_eq!(client.execute(status()).await.unwrap()["running"], true);
    });
    play_blocking(script, |client| {
        client.type_text("Hi").unwrap();
        assert!(matches!(client.type_text("Hé").unwrap_err(), Error::Misuse(_)));
        assert_eq!(client.execute(status()).unwrap()["running"], true);
    });
}

/// The keys of a combination are pressed together, and released before this returns.
#[test]
fn keys_are_pressed_together() {
    let script = |peer: &mut Peer| {
        for hold in [30, 1] {
            peer.status();
            let command = peer.command();
            let keys = command["arguments"]["keys"].as_array().unwrap();
            let codes: Vec<_> = keys.iter().map(|key| key["data"].as_str().unwrap()).collect();
            assert_eq!(codes, ["ctrl", "alt", "delete"]);
            assert_eq!(command["arguments"]["hold-time"], hold);
            peer.succeed(&command["id"], json!({}));
        }
    };
    let keys = || [QKeyCode::Ctrl, QKeyCode::Alt, QKeyCode::Delete];
    let hold = Duration::from_millis(30);
    play(script, async |client| {
        let begin = Instant::now();
        client.press_keys(keys(), hold).await.unwrap();
        assert!(begin.elapsed() >= 6 * hold);
        client.press_keys(keys(), Duration::ZERO).await.unwrap();
    });
    play_blocking(script, |client| {
        let begin = Instant::now();
        client.press_keys(keys(), hold).unwrap();
        assert!(begin.elapsed() >= 6 * hold);
        client.press_keys(keys(), Duration::ZERO).unwrap();
    });
}

/// Each character is queued after the one before it has been pressed and released.
#[test]
fn a_character_waits_for_the_one_before_it() {
    let script = |peer: &mut Peer| {
        peer.status();
        presses(peer, &["shift", "h"]);
        let begin = Instant::now();
        let id = expect_keys(peer, &["i"]);
        let pause = begin.elapsed();
        assert!(pause >= Duration::from_millis(75), "{pause:?}");
        peer.succeed(&id, json!({}));
    };
    play(script, async |client| client.type_text("Hi").await.unwrap());
    play_blocking(script, |client| {
        let begin = Instant::now();
        client.type_text("Hi").unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(120));
    });
}

/// QEMU drops the keys for a guest that is stopped, and reports success.
#[test]
fn a_guest_that_is_stopped_misses_no_character() {
    let script = |peer: &mut Peer| {
        is_stopped(peer);
        peer.status();
        // The guest is stopped just before the command, so the key is pressed again.
        let id = expect_keys(peer, &["a"]);
        peer.send(r#"{"event": "STOP"}"#);
        peer.succeed(&id, json!({}));
        is_stopped(peer);
        is_stopped(peer);
        // Whether the client asks again depends on when it reads the event.
        peer.send(r#"{"event": "RESUME"}"#);
        let mut command = peer.command();
        while command["execute"] == "query-status" {
            peer.running(&command["id"]);
            command = peer.command();
        }
        let id = check_keys(&command, &["a"]);
        peer.succeed(&id, json!({}));
        presses(peer, &["b"]);
        // The key is in the queue, which stands still until the guest goes on.
        std::thread::sleep(Duration::from_millis(10));
        peer.send(r#"{"event": "STOP"}"#);
        is_stopped(peer);
        peer.status();
    };
    play(script, async |client| client.type_text("ab").await.unwrap());
    play_blocking(script, |client| client.type_text("ab").unwrap());
}

/// A guest that does not run reads no keys, so it is an error that the text was not typed.
#[test]
fn a_guest_that_stays_stopped_is_not_typed_to() {
    let script = |peer: &mut Peer| {
        while let id = peer.command()["id"].clone()
            && !id.is_null()
        {
            peer.succeed(&id, json!({"status": "paused", "running": false}));
        }
    };
    let check = |error: Error| {
        let Error::Timeout(timeout) = error else { panic!("{error:?}") };
        let WaitedFor::State(state) = &timeout.waited_for else { panic!("{timeout:?}") };
        assert!(state.starts_with("the guest to run"), "{timeout}");
    };
    play_with(
        &Options::new().calls_within(SOON),
        script,
        async |client| check(client.type_text("a").await.unwrap_err()),
        |client| check(client.type_text("a").unwrap_err()),
    );
}
