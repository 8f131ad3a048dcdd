//! Checks a recording against a schema: what of it would a server with this schema refuse?

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use qmp_client::recording::{Content, Entry, Reader};
use qmp_codegen::introspection::{Naming, export};
use qmp_codegen::schema::{Definition, Schema};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::message::{Message, Waiting, decode};
use crate::terminal::inline;

/// The greatest number of findings.
const MAX_FINDINGS: usize = 10_000;

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
    let mut checker = Checker::new(schema, &introspection);
    for entry in reader {
        checker.entry(&entry?);
    }
    Ok(checker.finish())
}

/// A recording that is being checked. Commands wait for their replies, with what was found.
struct Checker<'s> {
    introspection: &'s qmp_server::Schema,
    commands: BTreeMap<&'s str, &'s Definition>,
    events: BTreeMap<&'s str, &'s Definition>,
    waiting: Waiting<Pending>,
    messages: usize,
    findings: Findings,
}

/// A command, with findings that count if it succeeds.
struct Pending {
    line: usize,
    name: String,
    findings: Vec<(FindingKind, String)>,
}

impl<'s> Checker<'s> {
    fn new(schema: &'s Schema, introspection: &'s qmp_server::Schema) -> Self {
        let commands = schema.commands.iter().map(|command| &command.definition);
        let events = schema.events.iter().map(|event| &event.definition);
        Self {
            introspection,
            commands: commands.map(|definition| (&*definition.name, definition)).collect(),
            events: events.map(|definition| (&*definition.name, definition)).collect(),
            waiting: Waiting::default(),
            messages: 0,
            findings: Findings::default(),
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let Content::Message(message) = &entry.content else { return };
        match Message::read(entry.direction, message) {
            Message::Command { name, out_of_band, arguments, id } => {
                let findings = self.command(&name, arguments, out_of_band);
                let pending = Pending { line: entry.line, name, findings };
                // One that is not kept counts at once.
                let counts = self.waiting.sent(&entry.monitor, id, pending);
                counts.into_iter().for_each(|pending| self.succeeded(pending));
            }
            Message::Event { name, .. } => {
                self.messages += 1;
                match self.events.get(&*name) {
                    Some(definition) => {
                        for reason in deprecations(definition) {
                            self.findings.add(entry.line, &name, FindingKind::Deprecated, &reason);
                        }
                    }
                    None => self.findings.add(entry.line, &name, FindingKind::NotSent, ""),
                }
            }
            Message::Reply { id, .. } => {
                let answered = self.waiting.replied(&entry.monitor, id);
                answered.into_iter().for_each(|pending| self.succeeded(pending));
            }
            Message::Error { id, .. } => drop(self.waiting.replied(&entry.monitor, id)),
            Message::Greeting(_) | Message::Other => {}
        }
    }

    fn command(
        &self,
        name: &str,
        arguments: Option<&RawValue>,
        out_of_band: bool,
    ) -> Vec<(FindingKind, String)> {
        let mut findings = Vec::new();
        match decode(arguments) {
            Ok(Value::Object(arguments)) => {
                let checked = self.introspection.check_command(name, &arguments, out_of_band);
                // A masked secret has lost its type.
                let masked = |error: &qmp_client::QmpError| {
                    error.desc.contains("Invalid parameter type") && has_secret(&arguments)
                };
                if let Some(error) = checked.err().filter(|error| !masked(error)) {
                    findings.push((FindingKind::Refused, error.desc));
                }
            }
            Ok(_) => {
                let reason = "the arguments are not an object".to_owned();
                findings.push((FindingKind::Refused, reason));
            }
            Err(error) => findings.push((FindingKind::Refused, error.to_string())),
        }
        if let Some(definition) = self.commands.get(name) {
            let reasons = deprecations(definition);
            findings.extend(reasons.map(|reason| (FindingKind::Deprecated, reason)));
        }
        findings
    }

    fn succeeded(&mut self, Pending { line, name, findings }: Pending) {
        self.messages += 1;
        for (kind, reason) in findings {
            self.findings.add(line, &name, kind, &reason);
        }
    }

    fn finish(mut self) -> Checked {
        let unanswered = std::mem::take(&mut self.waiting);
        unanswered.into_rest().for_each(|pending| self.succeeded(pending));
        Checked { messages: self.messages, findings: self.findings.in_order() }
    }
}

fn deprecations(definition: &Definition) -> impl Iterator<Item = String> + '_ {
    let features = definition.features.iter().filter(|feature| feature.name == "deprecated");
    features.map(|feature| feature.doc.split_whitespace().collect::<Vec<_>>().join(" "))
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
        if self.0.len() == MAX_FINDINGS && !self.0.contains_key(&key) {
            return;
        }
        let (first, count) = self.0.entry(key).or_insert((line, 0));
        // A command counts when it is answered, which may be after later ones.
        *first = line.min(*first);
        *count += 1;
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
