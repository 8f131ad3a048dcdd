//! Answers about a line, from the schema of the machine and from what lives in it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::assist::{Assist, Completion};
use super::statements::is_incomplete;
use crate::shell::complete::{self, Kind, Live};
use crate::shell::live::Machine;
use crate::shell::session::{Peer, is_agent_statement};

/// Answers the editor's questions from what is known of the machine.
#[derive(Debug)]
pub(super) struct Helper {
    machine: Machine,
    peer: Peer,
    /// Whether lines are for the human monitor.
    human: AtomicBool,
}

impl Helper {
    pub(super) fn new(machine: Machine, peer: Peer, human: bool) -> Self {
        Self { machine, peer, human: AtomicBool::new(human) }
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
        // The words of an agent's statement have a syntax of their own, and end on their line.
        let is_line = self.is_human() || self.peer == Peer::Agent && is_agent_statement(text);
        !is_line && is_incomplete(text)
    }
}
