//! The shell's syntax.
//!
//! ```text
//! device_add driver=virtio-blk-pci id=d0 drive=n0 serial=0042
//! blockdev-add driver=qcow2 node-name=n0 file.driver=file file.filename="/tmp/a b.qcow2"
//! blockdev-add driver=raw node-name=n1 file={'driver': 'file', 'filename': '/tmp/b'}
//! block_resize node-name=n0 size=64M
//! qom-set path=/machine property=x value:="123"
//! exec-oob migrate-pause
//! {"execute": "query-status", "id": 1}
//! transaction(
//! block-dirty-bitmap-add node=n0 name=b0
//! blockdev-backup job-id=j0 device=n0 target=n1 sync=full
//! )
//! wait JOB_STATUS_CHANGE id=j0 status=concluded --timeout 30
//! ```
//!
//! - A value is what the schema of the machine says: text, a number, `true` or `on`, one of some
//!   values. Text needs quotes only if it contains spaces or begins with a quote. Only where the
//!   schema does not say anything, a whole number, `true`, `false`, and a value in brackets are taken
//!   for what they look like.
//! - Both kinds of quotes are the same, and have the escapes of JSON and Python. They are not part of
//!   the value if it is in quotes as a whole.
//! - A value in brackets is JSON or Python, and may extend over several lines.
//! - `key:=JSON` is sent as it is, whatever the schema says.
//! - A dot in a key makes an object: `file.driver=file`, and a list: `channels.0.channel-type=main`.
//! - A word that starts with `#` begins a comment, which extends to the end of the line.
//! - `transaction(` begins a transaction, with an action on each line and `)` on the last. A line in it
//!   that begins with `key=value` is an argument of the transaction, such as
//!   `properties.completion-mode=grouped`.

mod arguments;
mod error;
mod guess;
pub(crate) mod literal;
mod object;
mod scalar;
pub(crate) mod start;
pub(crate) mod statements;
pub(crate) mod transaction;
mod typing;
pub(crate) mod words;
pub(crate) mod write;

use std::time::Duration;

use serde_json::Value;

use self::arguments::Arguments;
use self::typing::Typing;
use self::words::{Line, Open, Word};
use crate::shell::types::Types;

pub use error::{Problem, SyntaxError};

/// A statement of the shell.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Statement {
    /// A command, also one in JSON, or a transaction.
    Command(Command),
    /// `wait EVENT [MEMBER=VALUE...] [--timeout SECONDS]`.
    Wait {
        /// The name of the event.
        event: String,
        /// The members that its data must have: dotted paths, and their values.
        matches: Vec<(String, Value)>,
        /// The deadline; none, if absent.
        timeout: Option<Duration>,
    },
    /// `set [NAME=VALUE...]`: options of the session.
    Set(Vec<(String, String)>),
    /// `help [NAME]`, `? [NAME]`.
    Help(Option<String>),
    /// `exit`.
    Exit,
    /// `hmp LINE`: a line for the human monitor. An empty one switches to it.
    Hmp(String),
}

/// A command to be executed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Command {
    /// The command's name.
    pub name: String,
    /// Whether it is executed out-of-band.
    pub oob: bool,
    /// The arguments; `None` if none were given.
    pub arguments: Option<Value>,
    /// The id that was given. The client has ids of its own.
    pub id: Option<Value>,
    /// The line of the text that it begins on; the first is 1.
    pub line: usize,
}

impl Command {
    fn new(name: &str, arguments: Option<Value>) -> Self {
        Self { name: name.to_owned(), oob: false, arguments, id: None, line: 1 }
    }
}

/// Parses a statement. Returns `None` if the text is blank or a comment.
///
/// # Errors
/// Returns an error if the text is not a statement. [`SyntaxError::Incomplete`] means that another
/// line may complete it.
pub fn parse(text: &str, types: &dyn Types) -> Result<Option<Statement>, SyntaxError> {
    let Some(start) = start::start(text) else { return Ok(None) };
    let rest = text.get(start..).unwrap_or_default();
    let statement = if rest.starts_with('{') {
        Some(Statement::Command(object::parse(text, start)?))
    } else {
        Parser { text, types }.statement(start)?
    };
    Ok(statement.map(|statement| match statement {
        Statement::Command(command) => {
            let line = 1 + text.get(..start).unwrap_or_default().matches('\n').count();
            Statement::Command(Command { line, ..command })
        }
        other => other,
    }))
}

