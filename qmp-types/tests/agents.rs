//! Replies of guest agents, old ones above all: an agent is part of the guest, and as old as that.

#![cfg(feature = "qga")]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::{BTreeMap, BTreeSet};

use qmp_types::qga::commands;
use qmp_types::{Command, QmpError, decode};
use serde_json::Value;

const AGENTS: &str = include_str!("agents.txt");

/// A reply in the file.
#[derive(Debug)]
struct Reply<'t> {
    /// The release and the operating system of the agent.
    agent: &'t str,
    command: &'t str,
    text: &'t str,
}

fn replies() -> Vec<Reply<'static>> {
    let (mut agent, mut replies) = ("", Vec::new());
    for line in AGENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("= ") {
            Some(name) => agent = name,
            None => {
                let (command, text) = line.split_once(' ').unwrap();
                replies.push(Reply { agent, command, text });
            }
        }
    }
    replies
}

/// Decodes a value, and encodes it again.
fn both_ways<C: Command>(text: &str) -> Result<Value, String> {
    let value: C::Return = decode(text).map_err(|error| error.to_string())?;
    Ok(serde_json::to_value(value).unwrap())
}

type BothWays = fn(&str) -> Result<Value, String>;

macro_rules! commands {
    ($($command:ident)*) => {
        BTreeMap::from([$((commands::$command::NAME, both_ways::<commands::$command> as BothWays)),*])
    };
}

fn decoders() -> BTreeMap<&'static str, BothWays> {
    commands! {
        GuestExec GuestExecStatus GuestFileClose GuestFileFlush GuestFileOpen GuestFileRead
        GuestFileSeek GuestFileWrite GuestFsfreezeFreeze GuestFsfreezeFreezeList
        GuestFsfreezeStatus GuestFsfreezeThaw GuestFstrim GuestGetCpustats GuestGetDevices
        GuestGetDisks GuestGetDiskstats GuestGetFsinfo GuestGetHostName GuestGetLoad
        GuestGetMemoryBlockInfo GuestGetMemoryBlocks GuestGetOsinfo GuestGetTime GuestGetTimezone
        GuestGetUsers GuestGetVcpus GuestInfo GuestNetworkGetInterfaces GuestNetworkGetRoute
        GuestPing GuestSetMemoryBlocks GuestSetTime GuestSetUserPassword GuestSetVcpus
        GuestSshAddAuthorizedKeys GuestSshGetAuthorizedKeys GuestSshRemoveAuthorizedKeys GuestSync
        GuestSyncDelimited
    }
}

/// `guest-info` of agents before 1.7 did not decode, so that nothing could be asked of them.
#[test]
fn replies_of_every_agent_survive() {
    let decoders = decoders();
    let mut wrong = Vec::new();
    for Reply { agent, command, text } in replies() {
        let (text, written) = match text.strip_prefix("! ") {
            Some(error) => {
                let decoded: QmpError = decode(error).unwrap();
                (error, Ok(serde_json::to_value(decoded).unwrap()))
            }
            None => (text, decoders[command](text)),
        };
        let arrived: Value = serde_json::from_str(text).unwrap();
        match written {
            Ok(written) if is_same(&written, &arrived) => {}
            Ok(written) => wrong.push(format!("{agent}: {command}: {arrived} became {written}")),
            Err(error) => wrong.push(format!("{agent}: {command}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{} replies:\n{}", wrong.len(), wrong.join("\n"));
}

/// Compares values as JSON does: agents write a number without a fraction as an integer.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let has = |(name, value)| other.get(name).is_some_and(|it| is_same(value, it));
            one.len() == other.len() && one.iter().all(has)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() != other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

/// Every command is answered by an agent in the file, on Linux and on Windows if it is there on
/// both.
#[test]
fn every_command_is_in_the_file() {
    // Success is not answered, and the commands that are not on Windows are refused there.
    const SILENT: [&str; 4] =
        ["guest-shutdown", "guest-suspend-disk", "guest-suspend-hybrid", "guest-suspend-ram"];
    let builder = qmp_codegen::Builder::new().schema(qmp_schema::QGA);
    let items = builder.surface().unwrap_or_else(|error| panic!("{error}"));
    let commands: BTreeSet<&str> = items
        .iter()
        .map(|item| item.wire.as_str())
        .filter(|wire| wire.starts_with("guest-") && !wire.contains('.'))
        .collect();
    assert!(commands.len() > 40, "{commands:?}");
    let replies = replies();
    let answered: BTreeSet<&str> =
        replies.iter().filter(|it| !it.text.starts_with('!')).map(|it| it.command).collect();
    let missing: Vec<_> =
        commands.iter().filter(|it| !SILENT.contains(it) && !answered.contains(*it)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let systems: BTreeSet<&str> = replies.iter().map(|it| it.agent).collect();
    for system in ["Linux", "Windows"] {
        assert!(systems.iter().filter(|it| it.contains(system)).count() >= 8, "{systems:?}");
    }
}

/// The file claims nothing that the schema denies: no agent answers a command, or sends a member,
/// that is newer.
#[test]
fn the_replies_fit_the_dates_of_the_schema() {
    let builder = qmp_codegen::Builder::new().schema(qmp_schema::QGA);
    let items = builder.surface().unwrap_or_else(|error| panic!("{error}"));
    let since: BTreeMap<&str, (u32, u32)> = items
        .iter()
        .filter_map(|item| Some((item.wire.as_str(), release(item.since.as_deref()?))))
        .collect();
    // Members by name alone: none of these has another meaning, and another date, elsewhere.
    let members: BTreeMap<&str, (u32, u32)> = since
        .iter()
        .filter(|(wire, _)| wire.starts_with(|c: char| c.is_ascii_uppercase()))
        .filter_map(|(wire, since)| Some((wire.split_once('.')?.1, *since)))
        .collect();
    let mut agents = BTreeSet::new();
    for Reply { agent, command, text } in replies() {
        let version = release(agent.split(' ').next().unwrap());
        agents.insert(version);
        // The distribution has added the commands of later releases.
        let version = if agent.contains("RHEL 6") { release("1.5") } else { version };
        if text.starts_with('!') {
            continue;
        }
        assert!(since[command] <= version, "{agent}: {command}");
        let value: Value = serde_json::from_str(text).unwrap();
        for name in names(&value) {
            if let Some(since) = members.get(&*name) {
                assert!(*since <= version, "{agent}: {command}: {name}");
            }
        }
    }
    let expected = [
        "0.12", "0.15", "1.1", "1.5", "1.7", "2.1", "2.2", "2.5", "2.12", "5.2", "7.2", "8.0",
        "10.0", "11.1",
    ];
    assert_eq!(agents, BTreeSet::from(expected.map(release)));
}

fn release(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Returns the names of all members of a value, at any depth.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| std::iter::once(name.clone()).chain(names(value)))
            .collect(),
        Value::Array(elements) => elements.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}
