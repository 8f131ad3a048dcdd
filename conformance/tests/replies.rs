//! Executes every command that needs no arguments, on several virtual machines of every QEMU.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use conformance::{Scratch, Session, Tally, for_each_qmp_query, qemus};
use qmp_client::Raw;
use serde_json::{Value, json};
use support::machines::{self, Inventory};
use support::queries::ExecuteEach;

/// The minimum number of commands that a QEMU has to execute successfully.
const MIN_DECODED: usize = 70;

#[test]
fn qemu_is_found_if_it_is_required() {
    assert!(!support::required() || cfg!(qemu), "QMP_REQUIRE_QEMU is set, but no QEMU was found");
}

needs! { qemu,
    fn every_reply_is_decoded_without_loss() {
        let tallies: Vec<_> = qemus().iter().map(|qemu| {
            let inventory = Inventory::of(qemu).unwrap();
            let server = support::label("QEMU", &inventory.version.qemu);
            let mut tally = Tally::default();
            let scratch = Scratch::new();
            for machine in machines::all(&scratch).iter().filter(|one| inventory.has(one)) {
                let session = inventory.start(qemu, machine, &server, &mut tally);
                let mut session = session.unwrap_or_else(|error| panic!("{server}: {error}"));
                match machine.title {
                    "migrated pc" => migrate(&mut session),
                    title => set_up(&mut session, title, &scratch),
                }
                for_each_qmp_query(&mut ExecuteEach { session: &mut session, machine: machine.title });
            }
            tally.refused().for_each(|(_, error)| println!("{server}: {error}"));
            assert!(tally.count(conformance::Outcome::Decoded) >= MIN_DECODED, "{}", tally.line(&server));
            (server, tally)
        }).collect();
        support::conclude(&tallies);
    }
}

/// Adds jobs, bitmaps, exports and the like, so that replies about them are not empty.
fn set_up(session: &mut Session<'_>, machine: &str, scratch: &Scratch) {
    let target = json!({"driver": "null-co", "node-name": "target", "size": 8 << 20});
    let mut commands: Vec<(&str, Value)> = vec![("blockdev-add", target)];
    if machine == "pc" {
        let path = scratch.file("nbd");
        let address = json!({"type": "unix", "data": {"path": path}});
        let socket = json!({"driver": "null-co", "node-name": "shared", "size": 1 << 20});
        commands.extend([
            ("block-dirty-bitmap-add", json!({"node": "disk0", "name": "bitmap0"})),
            ("blockdev-add", socket),
            ("nbd-server-start", json!({"addr": address})),
            ("block-export-add", json!({"type": "nbd", "id": "export0", "node-name": "shared"})),
            (
                "blockdev-mirror",
                json!({
                    "job-id": "mirror0", "device": "disk0", "target": "target", "sync": "full",
                    "speed": 1,
                }),
            ),
            ("block-latency-histogram-set", json!({"id": "idehd", "boundaries": [10, 50, 100]})),
            ("set_link", json!({"name": "nic0", "up": false})),
        ]);
    }
    for (command, arguments) in commands {
        let result = session.client().execute(Raw::<Value>::new(command).arguments(&arguments));
        result.unwrap_or_else(|error| panic!("{machine}: {command}: {}", error.report()));
    }
}

/// Migrates the machine, and discards its state.
fn migrate(session: &mut Session<'_>) {
    let capabilities = json!({"capabilities": [{"capability": "events", "state": true}]});
    for (command, arguments) in [
        ("migrate-set-capabilities", capabilities),
        ("migrate", json!({"uri": "exec:cat >/dev/null"})),
    ] {
        let result = session.client().execute(Raw::<Value>::new(command).arguments(&arguments));
        result.unwrap_or_else(|error| panic!("{command}: {}", error.report()));
    }
    let ended = |data: &Value| data["status"] == "completed" || data["status"] == "failed";
    let end = session.wait("MIGRATION", ended).unwrap();
    assert_eq!(end["status"], "completed");
}
