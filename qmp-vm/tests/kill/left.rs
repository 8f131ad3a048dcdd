//! The things that programs may leave when they are killed, in words that their pages use, and their
//! removal.

use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::{Address, Options, Raw};
use qmp_vm::Workflows;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::state::Change;
use crate::vm::PATIENCE;

/// Something that a program may leave. `shown` is its name on the program's page, and `name` its name
/// in the test.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    kind: Kind,
    name: &'static str,
    shown: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    // In the order in which they are removed.
    Suspended,
    Export,
    NbdServer,
    Job,
    Bitmap,
    Overlay,
    Node,
    Object,
    Chardev,
    Fdset,
    Descriptor,
    Netdev,
    Migration,
    Listening,
    Unclosed,
    Stopped,
    Settings,
    File,
    GuestFile,
    GuestProgram,
    Qemu,
    Off,
    Done,
}

const fn left(kind: Kind, name: &'static str, shown: &'static str) -> Left {
    Left { kind, name, shown }
}

/// A set of descriptors.
pub const FDSET: Left = left(Kind::Fdset, "", "");
/// A descriptor that was passed to the monitor by name.
pub const fn descriptor(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Descriptor, name, shown)
}
pub const fn node(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Node, name, shown)
}
/// The node of a device that is gone.
pub const fn unclosed(device: &'static str, shown: &'static str) -> Left {
    left(Kind::Unclosed, device, shown)
}
pub const fn object(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Object, name, shown)
}
pub const fn chardev(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Chardev, name, shown)
}
pub const fn netdev(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Netdev, name, shown)
}
pub const fn job(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Job, name, shown)
}
pub const fn export(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Export, name, shown)
}
pub const fn bitmap(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Bitmap, name, shown)
}
pub const fn overlay(name: &'static str, shown: &'static str) -> Left {
    left(Kind::Overlay, name, shown)
}
pub const fn file(name: &'static str, shown: &'static str) -> Left {
    left(Kind::File, name, shown)
}
/// The intended effect, which pages do not list.
pub const fn done(what: &'static str) -> Left {
    left(Kind::Done, what, "")
}
pub const NBD_SERVER: Left = left(Kind::NbdServer, "", "");
pub const STOPPED: Left = left(Kind::Stopped, "", "");
pub const SUSPENDED: Left = left(Kind::Suspended, "", "");
pub const SETTINGS: Left = left(Kind::Settings, "", "");
pub const MIGRATION: Left = left(Kind::Migration, "", "");
pub const LISTENING: Left = left(Kind::Listening, "", "");
pub const GUEST_FILE: Left = left(Kind::GuestFile, "", "");
pub const GUEST_PROGRAM: Left = left(Kind::GuestProgram, "", "");
pub const QEMU: Left = left(Kind::Qemu, "", "");
pub const OFF: Left = left(Kind::Off, "", "");

impl Left {
    /// Returns the words for it on a page; `None` if pages do not list it.
    pub fn words(&self) -> Option<String> {
        let shown = self.shown;
        Some(match self.kind {
            Kind::Suspended => "the suspended guest, which `system_wakeup` wakes".into(),
            Kind::Export => format!("the export `{shown}`, which `block-export-del` ends"),
            Kind::NbdServer => "the NBD server, which `nbd-server-stop` ends".into(),
            Kind::Job => format!("the job `{shown}`, which `job-cancel` and `job-dismiss` end"),
            Kind::Bitmap => {
                format!("the bitmap `{shown}`, which `block-dirty-bitmap-remove` removes")
            }
            Kind::Overlay => format!("the overlay `{shown}`, which `block-commit` removes"),
            Kind::Node | Kind::Unclosed => {
                format!("the node `{shown}`, which `blockdev-del` deletes")
            }
            Kind::Object => format!("the object `{shown}`, which `object-del` deletes"),
            Kind::Chardev => {
                format!("the character device `{shown}`, which `chardev-remove` removes")
            }
            Kind::Fdset => "a set of descriptors, which `remove-fd` removes".into(),
            Kind::Descriptor => format!("the descriptor `{shown}`, which `closefd` closes"),
            Kind::Netdev => format!("the network backend `{shown}`, which `netdev_del` deletes"),
            Kind::Migration => "the migration, which `migrate_cancel` ends".into(),
            Kind::Listening => {
                "a destination that waits for the migration, which `quit` ends".into()
            }
            Kind::Stopped => "the stopped guest, which `cont` resumes".into(),
            Kind::Settings => "the capabilities and parameters of migrations".into(),
            Kind::File => format!("the file `{shown}`"),
            Kind::GuestFile => "an open file of the guest agent".into(),
            Kind::GuestProgram => "the program in the guest".into(),
            Kind::Qemu => "the QEMU that was started".into(),
            Kind::Off => "a QEMU whose guest is off, which `quit` ends".into(),
            Kind::Done => return None,
        })
    }

