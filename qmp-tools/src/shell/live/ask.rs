//! Asks the machine for what lives in it.

use std::sync::Arc;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    DeviceListProperties, HumanMonitorCommand, QomList, QomListProperties, QomListTypes,
    QueryBlockExports, QueryChardev, QueryJobs, QueryNamedBlockNodes, QueryQmpSchema,
};
use qmp_client::qmp::types::ObjectPropertyInfo;
use qmp_client::{Error, Request};

use super::Found;
use crate::shell::complete::{Candidate, Kind};
use crate::shell::session::Peer;
use crate::shell::types::{Builtin, BuiltinAgent, Owner, Schema, Types};

/// How long the machine may take for an answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// The limits on what is kept of an answer.
const CANDIDATES: usize = 10_000;
const LONGEST: usize = 1024;

/// A question to the machine.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Question {
    BlockNodes,
    Devices,
    Children(String),
    Properties(String),
    Jobs,
    Chardevs,
    Netdevs,
    Objects(String),
    Drivers,
    DriverProperties(String),
    Types,
    TypeProperties(String),
    Exports,
    Bitmaps(String),
    Buses,
    HumanCommands,
    HumanInfo,
}

impl Question {
    /// Returns the question about names of a kind.
    pub(super) fn about(kind: Kind<'_>) -> Option<Self> {
        Some(match kind {
            Kind::BlockNode => Self::BlockNodes,
            Kind::Device => Self::Devices,
            Kind::QomPath(path) => Self::Children(path.to_owned()),
            Kind::PathProperty(path) => Self::Properties(path.to_owned()),
            Kind::Job => Self::Jobs,
            Kind::Chardev => Self::Chardevs,
            Kind::Netdev => Self::Netdevs,
            Kind::Object(prefix) => Self::Objects(prefix.to_owned()),
            Kind::Driver => Self::Drivers,
            Kind::DriverProperty(driver) => Self::DriverProperties(driver.to_owned()),
            Kind::ObjectType => Self::Types,
            Kind::ObjectProperty(ty) => Self::TypeProperties(ty.to_owned()),
            Kind::Export => Self::Exports,
            Kind::Bitmap(node) => Self::Bitmaps(node.to_owned()),
            Kind::Bus => Self::Buses,
            Kind::Human(line) if line.trim_start().starts_with("info ") => Self::HumanInfo,
            Kind::Human(_) => Self::HumanCommands,
            Kind::Setting | Kind::SettingValue(_) => return None,
        })
    }

    /// Returns the question about properties.
    pub(super) fn of(owner: Owner<'_>) -> Option<Self> {
        let (question, name): (fn(String) -> Self, _) = match owner {
            Owner::Device(name) => (Self::DriverProperties, name),
            Owner::Type(name) => (Self::TypeProperties, name),
            Owner::Path(path) => (Self::Properties, path),
        };
        (!name.is_empty() && name.len() <= LONGEST).then(|| question(name.to_owned()))
    }

    /// Returns whether the answer depends on the program and not on what it does.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Drivers
                | Self::DriverProperties(_)
                | Self::Types
                | Self::TypeProperties(_)
                | Self::HumanCommands
                | Self::HumanInfo
        )
    }
}

/// Returns the schema of the machine, or the builtin one if it does not send its own.
pub(super) fn schema(client: &Client, peer: Peer) -> Schema {
    if peer == Peer::Agent {
        return BuiltinAgent.schema().clone();
    }
    // A schema is large, and an emulated machine may be slow.
    match client.call(QueryQmpSchema::new()).within(5 * DEADLINE).execute() {
        Ok(schema) if !schema.is_empty() => Schema::live(schema),
        _ => Builtin.schema().clone(),
    }
}

