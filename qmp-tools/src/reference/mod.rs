//! The documentation of commands, events and types.
//!
//! The build script writes that of the builtin schemas, a definition on each line. A line is parsed
//! when it is asked for, so that a program that needs no documentation does not pay for it.

mod describe;
pub mod example;
mod model;
mod plain;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use qmp_codegen::schema::Schema;

pub use describe::{describe, in_words};
pub use model::{Branch, Definition, Feature, Kind, Member, Value};

/// The documentation of a schema.
#[derive(Debug)]
pub struct Reference {
    /// A definition on each line, in JSON.
    text: Cow<'static, str>,
    /// Where the line of each definition is.
    lines: OnceLock<HashMap<String, Range<usize>>>,
}

/// The documentation of the monitor's commands, events and types.
pub static MONITOR: Reference =
    Reference::builtin(include_str!(concat!(env!("OUT_DIR"), "/qmp.jsonl")));

/// The documentation of the guest agent's commands and types.
pub static AGENT: Reference =
    Reference::builtin(include_str!(concat!(env!("OUT_DIR"), "/qga.jsonl")));

impl Reference {
    const fn builtin(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), lines: OnceLock::new() }
    }

    /// Returns the documentation of another schema.
    #[must_use]
    pub fn of(schema: &Schema) -> Self {
        let lines = describe(schema).into_iter();
        let lines = lines.filter_map(|definition| serde_json::to_string(&definition).ok());
        let text: String = lines.map(|line| line + "\n").collect();
        Self { text: Cow::Owned(text), lines: OnceLock::new() }
    }

    /// Returns the definition with a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Definition> {
        serde_json::from_str(self.line(name)?).ok()
    }

    /// Returns the first sentence of the documentation of a name; empty if there is none.
    #[must_use]
    pub fn summary(&self, name: &str) -> String {
        // Parsing the whole definition takes much longer.
        let text =
            self.line(name).and_then(|line| line.split_once("\"text\":\"")).map(|(_, text)| text);
        let Some(text) = text else { return String::new() };
        let mut escaped = false;
        let end = text.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let text = text.get(..end.unwrap_or(text.len())).unwrap_or(text);
        let paragraph = text.split("\\n\\n").next().unwrap_or(text);
        let text = serde_json::from_str::<String>(&format!("\"{paragraph}\""));
        first_sentence(&text.unwrap_or_default())
    }

    /// Returns the names of all definitions, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.lines().keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Returns whether the commands are those of a guest agent.
    #[must_use]
    pub fn is_of_agent(&self) -> bool {
        self.has_command("guest-info")
    }

    /// Returns whether there is a command with this name.
    #[must_use]
    pub fn has_command(&self, name: &str) -> bool {
        self.line(name).is_some_and(|line| line.contains("\"kind\":\"command\""))
    }

    fn line(&self, name: &str) -> Option<&str> {
        self.text.get(self.lines().get(name)?.clone())
    }

    fn lines(&self) -> &HashMap<String, Range<usize>> {
        self.lines.get_or_init(|| {
            let mut lines = HashMap::new();
            let mut start = 0;
            for line in self.text.split_inclusive('\n') {
                let name =
                    line.strip_prefix("{\"name\":\"").and_then(|line| line.split('"').next());
                if let Some(name) = name {
                    lines.insert(name.to_owned(), start..start + line.len());
                }
                start += line.len();
            }
            lines
        })
    }
}

/// Returns the first sentence of a text, on one line.
#[must_use]
pub fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    match paragraph.find(". ") {
        Some(end) => paragraph.get(..=end).unwrap_or(&paragraph).to_owned(),
        None => paragraph,
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
