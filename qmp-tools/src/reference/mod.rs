//! The documentation of commands, events and types.
//!
//! The build script writes that of the builtin schemas, a definition on each line. A line is parsed
//! when it is asked for, so that a program that needs no documentation does not pay for it.

mod describe;
mod model;
mod plain;

use std::collections::HashMap;
use std::sync::OnceLock;

pub use describe::describe;
pub use model::{Branch, Definition, Feature, Kind, Member, Value};

/// The documentation of a builtin schema.
#[derive(Debug)]
pub struct Reference {
    text: &'static str,
    /// The line of each definition.
    lines: OnceLock<HashMap<&'static str, &'static str>>,
}

/// The documentation of the monitor's commands, events and types.
pub static MONITOR: Reference = Reference {
    text: include_str!(concat!(env!("OUT_DIR"), "/qmp.jsonl")),
    lines: OnceLock::new(),
};

/// The documentation of the guest agent's commands and types.
pub static AGENT: Reference = Reference {
    text: include_str!(concat!(env!("OUT_DIR"), "/qga.jsonl")),
    lines: OnceLock::new(),
};

impl Reference {
    /// Returns the definition with a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Definition> {
        serde_json::from_str(self.lines().get(name)?).ok()
    }

    /// Returns the names of all definitions, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.lines().keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Returns whether there is a command with this name.
    #[must_use]
    pub fn has_command(&self, name: &str) -> bool {
        self.lines().get(name).is_some_and(|line| line.contains("\"kind\":\"command\""))
    }

    fn lines(&self) -> &HashMap<&'static str, &'static str> {
        self.lines.get_or_init(|| {
            let named = self.text.lines().filter_map(|line| {
                let name = line.strip_prefix("{\"name\":\"")?;
                Some((name.split('"').next()?, line))
            });
            named.collect()
        })
    }
}

/// Returns whether an argument of a command is documented as a number of bytes, also one in a member, so
/// that it may have a suffix, such as `64M`.
#[must_use]
pub fn is_size(command: &str, argument: &str) -> bool {
    static SIZES: OnceLock<HashMap<&str, Vec<&str>>> = OnceLock::new();
    let sizes = SIZES.get_or_init(|| {
        let lines = include_str!(concat!(env!("OUT_DIR"), "/sizes.txt")).lines();
        let split = lines.filter_map(|line| line.split_once(' '));
        split.map(|(command, names)| (command, names.split(' ').collect())).collect()
    });
    sizes.get(command).is_some_and(|names| names.contains(&argument))
}
