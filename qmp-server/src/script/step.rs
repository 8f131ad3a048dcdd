//! The steps of a script, as values.

use std::time::Duration;

use qmp_types::QmpError;
use serde_json::{Map, Value};

use crate::json::value_to_json;

/// A step of a [`Script`](super::Script).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Waits for the client's next command.
    Expect(Expectation),
    /// Answers a command.
    Answer(Answer),
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits for a time, during which nothing is read.
    Pause(Duration),
    /// Closes the connection. Later steps are not played.
    Close,
}

/// The command that a client must send next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Expectation {
    /// The name of the command.
    pub name: String,
    /// The arguments.
    pub arguments: Arguments,
    /// Whether the command must be sent for out-of-band execution, with `exec-oob`. Otherwise it must
    /// not.
    pub out_of_band: bool,
    /// The number of file descriptors that must arrive with the command, if it matters.
    pub descriptors: Option<usize>,
}

/// The arguments that a command must have.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Arguments {
    /// Any arguments, or none.
    Any,
    /// Exactly these, in any order.
    Exactly(Map<String, Value>),
    /// At least these. Objects in them are compared in the same manner.
    Including(Map<String, Value>),
}

/// The answer to a command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The name of the command, of which the oldest that is unanswered is meant. If none is given,
    /// the command that was expected last.
    pub to: Option<String>,
    /// The content of the answer.
    pub content: Content,
    /// The identifier that the answer has.
    pub id: Id,
    /// The form in which the answer is sent.
    pub form: Form,
}

/// The content of an answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// A success response with a return value.
    Return(Value),
    /// A success response that returns one of the command's arguments, as `guest-sync` does.
    Argument(String),
    /// An error.
    Error(QmpError),
}

/// The identifier of an answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Id {
    /// That of the command, if it has one.
    Same,
    /// None.
    Missing,
    /// Another one.
    Other(Value),
}

/// The form in which an answer is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Form {
    /// Whole, and once.
    Whole,
    /// Two times.
    Twice,
    /// Only the first half of its bytes.
    Half,
}

/// A command that a client has sent.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Value>,
    pub(crate) out_of_band: bool,
    pub(crate) id: Option<Box<str>>,
    pub(crate) descriptors: usize,
    pub(crate) answered: bool,
}

impl Expectation {
    pub(crate) fn matches(&self, command: &Command) -> bool {
        let arguments = match &self.arguments {
            Arguments::Any => true,
            Arguments::Exactly(expected) => *expected == command.arguments,
            Arguments::Including(expected) => includes(&command.arguments, expected),
        };
        arguments
            && self.name == command.name
            && self.out_of_band == command.out_of_band
            && self.descriptors.is_none_or(|count| count == command.descriptors)
    }

    /// Describes the command for a failure, for example: `stop` with exactly the arguments {}.
    pub(crate) fn describe(&self) -> String {
        let arguments = match &self.arguments {
            Arguments::Any => String::new(),
            Arguments::Exactly(arguments) if arguments.is_empty() => {
                " without arguments".to_owned()
            }
            Arguments::Exactly(arguments) => format!(" with {}", text(arguments)),
            Arguments::Including(arguments) => format!(" with at least {}", text(arguments)),
        };
        let count = self.descriptors;
        format!("{}{arguments}{}", named(&self.name, self.out_of_band), descriptors(count))
    }
}

impl Command {
    pub(crate) fn describe(&self) -> String {
        let arguments = match self.arguments.is_empty() {
            true => " without arguments".to_owned(),
            false => format!(" with {}", text(&self.arguments)),
        };
        let count = Some(self.descriptors).filter(|count| *count > 0);
        format!("{}{arguments}{}", named(&self.name, self.out_of_band), descriptors(count))
    }
}

fn named(name: &str, out_of_band: bool) -> String {
    format!("`{name}`{}", if out_of_band { " out-of-band" } else { "" })
}

fn descriptors(count: Option<usize>) -> String {
    match count {
        None => String::new(),
        Some(1) => ", with 1 file descriptor".to_owned(),
        Some(count) => format!(", with {count} file descriptors"),
    }
}

fn text(arguments: &Map<String, Value>) -> String {
    value_to_json(&Value::Object(arguments.clone()))
}

/// Returns whether an object has at least the expected members. The depth is the test's.
fn includes(actual: &Map<String, Value>, expected: &Map<String, Value>) -> bool {
    expected.iter().all(|(name, expected)| match (actual.get(name), expected) {
        (Some(Value::Object(actual)), Value::Object(expected)) => includes(actual, expected),
        (actual, expected) => actual == Some(expected),
    })
}
