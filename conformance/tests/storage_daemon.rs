//! Executes every command that needs no arguments, on the storage daemon of every QEMU.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::fmt::Debug;

use conformance::{Outcome, Scratch, Session, Tally, Visit, beside_qemus, for_each_qmp_query};
use qmp_client::{Command, Raw};
use qmp_vm::Launch;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Commands that are not executed, and the reasons.
const SKIPPED: [(&str, &str); 3] = [
    ("quit", "ends the daemon"),
    ("nbd-server-stop", "ends the server that later queries report"),
    ("qmp_capabilities", "was executed already, and is unknown after negotiation"),
];

needs! { storage_daemon,
    fn every_reply_is_decoded_without_loss() {
        let daemons = beside_qemus("qemu-storage-daemon");
        let tallies: Vec<_> = daemons.iter().map(|daemon| {
            let mut tally = Tally::default();
            let scratch = Scratch::new();
            let image = scratch.image("disk", 1 << 20);
            let launch = Launch::new(daemon)
                .args(["--blockdev", &format!("driver=file,node-name=disk0,filename={image}")])
                .args(["--object", "iothread,id=io0"])
                .args(["--object", "secret,id=secret0,data=letmein1"])
                .monitor_args(["--chardev", "socket,id=c,fd=0", "--monitor", "chardev=c"]);
            let mut session = Session::start(launch, "storage daemon", &mut tally).unwrap();
            let server = support::label("storage daemon", &session.client().version().qemu);
            set_up(&mut session, &scratch);
            for_each_qmp_query(&mut ExecuteEach(&mut session));
            session.drain_events();
            drop(session);
            tally.refused().for_each(|(_, error)| println!("{server}: {error}"));
            assert!(tally.count(Outcome::Decoded) >= 10, "{}", tally.line(&server));
            (server, tally)
        }).collect();
        support::conclude(&tallies);
    }
}

struct ExecuteEach<'s, 't>(&'s mut Session<'t>);

impl Visit for ExecuteEach<'_, '_> {
    fn command<C>(&mut self, command: C)
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        if SKIPPED.iter().all(|(skipped, _)| *skipped != C::NAME) {
            // The session has counted errors and losses.
            let _ = self.0.ask(command);
        }
    }
}

/// Adds an export, a bitmap and a job, so that replies about them are not empty.
fn set_up(session: &mut Session<'_>, scratch: &Scratch) {
    let address = json!({"type": "unix", "data": {"path": scratch.file("nbd")}});
    for (command, arguments) in [
        ("nbd-server-start", json!({"addr": address})),
        ("block-export-add", json!({"type": "nbd", "id": "export0", "node-name": "disk0"})),
        ("block-dirty-bitmap-add", json!({"node": "disk0", "name": "bitmap0"})),
        ("blockdev-add", json!({"driver": "null-co", "node-name": "target", "size": 1 << 20})),
        (
            "blockdev-mirror",
            json!({
                "job-id": "mirror0", "device": "disk0", "target": "target", "sync": "full",
            }),
        ),
    ] {
        let result = session.client().execute(Raw::<Value>::new(command).arguments(&arguments));
        result.unwrap_or_else(|error| panic!("{command}: {}", error.report()));
    }
    session.wait("BLOCK_JOB_READY", |data| data["device"] == "mirror0").unwrap();
}