struct Parser<'a> {
    text: &'a str,
    types: &'a dyn Types,
}

impl<'a> Parser<'a> {
    /// Splits the line that begins at an index, in which everything must be closed.
    fn line(&self, start: usize) -> Result<Line<'a>, SyntaxError> {
        let line = words::line(self.text, start);
        match line.open {
            None => Ok(line),
            Some(Open::Quote(at)) => {
                let quote = self.text.get(at..at + 1).unwrap_or("\"");
                let message = format!("unclosed `{quote}`: a string ends on its line");
                Err(SyntaxError::invalid(at..at + 1, message))
            }
            Some(Open::Bracket(at)) => {
                let bracket = self.text.get(at..at + 1).unwrap_or("{");
                Err(SyntaxError::incomplete(at..at + 1, format!("unclosed `{bracket}`")))
            }
        }
    }

    /// Fails if anything but blank lines and comments follows.
    fn nothing_after(&self, end: usize) -> Result<(), SyntaxError> {
        let mut at = end;
        while at < self.text.len() {
            let line = words::line(self.text, at);
            if let Some(word) = line.words.first() {
                let message = "one statement at a time: this is another one";
                return Err(SyntaxError::invalid(word.span(), message));
            }
            at = line.end;
        }
        Ok(())
    }

    /// Returns a command with its words: `NAME key=value ...`, or `NAME {...}`.
    fn command(&self, words: &[Word<'a>]) -> Result<Command, SyntaxError> {
        let Some((name, rest)) = words.split_first() else {
            return Err(SyntaxError::invalid(0..0, "expected a command"));
        };
        if name.text.contains(['=', '"', '\'', '(', ')', '{', '}', '[', ']']) {
            let message = format!("`{}` is not the name of a command", shown(name.text));
            return Err(SyntaxError::invalid(name.span(), message));
        }
        if let [object] = rest {
            if object.text.starts_with('{') {
                let value = literal::whole(self.text, object.span())?.to_json()?;
                return Ok(Command::new(name.text, Some(value)));
            }
        }
        if rest.is_empty() {
            return Ok(Command::new(name.text, None));
        }
        let ty = self.types.schema().arguments_of(name.text);
        let arguments = self.arguments(name.text, rest, ty)?;
        Ok(Command::new(name.text, Some(arguments)))
    }

    /// Returns the arguments of a command or an action.
    fn arguments(
        &self,
        command: &str,
        words: &[Word<'a>],
        ty: Option<&str>,
    ) -> Result<Value, SyntaxError> {
        let mut arguments = Arguments::default();
        for word in words {
            if word.argument().is_none() {
                return Err(self.not_an_argument(command, *word, ty));
            }
            arguments.add(self.text, *word)?;
        }
        Typing { text: self.text, types: self.types, command }.arguments(&arguments.entries, ty)
    }

    fn not_an_argument(&self, command: &str, word: Word<'_>, ty: Option<&str>) -> SyntaxError {
        use crate::shell::types::Shape;
        let schema = self.types.schema();
        let object = match ty.map(|ty| schema.shape(ty)) {
            Some(Shape::Object(object)) => Some(object),
            _ => None,
        };
        let members = object.map(|object| schema.members(object, &|_| None)).unwrap_or_default();
        let is_secret = !qmp_types::secrets_of(command).is_empty();
        let found =
            if is_secret { String::new() } else { format!(", found `{}`", shown(word.text)) };
        let mut mandatory = members.iter().filter(|member| !member.optional);
        let help = match (mandatory.next(), mandatory.next(), is_secret) {
            (Some(member), None, false) => {
                Some(format!("did you mean `{}={}`?", member.name, shown(word.text)))
            }
            _ if members.is_empty() && object.is_some_and(|object| object.variants.is_none()) => {
                Some(format!("`{command}` has no arguments"))
            }
            _ => None,
        };
        SyntaxError::invalid(word.span(), format!("expected `key=value`{found}")).help(help)
    }
}

/// Shortens a word for an error.
fn shown(word: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = word.chars().take(LONGEST).collect();
    if shown.len() < word.len() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests;