    /// Returns whether a difference is this.
    pub fn explains(&self, change: &Change) -> bool {
        let Self { kind, name, .. } = self;
        let is = |what: &str| change.what == what;
        match kind {
            Kind::Suspended => change.sets("run state", "suspended"),
            Kind::Export => change.adds("export", name),
            // Its socket is open.
            Kind::NbdServer => is("open sockets"),
            Kind::Job => change.adds("job", name),
            Kind::Bitmap => change.adds("bitmap", name),
            Kind::Overlay => change.adds("node", name) || change.after.as_deref() == Some(*name),
            Kind::Node => change.adds("node", name) || change.adds("node", "without a name"),
            Kind::Object => change.adds("object", name),
            Kind::Chardev => change.adds("chardev", name),
            Kind::Fdset => change.before.is_none() && change.what.starts_with("set "),
            Kind::Descriptor => change.what.starts_with("open "),
            Kind::Unclosed => change.what == format!("device {name}") && change.after.is_none(),
            Kind::Netdev => change.adds("network", name),
            Kind::Migration => {
                let value = change.after.as_deref().unwrap_or_default();
                (is("migration ") && value != "completed")
                    || (is("run state") && matches!(value, "paused" | "finish-migrate"))
            }
            Kind::Listening => change.what.starts_with("target: "),
            Kind::Stopped => {
                ["paused", "postmigrate"].iter().any(|it| change.sets("run state", it))
            }
            Kind::Settings => {
                change.what.starts_with("migration capability ")
                    || change.what.starts_with("migration parameter ")
            }
            Kind::File => change.adds("file", name),
            Kind::GuestFile => change.what.starts_with("agent: open "),
            Kind::GuestProgram | Kind::Qemu => change.what.starts_with("process "),
            Kind::Off => change.sets("run state", "shutdown"),
            Kind::Done if name.contains('=') => {
                name.split_once('=').is_some_and(|(what, value)| change.sets(what, value))
            }
            Kind::Done => {
                change.what.starts_with(name) || change.what.starts_with(&format!("target: {name}"))
            }
        }
    }
}

/// The outcome of removing something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// Everything is as before.
    Done,
    /// The bench is not as before, and cannot be used again.
    Restart,
}

/// Removes what was found, in the order in which it can be removed.
pub fn remove(bench: &mut Bench, found: &[(Left, Change)]) -> Removal {
    let mut found = found.to_vec();
    found.sort_by_key(|(left, _)| left.kind);
    let stays = |left: &Left| {
        matches!(
            left.kind,
            Kind::Migration
                | Kind::Listening
                | Kind::Unclosed
                | Kind::Settings
                | Kind::GuestFile
                | Kind::Off
                | Kind::Done
        )
    };
    if found.iter().any(|(left, _)| left.kind == Kind::Migration) {
        resume(bench);
    }
    if found.iter().any(|(left, _)| stays(left)) {
        return Removal::Restart;
    }
    for (left, change) in found {
        left.remove(bench, &change);
    }
    Removal::Done
}

impl Left {
    /// Removes this by the means that the page names.
    fn remove(&self, bench: &mut Bench, change: &Change) {
        let name = self.name;
        let execute = |command, arguments| {
            let result = bench.execute(command, arguments);
            if let Err(error) = result {
                println!("cannot remove {change:?}: {}", error.report());
            }
        };
        match self.kind {
            Kind::Suspended => execute("system_wakeup", json!({})),
            Kind::Export => {
                execute("block-export-del", json!({"id": name, "mode": "hard"}));
                crate::vm::eventually("the export to end", || {
                    bench.execute("query-block-exports", json!({})).unwrap() == json!([])
                });
            }
            // The export may be missing, and the server may not.
            Kind::NbdServer => execute("nbd-server-stop", json!({})),
            Kind::Job => {
                let _ = bench.vm().test.cancel_job(name, PATIENCE);
            }
            Kind::Bitmap => {
                let (node, name) = name.split_once('/').unwrap();
                execute("block-dirty-bitmap-remove", json!({"node": node, "name": name}));
            }
            Kind::Overlay => {
                let commit = json!({"device": name, "job-id": "remove", "auto-dismiss": false});
                let commit = Raw::<Value>::new("block-commit").arguments(&commit);
                // Both the node and its use have changed.
                let _ = bench.vm().test.run_job(commit, "remove", PATIENCE);
            }
            Kind::Node if change.adds("node", name) => {
                execute("blockdev-del", json!({"node-name": name}));
            }
            Kind::Object => execute("object-del", json!({"id": name})),
            Kind::Chardev => execute("chardev-remove", json!({"id": name})),
            Kind::Fdset => {
                // A set that is in use goes with what uses it.
                let id = change.what.trim_start_matches("set ").parse::<i64>().unwrap();
                let _ = bench.execute("remove-fd", json!({"fdset-id": id}));
            }
            Kind::Descriptor => close(bench, name),
            Kind::Netdev => execute("netdev_del", json!({"id": name})),
            Kind::Stopped => execute("cont", json!({})),
            Kind::File => std::fs::remove_file(bench.files.path(name)).unwrap(),
            Kind::GuestProgram => bench.wait_for_programs(),
            Kind::Qemu => {
                crate::run::end(change);
                // Some of its threads may have to end, and the socket is open until then.
                let _ = std::fs::remove_file(bench.files.path("real"));
            }
            Kind::Node | Kind::Migration | Kind::Listening | Kind::Unclosed => {}
            Kind::Settings | Kind::GuestFile | Kind::Off | Kind::Done => {}
        }
    }
}

/// Ends the migration, after which the guest runs again where it was.
fn resume(bench: &Bench) {
    let _ = bench.execute("migrate_cancel", json!({}));
    crate::vm::eventually("the guest to run at the source", || {
        let status = bench.execute("query-status", json!({})).unwrap();
        status["status"] == "running"
    });
}

/// Closes a descriptor by its name, which only its own monitor knows.
fn close(bench: &Bench, name: &str) {
    let address: Address = format!("unix:{}", bench.vm().scratch.file("qmp")).parse().unwrap();
    let options = Options::new().wait_for_socket(Duration::from_secs(5));
    let monitor = Client::connect_with(&address, &options).unwrap();
    // It has been taken by the network backend, perhaps.
    let _ = monitor.execute(Raw::<Value>::new("closefd").arguments(&json!({"fdname": name})));
}

impl Left {
    /// Returns whether processes of the program may go on.
    pub fn keeps_processes(&self) -> bool {
        self.kind == Kind::Qemu
    }
}