/// Asks the machine.
pub(super) fn ask(client: &Client, question: &Question) -> Result<Found, Error> {
    let candidates = match question {
        Question::BlockNodes => block_nodes(client)?,
        Question::Devices => children(client, "/machine/peripheral", "")?,
        Question::Children(path) => paths(client, path)?,
        Question::Properties(path) => {
            let listed = execute(client, QomList::new(path.clone()))?;
            return Ok(properties(listed.into_iter().filter(|one| link(&one.type_).is_none())));
        }
        Question::Jobs => {
            let jobs = execute(client, QueryJobs::new())?.into_iter();
            jobs.map(|job| Candidate::new(job.id, format!("{}, {}", job.type_, job.status)))
                .collect()
        }
        Question::Chardevs => {
            let devices = execute(client, QueryChardev::new())?.into_iter();
            devices.map(|device| Candidate::new(device.label, device.filename)).collect()
        }
        Question::Netdevs => netdevs(&human(client, "info network")?),
        Question::Objects(prefix) => children(client, "/objects", prefix)?,
        Question::Drivers => types(client, "device")?,
        Question::DriverProperties(driver) => {
            let listed = execute(client, DeviceListProperties::new(driver.clone()))?;
            return Ok(properties(listed.into_iter()));
        }
        Question::Types => types(client, "user-creatable")?,
        Question::TypeProperties(ty) => {
            let listed = execute(client, QomListProperties::new(ty.clone()))?;
            return Ok(properties(listed.into_iter()));
        }
        Question::Exports => {
            let exports = execute(client, QueryBlockExports::new())?.into_iter();
            exports
                .map(|one| Candidate::new(one.id, format!("{} of {}", one.type_, one.node_name)))
                .collect()
        }
        Question::Bitmaps(node) => bitmaps(client, node)?,
        Question::Buses => buses(&human(client, "info qtree")?),
        Question::HumanCommands => human_commands(&human(client, "help")?),
        Question::HumanInfo => human_commands(&human(client, "help info")?),
    };
    Ok(Found { candidates: limited(candidates), properties: None })
}

fn execute<R: Request>(client: &Client, request: R) -> Result<R::Return, Error> {
    client.call(request).within(DEADLINE).execute()
}

fn human(client: &Client, line: &str) -> Result<String, Error> {
    execute(client, HumanMonitorCommand::new(line))
}

fn limited(mut candidates: Vec<Candidate>) -> Arc<[Candidate]> {
    candidates
        .retain(|candidate| !candidate.insert.is_empty() && candidate.insert.len() <= LONGEST);
    candidates.truncate(CANDIDATES);
    for candidate in &mut candidates {
        if let Some((end, _)) = candidate.description.char_indices().nth(200) {
            candidate.description.truncate(end);
        }
    }
    candidates.into()
}

fn block_nodes(client: &Client) -> Result<Vec<Candidate>, Error> {
    let nodes = execute(client, QueryNamedBlockNodes::new().flat(true))?;
    let mut candidates: Vec<_> = nodes
        .into_iter()
        .filter_map(|node| {
            Some(Candidate::new(node.node_name?, format!("{} {}", node.drv, node.file)))
        })
        .collect();
    // Nodes that people named come first.
    candidates.sort_by_key(|one| (one.insert.starts_with('#'), one.insert.clone()));
    Ok(candidates)
}

fn bitmaps(client: &Client, name: &str) -> Result<Vec<Candidate>, Error> {
    let nodes = execute(client, QueryNamedBlockNodes::new())?.into_iter();
    let node = nodes.filter(|node| node.node_name.as_deref() == Some(name));
    let bitmaps = node.flat_map(|node| node.dirty_bitmaps.unwrap_or_default());
    let candidates = bitmaps.filter_map(|bitmap| {
        let state = if bitmap.recording { "records" } else { "does not record" };
        let description = format!("{state}, {} bytes dirty", bitmap.count);
        Some(Candidate::new(bitmap.name?, description))
    });
    Ok(candidates.collect())
}

/// Returns the type of a child or a link.
fn link(ty: &str) -> Option<&str> {
    let inner = ty.strip_prefix("child<").or_else(|| ty.strip_prefix("link<"))?;
    inner.strip_suffix('>')
}

/// Returns the children of an object whose types begin with a text.
fn children(client: &Client, path: &str, prefix: &str) -> Result<Vec<Candidate>, Error> {
    let listed = execute(client, QomList::new(path))?.into_iter();
    let children = listed.filter_map(|child| {
        let ty = child.type_.strip_prefix("child<")?.strip_suffix('>')?;
        ty.starts_with(prefix).then(|| Candidate::new(child.name, ty))
    });
    Ok(children.collect())
}

/// Returns the children of an object, and what it links to, as whole paths.
fn paths(client: &Client, path: &str) -> Result<Vec<Candidate>, Error> {
    let parent = path.trim_end_matches('/');
    let asked = if parent.is_empty() { "/" } else { parent };
    let listed = execute(client, QomList::new(asked))?.into_iter();
    let children = listed.filter_map(|child| {
        let ty = link(&child.type_)?.to_owned();
        let insert = format!("{parent}/{}", child.name);
        Some(Candidate { then: None, ..Candidate::new(insert, ty) })
    });
    Ok(children.collect())
}

fn types(client: &Client, implements: &str) -> Result<Vec<Candidate>, Error> {
    let request = QomListTypes::new().implements(implements).abstract_(false);
    let mut types = execute(client, request)?;
    types.sort_by(|a, b| a.name.cmp(&b.name));
    let parent = |parent: Option<String>| parent.map(|it| format!("a {it}")).unwrap_or_default();
    Ok(types.into_iter().map(|ty| Candidate::new(ty.name, parent(ty.parent))).collect())
}

