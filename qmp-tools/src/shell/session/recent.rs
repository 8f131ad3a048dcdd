//! The events since the last command was sent, for `wait`.

use std::collections::VecDeque;

use qmp_client::RawEvent;
use serde_json::Value;

/// The limits on the events that are kept.
const EVENTS: usize = 1024;
const BYTES: usize = 4 << 20;

/// The events since the last command was sent, and the name of that.
#[derive(Debug, Default)]
pub(super) struct Recent {
    events: VecDeque<Seen>,
    bytes: usize,
    /// The command that the events came after.
    command: Option<String>,
    /// Whether the command failed.
    pub(super) has_failed: bool,
}

/// An event, and whether it has been shown.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) event: RawEvent,
    pub(super) is_shown: bool,
}

impl Recent {
    /// Forgets all events: another command is about to be sent.
    pub(super) fn restart(&mut self, command: &str) {
        *self = Self { command: Some(command.to_owned()), ..Self::default() };
    }

    /// Returns the name of the last command.
    pub(super) fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    pub(super) fn push(&mut self, event: RawEvent, is_shown: bool) {
        self.bytes += event.size();
        self.events.push_back(Seen { event, is_shown });
        while self.events.len() > EVENTS || (self.bytes > BYTES && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.event.size();
        }
    }

    /// Returns whether an event satisfies a condition.
    pub(super) fn has(&self, condition: &Condition) -> bool {
        self.events.iter().any(|seen| condition.holds(&seen.event))
    }

    /// Takes the first event that satisfies a condition, and forgets those before it.
    pub(super) fn take(&mut self, condition: &Condition) -> Option<Seen> {
        let index = self.events.iter().position(|seen| condition.holds(&seen.event))?;
        let taken = self.events.drain(..=index).next_back();
        self.bytes = self.events.iter().map(|seen| seen.event.size()).sum();
        taken
    }
}

/// The condition of a `wait`.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) event: String,
    /// Members of the data, by dotted path, and their values.
    pub(super) members: Vec<(String, Value)>,
}

impl Condition {
    fn holds(&self, event: &RawEvent) -> bool {
        if *event.name != *self.event {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let data = event.data.as_deref().map_or("{}", |data| data.get());
        let data: Value = serde_json::from_str(data).unwrap_or_default();
        self.members.iter().all(|(path, wanted)| {
            let found = path.split('.').try_fold(&data, |value, name| value.get(name));
            found.is_some_and(|found| found == wanted || text(found) == text(wanted))
        })
    }
}

/// Shows the condition as it is written.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.event)?;
        self.members.iter().try_for_each(|(path, value)| write!(f, " {path}={}", text(value)))
    }
}

/// Returns a value as it is written after `=`: the type of a member that no schema has is unknown.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
