//! Migration between two simulated machines, and to a destination that does not exist.

use std::time::Duration;

use qmp_server::Simulator;
use serde_json::{Value, json};

use crate::client::{Client, done};

fn states(messages: &[Value]) -> Vec<String> {
    let text = |message: &Value| match message["event"].as_str() {
        Some("MIGRATION") => message["data"]["status"].as_str().map(str::to_owned),
        event => event.map(str::to_owned),
    };
    messages.iter().filter_map(text).collect()
}

fn with_events(client: &Client, more: &[&str]) {
    let names = more.iter().chain([&"events"]);
    let all: Vec<Value> = names.map(|name| json!({"capability": name, "state": true})).collect();
    let set = client.execute("migrate-set-capabilities", json!({"capabilities": all}));
    assert_eq!(set, [done()]);
}

#[test]
fn a_migration_to_nowhere_fails_and_the_guest_goes_on() {
    let client = Client::new(&Simulator::new());
    with_events(&client, &[]);
    let messages = client.execute("migrate", json!({"uri": "unix:/no/such/socket"}));
    assert_eq!(states(&messages), ["setup", "failing", "failed"]);
    let info = client.query("query-migrate");
    assert_eq!(info["status"], "failed");
    assert_eq!(
        info["error-desc"],
        "Failed to connect to '/no/such/socket': No such file or directory"
    );
    assert_eq!(client.query("query-status")["status"], "running");
}

#[test]
fn a_migration_pauses_before_the_switchover_and_is_cancelled() {
    let hour = Duration::from_secs(3600);
    let builder = Simulator::builder().manual_clock().sees_host(false);
    let simulator = builder.migration_takes(hour).build();
    let client = Client::new(&simulator);
    with_events(&client, &["pause-before-switchover"]);
    let to_file = json!({"uri": "file:state"});
    let messages = client.execute("migrate", to_file.clone());
    assert_eq!(states(&messages), ["setup", "active", "MIGRATION_PASS"]);
    assert_eq!(client.error("migrate", to_file.clone()), "There's a migration process in progress");
    simulator.advance(hour / 4);
    let ram = client.query("query-migrate")["ram"].clone();
    assert_eq!(ram["remaining"].as_u64(), Some((1 << 30) / 4 * 3));
    simulator.advance(hour);
    assert_eq!(states(&client.read()), ["STOP", "pre-switchover"]);
    assert_eq!(
        states(&client.execute("migrate_cancel", json!({}))),
        ["cancelling", "cancelled", "RESUME"]
    );

    client.execute("migrate", to_file);
    simulator.advance(hour);
    client.read();
    let go_on = json!({"state": "pre-switchover"});
    let messages = client.execute("migrate-continue", go_on);
    assert_eq!(states(&messages), ["device", "completed"]);
    assert_eq!(client.query("query-status")["status"], "postmigrate");
}

#[cfg(unix)]
#[test]
fn a_guest_moves_to_another_simulated_machine() {
    let path = std::env::temp_dir().join(format!("qmp-simulated-{}", std::process::id()));
    let uri = json!({"uri": format!("unix:{}", path.display())});
    let target_machine = Simulator::builder().incoming().build();
    let target = Client::new(&target_machine);
    assert_eq!(target.query("query-status")["status"], "inmigrate");
    with_events(&target, &[]);
    assert_eq!(target.execute("migrate-incoming", uri.clone()).last(), Some(&done()));
    let source = Client::new(&Simulator::new());
    with_events(&source, &[]);
    let messages = source.execute("migrate", uri);
    let expected = ["setup", "active", "MIGRATION_PASS", "STOP", "device", "completed"];
    assert_eq!(states(&messages), expected);
    let mut seen = Vec::new();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !states(&seen).contains(&"RESUME".to_owned()) {
        assert!(std::time::Instant::now() < deadline, "{seen:?}");
        seen.extend(target.read());
        std::thread::yield_now();
    }
    assert_eq!(target.query("query-status")["status"], "running");
    let _ = std::fs::remove_file(path);
}
