//! What a session executes.

use std::time::Duration;

use serde_json::Value;

use crate::shell::line::{self, LineError};

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// A command.
    Command(Command),
    /// A wait for an event.
    Wait {
        /// The event's name.
        event: String,
        /// Members of its data, by dotted path, and their values.
        matches: Vec<(String, Value)>,
        /// The deadline, instead of the session's.
        timeout: Option<Duration>,
    },
    /// Options of the session.
    Set(Vec<(String, String)>),
    /// Help.
    Help(Option<String>),
    /// The end of the session.
    Exit,
    /// A line for the human monitor.
    Hmp(String),
}

/// A command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command {
    /// The name.
    pub name: String,
    /// Whether it is executed out-of-band.
    pub oob: bool,
    /// The arguments.
    pub arguments: Option<Value>,
    /// The identifier that was given.
    pub id: Option<Value>,
    /// The line in the text.
    pub line: usize,
}

/// Parses a text.
///
/// # Errors
/// The text is not a statement.
pub fn parse(text: &str) -> Result<Option<Statement>, LineError> {
    let Some(line) = line::parse(text)? else { return Ok(None) };
    Ok(Some(Statement::Command(Command {
        name: line.name,
        arguments: line.arguments,
        line: 1,
        ..Command::default()
    })))
}
