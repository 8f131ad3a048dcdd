//! Every command that can be executed without arguments, on several machines of every QEMU.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::fmt::Debug;

use conformance::{Scratch, Session, Tally, Visit, for_each_qmp_query, qemus};
use qmp_client::Raw;
use qmp_client::types::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::machines::{self, Inventory};

/// Commands that are not executed, on which machine, and why.
const SKIPPED: [(&str, Option<&str>, &str); 5] = [
    ("quit", None, "ends QEMU"),
    ("nbd-server-stop", None, "ends the server that the queries after it look at"),
    ("x-colo-lost-heartbeat", None, "takes over from a machine that is not there"),
    ("qmp_capabilities", None, "was executed already, and is unknown from then on"),
    ("rtc-reset-reinjection", Some("none"), "QEMU 10.0 and 11.1 take it for an x86 machine: abort"),
];

/// How many of the commands that a QEMU has must have been answered, at the least.
const ENOUGH: usize = 70;

#[test]
fn qemu_is_there_if_it_is_required() {
    assert!(!support::required() || cfg!(qemu), "QMP_REQUIRE_QEMU is set, and there is no QEMU");
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
                    title => give_it_work(&mut session, title, &scratch),
                }
                for_each_qmp_query(&mut Ask(&mut session, machine.title));
            }
            tally.refused().for_each(|(_, why)| println!("{server}: {why}"));
            assert!(tally.count(conformance::Outcome::Decoded) >= ENOUGH, "{}", tally.line(&server));
            (server, tally)
        }).collect();
        support::conclude(&tallies);
    }
}

struct Ask<'s, 't>(&'s mut Session<'t>, &'s str);

impl Visit for Ask<'_, '_> {
    fn command<C>(&mut self, command: C)
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        let is_here = |machine: &Option<&str>| machine.is_none_or(|machine| machine == self.1);
        if !SKIPPED.iter().any(|(name, machine, _)| *name == C::NAME && is_here(machine)) {
            // What is refused or lost has been counted.
            let _ = self.0.ask(command);
        }
    }
}

/// Jobs, bitmaps, exports and the like, so that there is something to tell of.
fn give_it_work(session: &mut Session<'_>, machine: &str, scratch: &Scratch) {
    let target = json!({"driver": "null-co", "node-name": "target", "size": 8 << 20});
    let mut set_up: Vec<(&str, Value)> = vec![("blockdev-add", target)];
    if machine == "pc" {
        let path = scratch.file("nbd");
        let address = json!({"type": "unix", "data": {"path": path}});
        let socket = json!({"driver": "null-co", "node-name": "shared", "size": 1 << 20});
        set_up.extend([
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
    for (command, arguments) in set_up {
        let result = session.client().execute(Raw::<Value>::new(command).arguments(&arguments));
        result.unwrap_or_else(|error| panic!("{machine}: {command}: {}", error.report()));
    }
}

/// Migrates the machine to nowhere.
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
