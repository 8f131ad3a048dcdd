//! Everything that a program may leave: the state of a QEMU, of its guest agent and of its directory,
//! as text that can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::{Raw, Result};
use qmp_vm::Workflows;
use qmp_vm::blocking::Agent;
use serde_json::{Value, json};

use crate::vm::{Vm, eventually};

/// The things that exist, by their kinds and names, and their states.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State(BTreeMap<String, String>);

/// A difference between two states.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    pub what: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Change {
    /// Returns whether something of this kind and name has been added.
    pub fn adds(&self, kind: &str, name: &str) -> bool {
        self.before.is_none() && self.what == format!("{kind} {name}")
    }

    /// Returns whether something has taken this value.
    pub fn sets(&self, what: &str, value: &str) -> bool {
        self.what == what && self.after.as_deref() == Some(value)
    }
}

impl State {
    /// Lists what is different in a later state. What a QEMU had that has ended is not listed.
    pub fn changes(&self, later: &Self) -> Vec<Change> {
        let has_ended = |prefix| later.0.contains_key(&format!("{prefix}QEMU "));
        let (vm, target) = (has_ended(""), has_ended("target: "));
        let is_moot = |change: &Change| {
            let ended = if change.what.starts_with("target: ") { target } else { vm };
            ended && change.after.is_none() && !change.what.starts_with("file ")
        };
        let keys: BTreeSet<_> = self.0.keys().chain(later.0.keys()).collect();
        let change = |what: &&String| Change {
            what: (*what).clone(),
            before: self.0.get(*what).cloned(),
            after: later.0.get(*what).cloned(),
        };
        let changes = keys.iter().map(change).filter(|change| change.before != change.after);
        changes.filter(|change| !is_moot(change)).collect()
    }

    fn add(&mut self, kind: &str, name: &str, value: impl Into<String>) {
        self.0.insert(format!("{kind} {name}"), value.into());
    }

    /// Adds the state of a QEMU, unless it has ended.
    pub fn add_vm(&mut self, vm: &mut Vm, prefix: &str) {
        let status = vm.child.try_wait().unwrap();
        let asked = match status {
            None => ask(&vm.test),
            Some(_) => Ok(Self::default()),
        };
        match asked {
            Ok(asked) if status.is_none() => {
                self.0.extend(
                    asked.0.into_iter().map(|(what, value)| (prefix.to_owned() + &what, value)),
                );
                self.add_open(vm.child.id(), prefix);
            }
            // A QEMU that was told to quit answers until it does.
            _ => {
                vm.has_ended();
                self.add(&format!("{prefix}QEMU"), "", "ended");
            }
        }
    }

    /// Adds the files and the sockets that a process has open.
    pub fn add_open(&mut self, process: u32, prefix: &str) {
        let mut count = BTreeMap::<String, usize>::new();
        for entry in std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten() {
            let Ok(target) = std::fs::read_link(entry.path()) else { continue };
            let target = target.display().to_string();
            let kind = if target.starts_with("socket:") { "sockets" } else { &target };
            if kind == "sockets" || kind.starts_with('/') {
                *count.entry(kind.to_owned()).or_default() += 1;
            }
        }
        for (kind, count) in count {
            self.add(&format!("{prefix}open"), &kind, count.to_string());
        }
    }

    /// Adds the files of a directory, without the sockets.
    pub fn add_files(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                self.add("file", &entry.file_name().to_string_lossy(), "");
            }
        }
    }

    /// Adds whether the guest's file systems are frozen.
    pub fn add_agent(&mut self, agent: &Agent) {
        let status = agent.execute(Raw::<Value>::new("guest-fsfreeze-status")).unwrap();
        self.add("file systems", "", status.as_str().unwrap_or_default());
    }

    /// Adds a process that descends from the program.
    pub fn add_process(&mut self, name: &str) {
        self.add("process", name, "");
    }
}