fn properties(listed: impl Iterator<Item = ObjectPropertyInfo>) -> Found {
    let mut listed: Vec<ObjectPropertyInfo> = listed.take(CANDIDATES).collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let candidates = listed.iter().map(|property| {
        let mut description = property.type_.clone();
        if let Some(text) = &property.description {
            description += &format!("; {text}");
        }
        if let Some(default) = &property.default_value {
            description += &format!(" (default: {default})");
        }
        Candidate { then: Some('='), ..Candidate::new(property.name.clone(), description) }
    });
    Found { candidates: limited(candidates.collect()), properties: Some(listed.into()) }
}

/// Reads the network backends from what `info network` prints: `n0: index=0,type=user,...`, after a
/// backslash if a device uses it.
fn netdevs(text: &str) -> Vec<Candidate> {
    let lines = text.lines().filter_map(|line| {
        let (name, rest) = line.trim_start_matches([' ', '\\', '-']).split_once(": ")?;
        let ty = rest.split(',').find_map(|part| part.trim().strip_prefix("type="))?;
        (!matches!(ty, "nic" | "hubport")).then(|| Candidate::new(name, ty))
    });
    let mut candidates: Vec<_> = lines.collect();
    candidates.sort_by(|a, b| a.insert.cmp(&b.insert));
    candidates.dedup_by(|a, b| a.insert == b.insert);
    candidates
}

/// Reads the buses from what `info qtree` prints: `bus: pcie.0`, and its type on the next line.
fn buses(text: &str) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("bus: ") else { continue };
        let ty = lines.peek().and_then(|line| line.strip_prefix("type ")).unwrap_or_default();
        candidates.push(Candidate::new(name, ty));
    }
    candidates
}

/// Reads the commands of the human monitor from its help: `quit|q  -- quit the emulator`.
fn human_commands(text: &str) -> Vec<Candidate> {
    let lines = text.lines().filter_map(|line| {
        let (usage, description) = line.split_once(" -- ")?;
        let usage = usage.trim_start();
        let topic = usage.strip_prefix("info ").filter(|topic| !topic.starts_with('['));
        let name = topic.unwrap_or(usage).split_whitespace().next()?;
        let name = name.split('|').next()?;
        let insert = if topic.is_some() { format!("info {name}") } else { name.to_owned() };
        Some(Candidate::new(insert, description.trim()))
    });
    let mut candidates: Vec<_> = lines.collect();
    candidates.sort_by(|a, b| a.insert.cmp(&b.insert));
    candidates.dedup_by(|a, b| a.insert == b.insert);
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(candidates: &[Candidate]) -> Vec<String> {
        candidates.iter().map(|one| format!("{}: {}", one.insert, one.description)).collect()
    }

    #[test]
    fn names_are_read_from_the_human_monitor() {
        let network = "hub 0\r\n \\ hub0port1: type=hubport,\r\ne0: index=0,type=nic,model=e1000\r\n \
                       \\ n0: index=0,type=user,net=10.0.2.0\r\nn1: index=0,type=socket,\r\n";
        assert_eq!(shown(&netdevs(network)), ["n0: user", "n1: socket"]);
        let tree = "bus: main-system-bus\r\n  type System\r\n  dev: q35, id \"\"\r\n    bus: pcie.0\r\n      type PCIE\r\n";
        assert_eq!(shown(&buses(tree)), ["main-system-bus: System", "pcie.0: PCIE"]);
        let help = "announce_self [interfaces] [id] -- Trigger GARP/RARP announcements\r\nhelp|? [cmd] -- show the help\r\ninfo [subcommand] -- show various information\r\n";
        let names = ["announce_self", "help", "info"];
        assert_eq!(human_commands(help).iter().map(|one| &one.insert).collect::<Vec<_>>(), names);
        let info = "info balloon  -- show balloon information\r\ninfo block [-n] [-v] [device] -- show info\r\n";
        assert_eq!(
            shown(&human_commands(info)),
            ["info balloon: show balloon information", "info block: show info"]
        );
    }

    #[test]
    fn names_without_end_are_cut() {
        let many = (0..20_000).map(|n| Candidate::new(format!("n{n}"), "d".repeat(5000)));
        let kept = limited(many.chain([Candidate::new("x".repeat(5000), "")]).collect());
        assert_eq!(kept.len(), CANDIDATES);
        assert!(kept.iter().all(|one| one.description.len() <= 200));
    }
}
