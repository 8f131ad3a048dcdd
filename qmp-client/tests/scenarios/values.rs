//! Values that only a newer server has, which the types keep.

use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{QueryBlockJobs, QueryChardev, QueryMemoryDevices, QueryStatus};
use qmp_client::qmp::events::Watchdog;
use qmp_client::qmp::types::RunState;
use qmp_client::{Error, Subject};
use serde_json::json;

use super::{Front, PATIENCE, play_ready};

pub fn unknown_value_in_a_reply<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            peer.succeed(&id, json!({"status": "levitating", "running": true, "height": 3}));
            peer.status();
        },
        |client| {
            let status = client.execute(QueryStatus::new(), PATIENCE).unwrap().status;
            assert_eq!(status, RunState::Unknown("levitating".into()));
            let status = client.execute(QueryStatus::new(), PATIENCE).unwrap().status;
            assert_eq!(status, RunState::Running);
        },
    );
}

pub fn unknown_value_in_an_event<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-status");
            peer.send(r#"{"event": "WATCHDOG", "data": {"action": "bark"}}"#);
            peer.send(r#"{"event": "WATCHDOG_FED", "data": {"food": "ticks"}}"#);
            peer.running(&id);
            peer.status();
        },
        |client| {
            for _ in 0..2 {
                assert!(client.execute(QueryStatus::new(), PATIENCE).unwrap().running);
            }
            let event = client.event(PATIENCE).unwrap();
            let watchdog = event.decode::<Watchdog>().unwrap().unwrap();
            assert_eq!(watchdog.action.as_str(), "bark");
            let event = client.event(PATIENCE).unwrap().decode_any::<AnyEvent>().unwrap();
            assert!(matches!(event, AnyEvent::Unknown { .. }), "{event:?}");
        },
    );
}

/// A value that selects an unknown branch, and one that selects none.
pub fn unknown_branch<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-memory-devices");
            peer.succeed(&id, json!([{"type": "cloud", "data": {"size": 1}}]));
            let id = peer.expect("query-block-jobs");
            peer.succeed(
                &id,
                json!([{
                    "type": "defragment", "device": "d0", "len": 1, "offset": 1, "busy": false,
                    "paused": false, "speed": 0, "io-status": "ok", "ready": false,
                    "status": "running", "auto-finalize": true, "auto-dismiss": true,
                }]),
            );
        },
        |client| {
            let devices = client.execute(QueryMemoryDevices::new(), PATIENCE).unwrap();
            assert!(format!("{devices:?}").contains("cloud"), "{devices:?}");
            let jobs = client.execute(QueryBlockJobs::new(), PATIENCE).unwrap();
            assert!(format!("{jobs:?}").contains("defragment"), "{jobs:?}");
        },
    );
}

/// A missing member fails only this reply, and the error says where.
pub fn missing_member<F: Front>(drip: bool) {
    play_ready::<F>(
        drip,
        |peer| {
            let id = peer.expect("query-chardev");
            peer.succeed(&id, json!([{"label": "a", "filename": "b", "frontend-open": true}, {}]));
            peer.status();
        },
        |client| {
            let error = client.execute(QueryChardev::new(), PATIENCE).unwrap_err();
            let Error::Decode(mismatch) = &error else { panic!("{error:?}") };
            assert_eq!(mismatch.subject, Subject::Reply("query-chardev".into()));
            assert!(mismatch.error.path().starts_with("$[1]"), "{}", mismatch.error);
            assert!(client.execute(QueryStatus::new(), PATIENCE).unwrap().running);
        },
    );
}
