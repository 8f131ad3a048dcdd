//! Answers about a line, from the schema of the machine and from what lives in it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::assist::{Assist, Completion};
use crate::shell::complete::{self, Kind, Live};
use crate::shell::live::Machine;
use crate::shell::syntax::{self, Statement};
use crate::shell::types::Schema;

/// Answers the editor's questions from what is known of the machine.
#[derive(Debug)]
pub(super) struct Helper {
    machine: Machine,
    /// Whether lines are for the human monitor.
    human: AtomicBool,
}

impl Helper {
    pub(super) fn new(machine: Machine, human: bool) -> Self {
        Self { machine, human: AtomicBool::new(human) }
    }

    /// Notes that a command was executed, after which lines are for the human monitor or not.
    pub(super) fn executed(&self, human: bool) {
        self.human.store(human, Ordering::Relaxed);
        self.machine.changed();
    }

    /// Notes that something arrived without a command.
    pub(super) fn arrived(&self) {
        self.machine.changed();
    }

    pub(super) fn is_human(&self) -> bool {
        self.human.load(Ordering::Relaxed)
    }
}

impl Assist for Helper {
    fn complete(&self, text: &str, cursor: usize) -> Completion {
        if self.is_human() {
            let line = text.get(..cursor).unwrap_or(text);
            let mut candidates = self.machine.candidates(Kind::Human(line));
            candidates.retain(|candidate| candidate.insert.starts_with(line));
            return Completion {
                span: 0..cursor,
                candidates,
                pending: self.machine.take_pending(),
            };
        }
        if !self.machine.is_ready() {
            return Completion { span: cursor..cursor, candidates: Vec::new(), pending: true };
        }
        let complete::Completion { span, candidates, .. } =
            complete::complete(text, cursor, &self.machine, &self.machine);
        Completion { span, candidates, pending: self.machine.take_pending() }
    }

    fn hint(&self, text: &str) -> Option<String> {
        if self.is_human() || !self.machine.is_ready() || text.trim().is_empty() {
            return None;
        }
        let hint = complete::hint(text, &self.machine);
        // A hint is for what is known; the machine is not asked for it again.
        let _ = self.machine.take_pending();
        hint
    }

    fn is_incomplete(&self, text: &str) -> bool {
        !self.is_human() && is_incomplete(text)
    }
}

/// Returns whether another line may complete a statement, whatever the types of its arguments.
pub(super) fn is_incomplete(text: &str) -> bool {
    syntax::parse(text, no_types()).is_err_and(|error| error.is_incomplete())
}

/// Returns whether a statement leaves the prompt, also where lines are for the human monitor.
pub(super) fn is_exit(text: &str) -> bool {
    matches!(syntax::parse(text, no_types()), Ok(Some(Statement::Exit)))
}

/// Returns what a statement is called where it is waited for.
pub(super) fn label(text: &str) -> String {
    match syntax::parse(text, no_types()) {
        Ok(Some(Statement::Command(command))) => command.name,
        Ok(Some(Statement::Wait { event, .. })) => format!("wait {event}"),
        _ => text.split_whitespace().next().unwrap_or_default().to_owned(),
    }
}

/// Returns a schema without commands, for questions that need none. Decoding one takes time.
fn no_types() -> &'static Schema {
    static NONE: OnceLock<Schema> = OnceLock::new();
    NONE.get_or_init(Schema::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_continue_whatever_their_types() {
        for (text, incomplete) in [
            ("", false),
            ("query-status", false),
            ("# a comment {", false),
            ("{\"execute\":", true),
            ("{\"execute\": \"stop\"}", false),
            ("blockdev-add file={'driver':", true),
            ("transaction(", true),
            ("transaction(\nblock-dirty-bitmap-add node=n0 name=b0", true),
            ("transaction(\nblock-dirty-bitmap-add node=n0 name=b0\n)", false),
            ("device_add", false),
        ] {
            assert_eq!(is_incomplete(text), incomplete, "{text}");
        }
    }

    #[test]
    fn statements_have_names() {
        for (text, expected) in [
            ("stop", "stop"),
            ("{\"execute\": \"stop\"}", "stop"),
            ("wait STOP --timeout 1", "wait STOP"),
            ("hmp info status", "hmp"),
            ("device_add driver", "device_add"),
        ] {
            assert_eq!(label(text), expected, "{text}");
        }
        assert!(is_exit(" exit ") && !is_exit("exit now"));
    }
}
