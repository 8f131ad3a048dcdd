//! The report about a client that does not follow a script.

use std::collections::VecDeque;
use std::fmt;

use qmp_types::Printable;

/// The number of messages before the failure that are shown.
const SHOWN: usize = 8;

/// The number of bytes of a message that are kept.
const KEPT: usize = 300;

/// The error for a client that does something other than its script expects.
///
/// `Display` and `Debug` show the step, what was expected, what the client did, and the messages
/// before it, on several lines.
#[derive(Clone)]
pub struct ScriptError(Box<Details>);

#[derive(Clone)]
struct Details {
    connection: usize,
    /// The step's number, from 1, and the number of all steps. None before a client has connected.
    step: Option<(usize, usize)>,
    expected: String,
    got: Got,
    before: VecDeque<String>,
}

/// What a client did instead of what was expected.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Got {
    /// Another command, or other arguments. The text contains them in JSON.
    Command(String),
    /// A message that is not a command. The text says why.
    Invalid(String),
    /// The client closed the connection.
    End,
    /// The client did nothing until the deadline.
    Timeout,
}

impl ScriptError {
    pub(crate) fn new(
        connection: usize,
        step: Option<(usize, usize)>,
        expected: String,
        got: Got,
        history: &History,
    ) -> Self {
        let before = history.0.clone();
        Self(Box::new(Details { connection, step, expected, got, before }))
    }

    /// Returns the number of the connection, from 1.
    #[must_use]
    pub fn connection(&self) -> usize {
        self.0.connection
    }

    /// Returns the number of the step at which the client failed, from 1. Returns `None` if the client
    /// has not connected.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        self.0.step.map(|(step, _)| step)
    }

    /// Describes what the script expected.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.0.expected
    }

    /// Returns what the client did instead.
    #[must_use]
    pub fn got(&self) -> &Got {
        &self.0.got
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { connection, step, expected, got, before } = &*self.0;
        write!(f, "the client does not follow the script on connection {connection}")?;
        if let Some((step, steps)) = step {
            write!(f, ", step {step} of {steps}")?;
        }
        write!(f, "\n  expected: {}\n  got:      {got}", Printable(expected))?;
        if !before.is_empty() {
            write!(f, "\n  before it:")?;
        }
        before.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

impl fmt::Debug for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ScriptError {}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => Printable(command).fmt(f),
            Self::Invalid(reason) => write!(f, "an invalid message: {}", Printable(reason)),
            Self::End => f.write_str("the end of the connection"),
            Self::Timeout => f.write_str("nothing until the deadline"),
        }
    }
}

/// The latest messages of a connection, fit for a terminal.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<String>);

impl History {
    pub(crate) fn push(&mut self, direction: &str, message: &str) {
        let end = (0..=KEPT.min(message.len())).rev().find(|end| message.is_char_boundary(*end));
        let kept = message.get(..end.unwrap_or_default()).unwrap_or_default();
        let more = if kept.len() < message.len() { "…" } else { "" };
        if self.0.len() == SHOWN {
            self.0.pop_front();
        }
        self.0.push_back(format!("{direction} {}{more}", Printable(kept)));
    }
}
