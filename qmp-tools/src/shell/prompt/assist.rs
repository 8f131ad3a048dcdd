//! The editor's questions about a line: how it could go on, and whether it is complete.

use std::ops::Range;

use crate::shell::complete::Candidate;

/// Answers questions about a line without delay: each key asks.
pub(super) trait Assist {
    /// Returns what the text at the cursor could become.
    fn complete(&self, text: &str, cursor: usize) -> Completion;
    /// Returns what is missing at the end of a line.
    fn hint(&self, text: &str) -> Option<String>;
    /// Returns whether another line may complete this one.
    fn is_incomplete(&self, text: &str) -> bool;
}

/// The candidates for a part of a line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Completion {
    /// The part of the line that a candidate replaces.
    pub(super) span: Range<usize>,
    pub(super) candidates: Vec<Candidate>,
    /// The machine has been asked for more, and has not answered yet.
    pub(super) pending: bool,
}

/// Knows nothing about a line, such as an answer to a question.
pub(super) struct Nothing;

impl Assist for Nothing {
    fn complete(&self, _: &str, _: usize) -> Completion {
        Completion::default()
    }

    fn hint(&self, _: &str) -> Option<String> {
        None
    }

    fn is_incomplete(&self, _: &str) -> bool {
        false
    }
}
