//! Jobs, the migration and the watchdog, on a clock that the test moves.

use std::time::{Duration, Instant};

use qmp_server::Simulator;
use serde_json::{Value, json};

use crate::client::{Client, done, event_with};

const MINUTE: Duration = Duration::from_secs(60);

fn names(messages: &[Value]) -> Vec<&str> {
    messages.iter().filter_map(|message| message["event"].as_str()).collect()
}

fn copied(client: &Client, command: &str) {
    let target = json!({"driver": "null-co", "node-name": "copy", "size": 8_u64 << 30});
    assert_eq!(client.execute("blockdev-add", target), [done()]);
    let job = json!({"job-id": "job", "device": "disk0", "target": "copy", "sync": "full"});
    let messages = client.execute(command, job);
    assert_eq!(messages.last(), Some(&done()), "{messages:?}");
}

#[test]
fn a_job_takes_an_hour_that_passes_at_once() {
    let begin = Instant::now();
    // Eight gibibytes in an hour.
    let speed = (8 << 30) / 3600;
    let simulator = Simulator::builder().manual_clock().disk_speed(speed).build();
    let client = Client::new(&simulator);
    copied(&client, "blockdev-backup");
    simulator.advance(30 * MINUTE);
    let job = client.query("query-jobs")[0].clone();
    assert_eq!((&job["status"], &job["type"]), (&json!("running"), &json!("backup")));
    let progress = job["current-progress"].as_u64().unwrap();
    assert!(progress.abs_diff(4 << 30) < 1 << 20, "{progress}");
    assert!(client.read().is_empty());

    // A paused job does not progress.
    assert_eq!(client.execute("job-pause", json!({"id": "job"})).len(), 2);
    simulator.advance(100 * MINUTE);
    assert_eq!(client.query("query-jobs")[0]["current-progress"], progress);
    client.execute("job-resume", json!({"id": "job"}));
    simulator.advance(29 * MINUTE);
    assert!(client.read().is_empty());
    simulator.advance(2 * MINUTE);
    let messages = client.read();
    assert_eq!(
        names(&messages),
        [
            "JOB_STATUS_CHANGE",
            "JOB_STATUS_CHANGE",
            "BLOCK_JOB_COMPLETED",
            "JOB_STATUS_CHANGE",
            "JOB_STATUS_CHANGE"
        ]
    );
    assert_eq!(messages[2]["data"]["offset"], 8_u64 << 30);
    assert_eq!(simulator.elapsed(), 161 * MINUTE);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_job_fails_at_40_percent() {
    let builder = Simulator::builder().manual_clock().disk_speed(8 << 20);
    let simulator = builder.fail_job("job", 40, "No space left on device").build();
    let client = Client::new(&simulator);
    copied(&client, "blockdev-mirror");
    simulator.advance(60 * MINUTE);
    let messages = client.read();
    let completed =
        messages.iter().find(|message| message["event"] == "BLOCK_JOB_COMPLETED").unwrap();
    let data = &completed["data"];
    assert_eq!(data["error"], "No space left on device");
    assert_eq!(data["offset"], (8_u64 << 30) * 40 / 100);
    assert_eq!(client.query("query-jobs"), json!([]));
}

#[test]
fn a_mirror_becomes_ready_and_moves_the_disk() {
    let simulator = Simulator::builder().manual_clock().disk_speed(8 << 20).build();
    let client = Client::new(&simulator);
    copied(&client, "blockdev-mirror");
    let in_progress = "Job 'job' in state 'running' cannot accept command verb 'complete'";
    assert_eq!(client.error("job-complete", json!({"id": "job"})), in_progress);
    simulator.advance(60 * MINUTE);
    assert_eq!(names(&client.read()), ["JOB_STATUS_CHANGE", "BLOCK_JOB_READY"]);
    client.execute("job-complete", json!({"id": "job"}));
    assert_eq!(client.query("query-block")[0]["inserted"]["node-name"], "copy");
    assert_eq!(client.execute("blockdev-del", json!({"node-name": "disk0"})), [done()]);
}

#[test]
fn the_watchdog_fires_after_its_time_and_acts() {
    let simulator = Simulator::builder().manual_clock().build();
    let client = Client::new(&simulator);
    client.execute("watchdog-set-action", json!({"action": "pause"}));
    simulator.start_watchdog(30 * MINUTE);
    simulator.advance(29 * MINUTE);
    assert!(client.read().is_empty());
    simulator.advance(MINUTE);
    assert_eq!(names(&client.read()), ["WATCHDOG", "STOP"]);
    assert_eq!(client.query("query-status")["status"], "watchdog");
    simulator.start_watchdog(MINUTE);
    simulator.stop_watchdog();
    simulator.advance(2 * MINUTE);
    assert!(client.read().is_empty());
}

#[test]
fn jobs_follow_the_real_clock_otherwise() {
    let simulator = Simulator::builder().disk_speed(80 << 30).build();
    let client = Client::new(&simulator);
    copied(&client, "blockdev-backup");
    let deadline = Instant::now() + MINUTE;
    let mut seen = Vec::new();
    while !names(&seen).contains(&"BLOCK_JOB_COMPLETED") {
        assert!(Instant::now() < deadline, "{seen:?}");
        seen.extend(client.read());
        std::thread::yield_now();
    }
}

#[test]
fn transactions_are_atomic() {
    let simulator = Simulator::builder().manual_clock().disk_speed(8 << 20).build();
    let client = Client::new(&simulator);
    for name in ["t0", "t1"] {
        let target = json!({"driver": "null-co", "node-name": name, "size": 8_u64 << 30});
        client.execute("blockdev-add", target);
    }
    let bitmap = |name: &str| json!({"type": "block-dirty-bitmap-add", "data": {"node": "disk0", "name": name}});
    let backup = |id: &str, target: &str| json!({"type": "blockdev-backup", "data": {"job-id": id, "device": "disk0", "target": target, "sync": "full"}});
    let bitmaps = || client.query("query-block")[0]["inserted"].get("dirty-bitmaps").cloned();
    let failing = json!({"actions": [bitmap("b"), backup("j", "t0"), backup("k", "nope")]});
    let messages = client.execute("transaction", failing);
    // The first job was created, and undone.
    assert_eq!(names(&messages), ["JOB_STATUS_CHANGE", "JOB_STATUS_CHANGE"]);
    let desc = "Cannot find device='nope' nor node-name='nope'";
    assert_eq!(messages[2]["error"]["desc"], desc);
    assert_eq!((bitmaps(), client.query("query-jobs")), (None, json!([])));
    let good = json!({"actions": [bitmap("b"), backup("j", "t0")]});
    assert_eq!(client.execute("transaction", good).last(), Some(&done()));
    assert_eq!(bitmaps().unwrap()[0]["name"], "b");
    assert_eq!(client.query("query-jobs")[0]["id"], "j");
    let cancelled = client.execute("job-cancel", json!({"id": "j"}));
    let event =
        json!({"type": "backup", "device": "j", "len": 8_u64 << 30, "offset": 0, "speed": 0});
    assert!(cancelled.contains(&event_with("BLOCK_JOB_CANCELLED", event)), "{cancelled:?}");
}

/// Returns the microseconds from the first time to the second.
fn between(from: &Value, to: &Value) -> i64 {
    let micros = |event: &Value| {
        let time = &event["timestamp"];
        time["seconds"].as_i64().unwrap() * 1_000_000 + time["microseconds"].as_i64().unwrap()
    };
    micros(to) - micros(from)
}

/// Once, events were stamped and limited by real time, whatever the test's clock said: two events
/// that were half an hour apart had the same timestamp, and the second one came a second later.
#[test]
fn timestamps_and_rate_limits_follow_the_clock() {
    let begin = Instant::now();
    let simulator = Simulator::builder().manual_clock().build();
    let client = Client::new(&simulator);
    client.execute("watchdog-set-action", json!({"action": "none"}));
    simulator.fire_watchdog();
    let first = client.read().remove(0);
    simulator.start_watchdog(30 * MINUTE);
    simulator.advance(60 * MINUTE);
    let later = client.read();
    assert_eq!(names(&later), ["WATCHDOG"]);
    assert_eq!(between(&first, &later[0]), 30 * 60 * 1_000_000);

    // Of a flood, the first event is sent at once, and the last one at the end of the second.
    for _ in 0..3 {
        simulator.advance(Duration::from_millis(100));
        simulator.fire_watchdog();
    }
    let flood = client.read();
    assert_eq!(names(&flood), ["WATCHDOG"]);
    simulator.advance(Duration::from_millis(799));
    assert!(client.read().is_empty());
    // Whether or not the clock moves far beyond it.
    simulator.start_watchdog(10 * MINUTE);
    simulator.advance(20 * MINUTE);
    let later = client.read();
    assert_eq!(names(&later), ["WATCHDOG", "WATCHDOG"]);
    assert_eq!(between(&flood[0], &later[0]), 200_000);
    assert_eq!(between(&flood[0], &later[1]), 10 * 60 * 1_000_000 + 999_000);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}
