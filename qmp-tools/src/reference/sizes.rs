//! The arguments that are numbers of bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use super::model::{Definition, Kind, Member};

/// Returns the table of sizes: on each line a command, or an action of a transaction, and the names of
/// its arguments and their members that are documented as numbers of bytes wherever they occur.
pub fn table(definitions: &[Definition]) -> String {
    let types: HashMap<&str, &Definition> =
        definitions.iter().map(|definition| (definition.name.as_str(), definition)).collect();
    let mut sizes: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for command in definitions.iter().filter(|definition| definition.kind == Kind::Command) {
        collect(command, &types, sizes.entry(&command.name).or_default());
    }
    // An action has the name of a command, or one of its own.
    if let Some(actions) = types.get("TransactionAction") {
        for action in &actions.branches {
            if let Some(data) = types.get(action.ty.as_str()) {
                collect(data, &types, sizes.entry(&action.name).or_default());
            }
        }
    }
    let mut text = String::new();
    for (command, (bytes, others)) in sizes {
        let names: Vec<&str> = bytes.difference(&others).copied().collect();
        if !names.is_empty() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{command} {}", names.join(" "));
        }
    }
    text
}

/// Collects the names of whole numbers that are numbers of bytes, and of those that are not.
fn collect<'d>(
    command: &'d Definition,
    types: &HashMap<&str, &'d Definition>,
    found: &mut (BTreeSet<&'d str>, BTreeSet<&'d str>),
) {
    let mut rest = vec![command];
    let mut seen: HashSet<&str> = HashSet::new();
    while let Some(definition) = rest.pop() {
        for member in &definition.members {
            if is_size(member) {
                found.0.insert(&member.name);
            } else if is_integer(&member.ty) {
                found.1.insert(&member.name);
            }
        }
        let members = definition.members.iter().map(|member| member.ty.as_str());
        let branches = definition.branches.iter().map(|branch| branch.ty.as_str());
        for ty in members.chain(branches) {
            let ty = ty.trim_matches(['[', ']']);
            if seen.insert(ty) {
                rest.extend(types.get(ty));
            }
        }
    }
}

fn is_size(member: &Member) -> bool {
    // QEMU uses the type `size` for some durations, too.
    (member.ty == "size" || is_integer(&member.ty)) && {
        let text = member.text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        ["in bytes", "bytes per second", "number of bytes"].iter().any(|unit| text.contains(unit))
            || member.ty == "size" && text.contains("byte")
    }
}

fn is_integer(ty: &str) -> bool {
    matches!(ty, "int" | "size") || ty.starts_with("int") && ty.len() <= 5 || ty.starts_with("uint")
}