/// Queries a QEMU.
///
/// # Errors
/// QEMU has ended.
fn ask(vm: &Client) -> Result<State> {
    let mut state = State::default();
    let query = |name: &'static str, arguments: Value| -> Result<Value> {
        match vm.execute(Raw::<Value>::new(name).arguments(&arguments)) {
            // This machine does not have what is asked for.
            Err(error) if error.server().is_some() => Ok(Value::Null),
            reply => reply,
        }
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = |reply: Value| reply.as_array().cloned().unwrap_or_default();
    for set in each(query("query-fdsets", json!({}))?) {
        state.add("set", &set["fdset-id"].to_string(), "");
    }
    for job in each(query("query-jobs", json!({}))?) {
        state.add("job", &text(&job["id"]), text(&job["status"]));
    }
    for node in each(query("query-named-block-nodes", json!({"flat": true}))?) {
        let name = text(&node["node-name"]);
        // QEMU numbers those that have no name.
        let name = if name.starts_with('#') { "without a name" } else { &name };
        state.add("node", name, text(&node["drv"]));
        for bitmap in node["dirty-bitmaps"].as_array().into_iter().flatten() {
            // Those of jobs have no names.
            if let Some(bitmap) = bitmap["name"].as_str().filter(|name| !name.is_empty()) {
                state.add("bitmap", &format!("{name}/{bitmap}"), "");
            }
        }
    }
    for disk in each(query("query-block", json!({}))?) {
        if let Some(node) = disk.pointer("/inserted/node-name") {
            state.add("disk", &text(&disk["qdev"]), text(node));
        }
    }
    for (kind, path) in [("device", "/machine/peripheral"), ("object", "/objects")] {
        for property in each(query("qom-list", json!({"path": path}))?) {
            if text(&property["type"]).starts_with("child<") {
                state.add(kind, &text(&property["name"]), "");
            }
        }
    }
    for chardev in each(query("query-chardev", json!({}))?) {
        state.add("chardev", &text(&chardev["label"]), "");
    }
    for export in each(query("query-block-exports", json!({}))?) {
        state.add("export", &text(&export["id"]), "");
    }
    for device in each(query("query-memory-devices", json!({}))?) {
        let requested = device.pointer("/data/requested-size").map(Value::to_string);
        state.add("memory", &text(&device["data"]["id"]), requested.unwrap_or_default());
    }
    state.add("run", "state", text(&query("query-status", json!({}))?["status"]));
    let migration = text(&query("query-migrate", json!({}))?["status"]);
    state.add("migration", "", if migration.is_empty() { "none".to_owned() } else { migration });
    for capability in each(query("query-migrate-capabilities", json!({}))?) {
        let value = capability["state"].to_string();
        state.add("migration capability", &text(&capability["capability"]), value);
    }
    let parameters = query("query-migrate-parameters", json!({}))?;
    for name in ["downtime-limit", "max-bandwidth"] {
        state.add("migration parameter", name, parameters[name].to_string());
    }
    for line in vm.human_monitor("info network")?.into_string().lines() {
        let line = line.trim_start_matches(['\\', ' ']);
        if let Some((name, _)) = line.split_once(": ") {
            state.add("network", name, "");
        }
    }
    Ok(state)
}

/// Waits until QEMU has noticed that the program's connection has ended, and until the jobs that end
/// by themselves have, and the migrations of a source.
pub fn settle(vm: &mut Vm, is_source: bool) {
    let client = vm.test.clone();
    let query = |name: &'static str| client.execute(Raw::<Value>::new(name));
    eventually("QEMU to settle", || {
        if vm.child.try_wait().unwrap().is_some() {
            return true;
        }
        let (Ok(chardevs), Ok(jobs), Ok(migration), Ok(run)) = (
            query("query-chardev"),
            query("query-jobs"),
            query("query-migrate"),
            query("query-status"),
        ) else {
            // QEMU is ending.
            std::thread::sleep(Duration::from_millis(5));
            return false;
        };
        let is_monitor = |it: &&Value| it["filename"].to_string().contains("/qmp,server=on");
        let mut monitors = chardevs.as_array().into_iter().flatten().filter(is_monitor);
        let disconnected = monitors.all(|it| it["filename"].to_string().contains("disconnected:"));
        let ends = |job: &Value| {
            !matches!(job["status"].as_str(), Some("ready" | "concluded" | "paused" | "standby"))
        };
        let ending = jobs.as_array().into_iter().flatten().any(ends);
        let status = migration["status"].as_str().unwrap_or("none");
        let moves = is_source && matches!(status, "setup" | "active" | "device" | "cancelling");
        // The run state changes a moment after the migration's.
        let finishes = run["status"] == "finish-migrate" && status != "pre-switchover";
        disconnected && !ending && !moves && !finishes
    });
}
