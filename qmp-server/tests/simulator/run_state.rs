//! Commands and guest actions that change the run state.

use qmp_server::Simulator;
use qmp_types::qmp::types::RunState;
use serde_json::json;

use crate::client::{Client, done, event, event_with, without_time};

#[test]
fn stop_and_cont_change_the_run_state() {
    let client = Client::new(&Simulator::new());
    assert_eq!(client.execute("stop", json!({})), [event("STOP"), done()]);
    assert_eq!(client.query("query-status"), json!({"running": false, "status": "paused"}));
    // A command without effect causes no event.
    assert_eq!(client.execute("stop", json!({})), [done()]);
    assert_eq!(client.execute("cont", json!({})), [event("RESUME"), done()]);
    assert_eq!(client.execute("cont", json!({})), [done()]);
    let reset = json!({"guest": false, "reason": "host-qmp-system-reset"});
    let replies = client.execute("system_reset", json!({}));
    assert_eq!(replies, [event_with("RESET", reset), done()]);
    assert_eq!(
        client.error("system_wakeup", json!({})),
        "Unable to wake up: guest is not in suspended state"
    );
}

#[test]
fn powerdown_ends_a_guest_that_obeys() {
    let simulator = Simulator::new();
    let client = Client::new(&simulator);
    let shutdown = event_with("SHUTDOWN", json!({"guest": true, "reason": "guest-shutdown"}));
    let replies = client.execute("system_powerdown", json!({}));
    assert_eq!(replies, [event("POWERDOWN"), done(), shutdown.clone()]);
    assert!(simulator.server().has_ended() && client.0.closed().is_some());

    let simulator = Simulator::builder().guest_obeys_powerdown(false).build();
    let client = Client::new(&simulator);
    let replies = client.execute("system_powerdown", json!({}));
    assert_eq!(replies, [event("POWERDOWN"), done()]);
    assert_eq!(simulator.run_state(), RunState::Running);

    let simulator = Simulator::builder().stays_after_shutdown(true).build();
    let client = Client::new(&simulator);
    let replies = client.execute("system_powerdown", json!({}));
    assert_eq!(replies, [event("POWERDOWN"), done(), shutdown, event("STOP")]);
    assert_eq!(simulator.run_state(), RunState::Shutdown);
    assert_eq!(client.error("cont", json!({})), "Resetting the Virtual Machine is required");
    assert_eq!(client.execute("system_reset", json!({})).len(), 2);
    assert_eq!(client.execute("cont", json!({})), [event("RESUME"), done()]);
}

#[test]
fn quit_disconnects_all_clients() {
    let simulator = Simulator::new();
    let (client, other) = (Client::new(&simulator), Client::new(&simulator));
    let shutdown = event_with("SHUTDOWN", json!({"guest": false, "reason": "host-qmp-quit"}));
    assert_eq!(client.execute("quit", json!({})), [shutdown.clone(), done()]);
    assert_eq!(other.read().into_iter().map(without_time).collect::<Vec<_>>(), [shutdown]);
    assert!(client.0.closed().is_some() && other.0.closed().is_some());
}

#[test]
fn the_watchdog_takes_the_action_that_was_set() {
    for (action, state, events) in [
        ("pause", RunState::Watchdog, ["WATCHDOG", "STOP"].as_slice()),
        ("none", RunState::Running, &["WATCHDOG"]),
        ("reset", RunState::Running, &["WATCHDOG", "RESET"]),
        ("shutdown", RunState::Running, &["WATCHDOG", "POWERDOWN", "SHUTDOWN"]),
        ("poweroff", RunState::Running, &["WATCHDOG"]),
    ] {
        let simulator = Simulator::new();
        let client = Client::new(&simulator);
        client.execute("watchdog-set-action", json!({"action": action}));
        simulator.fire_watchdog();
        let messages = client.read();
        let names: Vec<&str> =
            messages.iter().map(|message| message["event"].as_str().unwrap()).collect();
        assert_eq!(names, events, "{action}");
        assert_eq!(simulator.run_state(), state, "{action}");
        let ended = matches!(action, "shutdown" | "poweroff");
        assert_eq!(simulator.server().has_ended(), ended, "{action}");
    }
}

#[test]
fn only_wakeup_resumes_a_suspended_guest() {
    let simulator = Simulator::new();
    let client = Client::new(&simulator);
    simulator.suspend_guest();
    assert_eq!(without_time(client.read().remove(0)), event("SUSPEND"));
    assert_eq!(client.query("query-status"), json!({"running": false, "status": "suspended"}));
    assert_eq!(client.execute("cont", json!({})), [done()]);
    assert_eq!(client.execute("system_wakeup", json!({})), [event("WAKEUP"), done()]);
    assert_eq!(simulator.run_state(), RunState::Running);
}
