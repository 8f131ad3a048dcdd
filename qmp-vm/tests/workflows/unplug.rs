//! Devices that are unplugged, at the second attempt if need be.

use std::time::{Duration, Instant};

use qmp_client::{Error, Result, WaitedFor};
use qmp_vm::{Unplugged, Workflows};
use serde_json::json;

use crate::peer::Peer;
use crate::{PATIENCE, play, play_blocking};

/// A deadline that is expected to pass before a second request.
const SHORT: Duration = Duration::from_millis(400);
/// A deadline that is expected to pass after a second request.
const LONGER: Duration = Duration::from_millis(900);

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
        assert_eq!((&timeout.waited_for, timeout.within), (&state, SHORT));
    };
    play(script, async |client| {
        check(client.unplug("d0", SHORT).await.unwrap_err());
        assert_eq!(client.unplug("d0", PATIENCE).await.unwrap(), Unplugged::Deleted);
    });
    play_blocking(script, |client| {
        check(client.unplug("d0", SHORT).unwrap_err());
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
    // The device was released between the two requests, and its event arrives before or after the
    // second reply.
    unplugged(
        |peer| {
            is_in_process(peer);
            reports(peer, "DEVICE_DELETED");
        },
        deleted,
    );
    unplugged(
        |peer| {
            is_in_process(peer);
            is_gone(peer);
            reports(peer, "DEVICE_DELETED");
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
    play(script, async |client| check(client.unplug("d0", SHORT).await.unwrap_err()));
    play_blocking(script, |client| check(client.unplug("d0", SHORT).unwrap_err()));
}

/// A device that has disappeared holds its node until the event: `unplug` returned before, and the node
/// was in use.
#[test]
fn a_device_without_a_name_is_waited_for() {
    let script = |peer: &mut Peer| {
        is_in_process(peer);
        is_gone(peer);
    };
    let check = |error: Error| {
        assert!(error.is_timeout(), "{error:?}");
        let report = error.report();
        assert!(report.contains("DEVICE_DELETED of device `d0`"), "{report}");
        assert!(report.contains("not found"), "{report}");
    };
    play(script, async |client| check(client.unplug("d0", LONGER).await.unwrap_err()));
    play_blocking(script, |client| check(client.unplug("d0", LONGER).unwrap_err()));
}

fn is_used(peer: &mut Peer) {
    let id = peer.expect("blockdev-del");
    let error = json!({"class": "GenericError", "desc": "Node n0 is in use"});
    peer.send(&json!({"error": error, "id": id}).to_string());
    let id = peer.expect("query-named-block-nodes");
    peer.succeed(&id, json!([node("n0")]));
}

fn node(name: &str) -> serde_json::Value {
    json!({"file": "f", "node-name": name, "ro": false, "drv": "raw", "backing_file_depth": 0,
        "encrypted": false, "detect_zeroes": "off", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0,
        "iops_rd": 0, "iops_wr": 0, "write_threshold": 0, "active": true, "children": [],
        "cache": {"writeback": true, "direct": false, "no-flush": false},
        "image": {"filename": "f", "format": "raw", "virtual-size": 1}})
}

fn unplugged_disk(script: fn(&mut Peer), check: impl Fn(Result<Unplugged>)) {
    play(script, async |client| check(client.unplug_disk("d0", "n0", PATIENCE).await));
    play_blocking(script, |client| check(client.unplug_disk("d0", "n0", PATIENCE)));
}

#[test]
fn a_disk_is_unplugged_with_its_node() {
    let is =
        |expected| move |unplugged: Result<Unplugged>| assert_eq!(unplugged.unwrap(), expected);
    unplugged_disk(
        |peer| {
            accepts(peer);
            reports(peer, "DEVICE_DELETED");
            is_used(peer);
            is_used(peer);
            let id = peer.expect("blockdev-del");
            peer.succeed(&id, json!({}));
        },
        is(Unplugged::Deleted),
    );
    // The guest keeps the device, and the node stays.
    unplugged_disk(
        |peer| {
            accepts(peer);
            reports(peer, "DEVICE_UNPLUG_GUEST_ERROR");
        },
        is(Unplugged::Refused),
    );
    // Both are gone: an earlier attempt was not waited for.
    unplugged_disk(
        |peer| {
            is_gone(peer);
            let id = peer.expect("blockdev-del");
            let desc = "Failed to find node with node-name='n0'";
            let error = json!({"class": "GenericError", "desc": desc});
            peer.send(&json!({"error": error, "id": id}).to_string());
            let id = peer.expect("query-named-block-nodes");
            peer.succeed(&id, json!([node("other")]));
        },
        is(Unplugged::Deleted),
    );
    // Waiting would not help.
    unplugged_disk(
        |peer| {
            is_gone(peer);
            let id = peer.expect("blockdev-del");
            let desc = "Node n0 is not owned by the monitor";
            let error = json!({"class": "GenericError", "desc": desc});
            peer.send(&json!({"error": error, "id": id}).to_string());
            let id = peer.expect("query-named-block-nodes");
            peer.succeed(&id, json!([node("n0")]));
        },
        |unplugged| assert_eq!(unplugged.unwrap_err().command(), Some("blockdev-del")),
    );
}
