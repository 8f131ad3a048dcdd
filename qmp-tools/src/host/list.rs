//! The list of QEMUs, as a table and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::ask::{self, Answer};
use super::command_line::Program;
use super::endpoint::{Endpoint, Role};
use super::machine::Machine;
use super::survey::{Holder, Survey, Use, join};
use crate::terminal::inline;

/// One QEMU of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// The machine's name.
    name: Option<String>,
    /// The manager's name or number of the machine, if it differs from the name.
    id: Option<String>,
    uuid: Option<String>,
    pid: Option<u32>,
    /// The number of the user that the process belongs to.
    user: Option<u32>,
    program: &'static str,
    manager: Option<&'static str>,
    /// The state in QMP's terms; or `process-stopped`, `no-answer` and `not-running`; null if the
    /// machine has not been asked.
    state: Option<String>,
    version: Option<String>,
    monitors: Vec<Monitor>,
    #[serde(skip)]
    title: String,
}

/// One monitor of a QEMU.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Monitor {
    /// `qmp` or `human`.
    kind: &'static str,
    address: String,
    #[serde(rename = "use")]
    used: &'static str,
    holders: Vec<Client>,
    advice: Option<String>,
}

/// A client that holds a monitor. All members are null if the system does not tell.
#[derive(Debug, Serialize)]
struct Client {
    pid: Option<u32>,
    command: Option<String>,
    address: Option<String>,
    #[serde(skip)]
    shown: String,
}

/// Lists the QEMUs of a survey, and asks those whose monitor is free for their state.
#[must_use]
pub fn entries(survey: &Survey, within: Duration) -> Vec<Entry> {
    let uses = survey.uses();
    let answers = match survey.host().is_this() {
        true => ask::all(&survey.machines, &uses, within),
        false => vec![Answer::default(); survey.machines.len()],
    };
    let machines = survey.machines.iter().zip(uses).zip(answers);
    machines.map(|((machine, uses), answer)| entry(machine, &uses, answer)).collect()
}

fn entry(machine: &Machine, uses: &[Use], answer: Answer) -> Entry {
    let monitors: Vec<_> = machine.monitors().zip(uses).collect();
    Entry {
        title: machine.title().to_owned(),
        name: machine.name.clone(),
        id: machine.id.clone(),
        uuid: machine.uuid.clone(),
        pid: machine.process.as_ref().map(|process| process.pid),
        user: machine.user,
        program: match machine.program {
            Program::System => "qemu-system",
            Program::StorageDaemon => "qemu-storage-daemon",
        },
        manager: machine.manager.map(|manager| manager.name),
        state: state(machine, uses, &answer),
        version: answer.version,
        monitors: monitors.iter().map(|(monitor, used)| row(machine, monitor, used)).collect(),
    }
}

fn state(machine: &Machine, uses: &[Use], answer: &Answer) -> Option<String> {
    if machine.status.is_some_and(|status| status.is_stopped()) {
        return Some("process-stopped".to_owned());
    }
    if machine.process.is_none() && uses.iter().all(|used| *used == Use::Closed) {
        return Some("not-running".to_owned());
    }
    if answer.is_silent {
        return Some("no-answer".to_owned());
    }
    answer.state.clone()
}

fn row(machine: &Machine, monitor: &Endpoint, used: &Use) -> Monitor {
    let holders = match used {
        Use::Held(holders) => holders.iter().map(client).collect(),
        _ => Vec::new(),
    };
    let advice = || machine.manager?.advice(machine.title());
    let is_human = monitor.role == Role::Human;
    Monitor {
        kind: if is_human { "human" } else { "qmp" },
        address: monitor.to_string(),
        used: match used {
            Use::Free => "free",
            Use::Held(_) => "held",
            Use::AwaitsFirst => "awaits-first-client",
            Use::Connects => "connects",
            Use::Closed => "closed",
            Use::NotSocket => "not-a-socket",
            Use::Unknown => "unknown",
        },
        advice: if holders.is_empty() { None } else { advice() },
        holders,
    }
}

fn client(holder: &Holder) -> Client {
    let shown = holder.to_string();
    match holder {
        Holder::Process(process) => Client {
            pid: Some(process.pid),
            command: Some(process.command.clone()),
            address: None,
            shown,
        },
        Holder::Remote(address) => {
            Client { pid: None, command: None, address: Some(address.to_string()), shown }
        }
        Holder::Unknown => Client { pid: None, command: None, address: None, shown },
    }
}

/// The columns before the monitor.
const HEAD: [&str; 4] = ["NAME", "PID", "STATE", "VERSION"];

/// Formats a table, a row for each monitor.
#[must_use]
pub fn table(entries: &[Entry]) -> String {
    let mut rows = vec![(HEAD.map(str::to_owned), "MONITOR".to_owned())];
    for entry in entries {
        let mut cells = cells(entry);
        if entry.monitors.is_empty() {
            rows.push((cells.clone(), "none".to_owned()));
        }
        for monitor in &entry.monitors {
            rows.push((std::mem::take(&mut cells), describe(monitor)));
        }
    }
    let mut widths = [0; HEAD.len()];
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (cells, monitor) in &rows {
        for (width, cell) in widths.iter().zip(cells) {
            // Writing to a string does not fail.
            let _ = write!(text, "{cell:width$}  ");
        }
        text += monitor;
        text.push('\n');
    }
    text
}

fn cells(entry: &Entry) -> [String; HEAD.len()] {
    let optional =
        |text: Option<&str>| text.map_or("-".to_owned(), |text| inline(text).into_owned());
    let mut name = inline(&entry.title).into_owned();
    if let (Some(id), Some(_)) = (&entry.id, &entry.name) {
        name += &format!(" ({})", inline(id));
    }
    let state = entry.state.as_ref().map(|state| match state.as_str() {
        "process-stopped" => "process stopped".to_owned(),
        "no-answer" => "no answer".to_owned(),
        "not-running" => "not running".to_owned(),
        other => other.to_owned(),
    });
    let pid = entry.pid.map_or("-".to_owned(), |pid| pid.to_string());
    // Without the distributor's part.
    let version = entry.version.as_ref().and_then(|version| version.split(' ').next());
    [name, pid, optional(state.as_deref()), optional(version)]
}

fn describe(monitor: &Monitor) -> String {
    let kind = if monitor.kind == "human" { "human, " } else { "" };
    let used = match monitor.used {
        "held" => {
            let holders = monitor.holders.iter().map(|client| client.shown.as_str());
            format!("held by {}", join(holders))
        }
        "awaits-first-client" => "awaits its first client".to_owned(),
        "connects" => "connects to a program".to_owned(),
        "not-a-socket" => "not a socket".to_owned(),
        other => other.to_owned(),
    };
    let advice = monitor.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
    inline(&format!("{}  {kind}{used}{advice}", monitor.address)).into_owned()
}
