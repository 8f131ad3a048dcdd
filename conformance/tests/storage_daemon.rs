//! Every command that can be executed without arguments, on the storage daemon of every QEMU.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::fmt::Debug;

use conformance::{Outcome, Scratch, Session, Tally, Visit, beside_qemus, for_each_qmp_query};
use qmp_client::Raw;
use qmp_client::blocking::Launch;
use qmp_client::types::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Commands that are not executed, and why.
const SKIPPED: [(&str, &str); 3] = [
    ("quit", "ends the daemon"),
    ("nbd-server-stop", "ends the server that the queries after it look at"),
    ("qmp_capabilities", "was executed already, and is unknown from then on"),
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
            give_it_work(&mut session, &scratch);
            for_each_qmp_query(&mut Ask(&mut session));
            session.drain_events();
            drop(session);
            tally.refused().for_each(|(_, why)| println!("{server}: {why}"));
            assert!(tally.count(Outcome::Decoded) >= 10, "{}", tally.line(&server));
            (server, tally)
        }).collect();
        support::conclude(&tallies);
    }
}

struct Ask<'s, 't>(&'s mut Session<'t>);

impl Visit for Ask<'_, '_> {
    fn command<C>(&mut self, command: C)
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        if SKIPPED.iter().all(|(skipped, _)| *skipped != C::NAME) {
            // What is refused or lost has been counted.
            let _ = self.0.ask(command);
        }
    }
}

/// An export, a bitmap and a job, so that there is something to tell of.
fn give_it_work(session: &mut Session<'_>, scratch: &Scratch) {
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
