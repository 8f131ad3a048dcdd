//! Input events, step by step.

use std::time::{Duration, Instant};

use qmp_client::qmp::commands::InputSendEvent;
use qmp_client::qmp::types::{
    InputBtnEvent, InputBtnEventWrapper, InputButton, InputEvent, InputKeyEvent,
    InputKeyEventWrapper, KeyValue, QKeyCode, QKeyCodeWrapper,
};
use qmp_vm::Workflows;
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::{play, play_blocking};

const PACE: Duration = Duration::from_millis(20);

fn button(down: bool) -> InputEvent {
    let button = InputBtnEvent::new(InputButton::Left, down);
    InputEvent::Btn(InputBtnEventWrapper::new(button))
}

fn key(code: QKeyCode, down: bool) -> InputEvent {
    let key = KeyValue::Qcode(QKeyCodeWrapper::new(code));
    InputEvent::Key(InputKeyEventWrapper::new(InputKeyEvent::new(key, down)))
}

fn steps(steps: &[&[InputEvent]]) -> Vec<InputSendEvent> {
    steps.iter().map(|events| InputSendEvent::new(events.to_vec())).collect()
}

/// Expects events: the name of a key or a button, with `+` if it is pressed.
fn expects(peer: &mut Peer, expected: &[&str]) -> Value {
    let command = peer.command();
    assert_eq!(command["execute"], "input-send-event", "{command}");
    let events = command["arguments"]["events"].as_array().unwrap();
    let name = |event: &Value| {
        let data = &event["data"];
        let name = data["button"].as_str().or(data["key"]["data"].as_str()).unwrap();
        format!("{}{name}", if data["down"] == true { "+" } else { "-" })
    };
    assert_eq!(events.iter().map(name).collect::<Vec<_>>(), expected);
    command["id"].clone()
}

fn takes(peer: &mut Peer, expected: &[&str]) {
    let id = expects(peer, expected);
    peer.succeed(&id, json!({}));
}

fn refuses(peer: &mut Peer, expected: &[&str]) {
    let id = expects(peer, expected);
    let error = json!({"class": "GenericError", "desc": "VM not running"});
    peer.send(&json!({"error": error, "id": id}).to_string());
}

/// The guest has the time to read each step, and what was not released is released in the end.
#[test]
fn every_key_is_released() {
    let script = |peer: &mut Peer| {
        peer.status();
        takes(peer, &["+ctrl", "+left"]);
        let begin = Instant::now();
        takes(peer, &["-left"]);
        assert!(begin.elapsed() >= PACE - Duration::from_millis(5));
        takes(peer, &["+shift"]);
        takes(peer, &["-shift", "-ctrl"]);
        // Pressed and released at once: nothing is left to release.
        peer.status();
        takes(peer, &["+left", "-left"]);
    };
    let all = || {
        steps(&[
            &[key(QKeyCode::Ctrl, true), button(true)],
            &[button(false)],
            &[key(QKeyCode::Shift, true)],
        ])
    };
    let click = || steps(&[&[button(true), button(false)]]);
    play(script, async |client| {
        client.send_input(all(), PACE).await.unwrap();
        client.send_input(click(), PACE).await.unwrap();
    });
    play_blocking(script, |client| {
        let begin = Instant::now();
        client.send_input(all(), PACE).unwrap();
        client.send_input(click(), PACE).unwrap();
        assert!(begin.elapsed() >= 5 * PACE);
    });
}

/// A step fails, and what the earlier ones pressed does not stay pressed.
#[test]
fn every_key_is_released_after_a_failure() {
    let script = |peer: &mut Peer| {
        peer.status();
        takes(peer, &["+ctrl"]);
        refuses(peer, &["+left"]);
        // Also what the step that failed may have pressed.
        takes(peer, &["-left", "-ctrl"]);
        takes(peer, &["-ctrl"]);
        peer.status();
    };
    let press = || steps(&[&[key(QKeyCode::Ctrl, true)], &[button(true)]]);
    let status = || qmp_client::Raw::<Value>::new("query-status");
    play(script, async |client| {
        let error = client.send_input(press(), PACE).await.unwrap_err();
        assert_eq!(error.server().unwrap().desc, "VM not running");
        client.execute(status()).await.unwrap();
    });
    play_blocking(script, |client| {
        let error = client.send_input(press(), PACE).unwrap_err();
        assert_eq!(error.server().unwrap().desc, "VM not running");
        client.execute(status()).unwrap();
    });
}

/// The guest is stopped in the moment in which the step is sent: it is sent again.
#[test]
fn a_guest_that_is_stopped_misses_no_step() {
    let script = |peer: &mut Peer| {
        peer.status();
        let id = expects(peer, &["-left"]);
        peer.send(r#"{"event": "STOP"}"#);
        let error = json!({"class": "GenericError", "desc": "VM not running"});
        peer.send(&json!({"error": error, "id": id}).to_string());
        peer.status();
        takes(peer, &["-left"]);
    };
    let release = || steps(&[&[button(false)]]);
    play(script, async |client| client.send_input(release(), PACE).await.unwrap());
    play_blocking(script, |client| client.send_input(release(), PACE).unwrap());
}
