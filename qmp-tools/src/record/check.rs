//! Checks a recording against a schema: what of it would a server with this schema refuse?

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use qmp_client::recording::{Content, Direction, Reader, RecordingError};
use qmp_codegen::introspection::{Naming, export};
use qmp_codegen::schema::{Definition, Schema};
use serde_json::{Map, Value};

use crate::terminal::inline;

/// A finding about a command or an event of a recording.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The first line that it is about.
    pub line: usize,
    /// The number of lines that it is about.
    pub count: usize,
    /// The command or the event.
    pub name: String,
    /// The kind of finding.
    pub kind: FindingKind,
    /// The reason, for a refused command in QEMU's words.
    pub reason: String,
}

/// The kinds of findings.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum FindingKind {
    /// A server with the schema refuses the command.
    Refused,
    /// A server with the schema does not send the event.
    NotSent,
    /// The command or event is deprecated.
    Deprecated,
}

impl FindingKind {
    /// Returns the name of the kind.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotSent => "not sent",
            Self::Deprecated => "deprecated",
        }
    }

    /// Returns whether clients that did what was recorded break.
    #[must_use]
    pub fn breaks(self) -> bool {
        self != Self::Deprecated
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if self.count > 1 {
            write!(f, " and {} more", self.count - 1)?;
        }
        write!(f, ": {} {}", inline(&self.name), self.kind.as_str())?;
        match self.reason.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", inline(&self.reason)),
        }
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Checked {
    /// The number of commands and events that were checked.
    pub messages: usize,
    /// The findings, in the order of their first lines.
    pub findings: Vec<Finding>,
}

/// Checks all commands that succeeded, and all events. A command that failed when it was recorded
/// tells nothing.
///
/// # Errors
/// Returns an error if the recording or the schema cannot be read.
pub fn check(
    reader: Reader<impl BufRead>,
    schema: &Schema,
) -> Result<Checked, Box<dyn std::error::Error>> {
    let introspection = export(schema, Naming::Masked, &|_| true);
    let introspection = qmp_server::Schema::parse(&introspection.to_string())?;
    let recorded = read(reader)?;
    let mut findings = Findings::default();
    let commands = schema.commands.iter().map(|command| &command.definition);
    let events = schema.events.iter().map(|event| &event.definition);
    let known: [BTreeMap<&str, &Definition>; 2] = [
        commands.map(|definition| (&*definition.name, definition)).collect(),
        events.map(|definition| (&*definition.name, definition)).collect(),
    ];
    for Recorded { line, name, arguments, out_of_band } in &recorded {
        let definition = match arguments {
            Some(arguments) => {
                let checked = introspection.check_command(name, arguments, *out_of_band);
                // A masked secret has lost its type.
                let masked = |error: &qmp_client::QmpError| {
                    error.desc.contains("Invalid parameter type") && has_secret(arguments)
                };
                if let Some(error) = checked.err().filter(|error| !masked(error)) {
                    findings.add(*line, name, FindingKind::Refused, &error.desc);
                }
                known[0].get(&**name)
            }
            None => {
                let definition = known[1].get(&**name);
                if definition.is_none() {
                    findings.add(*line, name, FindingKind::NotSent, "");
                }
                definition
            }
        };
        let features = definition.iter().flat_map(|definition| &definition.features);
        for feature in features.filter(|feature| feature.name == "deprecated") {
            let reason = feature.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            findings.add(*line, name, FindingKind::Deprecated, &reason);
        }
    }
    Ok(Checked { messages: recorded.len(), findings: findings.in_order() })
}

/// A command that succeeded, or an event, which has no arguments.
struct Recorded {
    line: usize,
    name: String,
    arguments: Option<Map<String, Value>>,
    out_of_band: bool,
}

fn read(reader: Reader<impl BufRead>) -> Result<Vec<Recorded>, RecordingError> {
    let mut recorded: Vec<Option<Recorded>> = Vec::new();
    // The commands without a reply, by connection and id.
    let mut waiting: BTreeMap<(String, String), std::collections::VecDeque<usize>> =
        BTreeMap::new();
    for entry in reader {
        let entry = entry?;
        let Content::Message(message) = &entry.content else { continue };
        let Ok(mut message) = serde_json::from_str::<Map<String, Value>>(message.get()) else {
            continue;
        };
        let id = message.get("id").map(Value::to_string).unwrap_or_default();
        let mut name_of = |member: &str| match message.remove(member) {
            Some(Value::String(name)) => Some(name),
            _ => None,
        };
        if entry.direction == Direction::Sent {
            let in_band = name_of("execute");
            let out_of_band = in_band.is_none();
            let Some(name) = in_band.or_else(|| name_of("exec-oob")) else { continue };
            let arguments = match message.remove("arguments") {
                Some(Value::Object(arguments)) => arguments,
                _ => Map::new(),
            };
            waiting.entry((entry.monitor, id)).or_default().push_back(recorded.len());
            let arguments = Some(arguments);
            recorded.push(Some(Recorded { line: entry.line, name, arguments, out_of_band }));
        } else if let Some(name) = name_of("event") {
            recorded.push(Some(Recorded {
                line: entry.line,
                name,
                arguments: None,
                out_of_band: false,
            }));
        } else if let Some(at) = waiting.get_mut(&(entry.monitor, id)).and_then(|at| at.pop_front())
        {
            if message.contains_key("error") {
                recorded[at] = None;
            }
        }
    }
    Ok(recorded.into_iter().flatten().collect())
}

fn has_secret(arguments: &Map<String, Value>) -> bool {
    arguments.values().any(|value| value.to_string().contains("<secret>"))
}

/// Findings without repetitions.
#[derive(Default)]
struct Findings(BTreeMap<(FindingKind, String, String), (usize, usize)>);

impl Findings {
    fn add(&mut self, line: usize, name: &str, kind: FindingKind, reason: &str) {
        let key = (kind, name.to_owned(), reason.to_owned());
        self.0.entry(key).or_insert((line, 0)).1 += 1;
    }

    fn in_order(self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .0
            .into_iter()
            .map(|((kind, name, reason), (line, count))| Finding {
                line,
                count,
                name,
                kind,
                reason,
            })
            .collect();
        findings.sort_by_key(|finding| (finding.line, finding.kind));
        findings
    }
}
