//! Devices that are unplugged, at the second attempt if need be.

use std::time::Instant;

use qmp_client::{Error, Result, WaitedFor};
use qmp_vm::{Unplugged, Workflows};
use serde_json::json;

use crate::peer::Peer;
use crate::{PATIENCE, SOON, play, play_blocking};

fn refuses(peer: &mut Peer, class: &str, desc: &str) {
    let id = peer.expect("device_del");
    let error = json!({"class": class, "desc": desc});
    peer.send(&json!({"error": error, "id": id}).to_string());
}

fn is_in_process(peer: &mut Peer) {
    refuses(peer, "GenericError", "Device d0 is already in the process of unplug");
}

fn is_busy(peer: &mut Peer) {
    let desc = "Hot-unplug failed: guest is busy (power indicator blinking)";
    refuses(peer, "GenericError", desc);
}

fn is_gone(peer: &mut Peer) {
    refuses(peer, "DeviceNotFound", "Device 'd0' not found");
}

fn accepts(peer: &mut Peer) {
    let id = peer.expect("device_del");
    peer.succeed(&id, json!({}));
}

fn reports(peer: &mut Peer, event: &str) {
    let data = json!({"device": "d0", "path": "/machine/peripheral/d0"});
    peer.send(&json!({"event": event, "data": data}).to_string());
}

fn unplugged(script: fn(&mut Peer), check: impl Fn(Result<Unplugged>)) {
    play(script, async |client| check(client.unplug("d0", PATIENCE).await));
    play_blocking(script, |client| check(client.unplug("d0", PATIENCE)));
}

/// The first request timed out, and the guest released the device later.
#[test]
fn an_unplug_that_timed_out_is_resumed() {
    let script = |peer: &mut Peer| {
        accepts(peer);
        is_in_process(peer);
        is_in_process(peer);
        reports(peer, "DEVICE_DELETED");
    };
    let check = |error: Error| {
        let Error::Timeout(timeout) = error else { panic!("{error:?}") };
        let state = WaitedFor::State("DEVICE_DELETED of device `d0`".into());
        assert_eq!((&timeout.waited_for, timeout.within), (&state, SOON));
    };
    play(script, async |client| {
        check(client.unplug("d0", SOON).await.unwrap_err());
        assert_eq!(client.unplug("d0", PATIENCE).await.unwrap(), Unplugged::Deleted);
    });
    play_blocking(script, |client| {
        check(client.unplug("d0", SOON).unwrap_err());
        assert_eq!(client.unplug("d0", PATIENCE).unwrap(), Unplugged::Deleted);
    });
}

/// QEMU says that the guest has been asked already, or is busy with the slot: try again.
#[test]
fn a_busy_guest_is_asked_again() {
    let begin = Instant::now();
    let deleted = |unplugged: Result<Unplugged>| assert_eq!(unplugged.unwrap(), Unplugged::Deleted);
    unplugged(
        |peer| {
            is_busy(peer);
            is_in_process(peer);
            is_busy(peer);
            accepts(peer);
            reports(peer, "DEVICE_DELETED");
        },
        deleted,
    );
    // The device was released between the two requests.
    unplugged(
        |peer| {
            is_in_process(peer);
            is_gone(peer);
        },
        deleted,
    );
    // The guest refuses what it was asked earlier.
    unplugged(
        |peer| {
            is_in_process(peer);
            is_in_process(peer);
            reports(peer, "DEVICE_UNPLUG_GUEST_ERROR");
        },
        |unplugged| assert_eq!(unplugged.unwrap(), Unplugged::Refused),
    );
    assert!(begin.elapsed() < PATIENCE);
}

/// The device does not exist, or its bus does not support unplugging.
#[test]
fn other_refusals_end_it() {
    let gone = |unplugged: Result<Unplugged>| {
        assert_eq!(unplugged.unwrap_err().server().unwrap().desc, "Device 'd0' not found");
    };
    unplugged(is_gone, gone);
    unplugged(
        |peer| refuses(peer, "GenericError", "Bus 'isa.0' does not support hotplugging"),
        |unplugged| assert_eq!(unplugged.unwrap_err().command(), Some("device_del")),
    );
}

/// The error says which device was waited for, and why the last request was refused.
#[test]
fn a_guest_that_stays_busy() {
    let script = |peer: &mut Peer| is_busy(peer);
    let check = |error: Error| {
        assert!(error.is_timeout(), "{error:?}");
        let report = error.report();
        assert!(report.contains("DEVICE_DELETED of device `d0`"), "{report}");
        assert!(report.contains("guest is busy"), "{report}");
    };
    play(script, async |client| check(client.unplug("d0", SOON).await.unwrap_err()));
    play_blocking(script, |client| check(client.unplug("d0", SOON).unwrap_err()));
}
