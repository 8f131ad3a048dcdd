//! Formats replies, errors and events, and writes them.
//!
//! | mode | a reply | an error | an event |
//! | --- | --- | --- | --- |
//! | `pretty`, `compact` | its value, over several lines or on one | a message | as the style says |
//! | `table` | rows and columns, where it has any | a message | as the style says |
//! | `raw` | as on the wire, on one line | as on the wire | as on the wire |
//! | `jsonl` | an [`envelope`] | an envelope | an envelope |
//!
//! Messages do not go to the output, but where messages go. All text passes through
//! [`terminal`].

pub mod envelope;
mod event;
pub(crate) mod layout;
mod mode;
mod table;

use std::io::{self, Write};
use std::time::SystemTime;

use qmp_client::{QmpError, RawEvent};
use serde_json::Value;
use serde_json::value::RawValue;

use self::envelope::Envelope;
pub(crate) use self::event::wire;
pub use self::mode::{EventStyle, Mode};
use crate::terminal;

/// The origin of a reply or an error: the statement that caused it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The file of the statement, if it is from a file.
    pub file: Option<String>,
    /// The line of the statement in a script, or its number among those of the command line.
    pub line: Option<usize>,
    /// The command's name; `None` if the statement has none.
    pub command: Option<String>,
    /// The identifier that the statement gave.
    pub id: Option<Value>,
    /// Whether the reply is late: the wait for it was over before.
    pub is_late: bool,
}

/// The kind of an error, a stable name in the output `jsonl`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The statement is invalid, and nothing was sent.
    Syntax,
    /// The server refused the command.
    Server,
    /// A command of the human monitor printed the message of a failure.
    Human,
    /// A deadline passed.
    Timeout,
    /// The connection ended.
    Connection,
    /// Anything else, such as a reply that is invalid, or a file that cannot be read.
    Other,
}

impl ErrorKind {
    /// Returns the name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Server => "server",
            Self::Human => "human",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Other => "other",
        }
    }
}

/// A failure to be shown.
#[derive(Debug)]
pub(crate) struct Failure<'f> {
    pub(crate) kind: ErrorKind,
    /// The message for people.
    pub(crate) message: String,
    /// The error of the server.
    pub(crate) error: Option<&'f QmpError>,
}

/// Writes replies, errors and events.
pub struct Output<W> {
    writer: W,
    messages: Box<dyn Write + Send>,
    /// How replies are shown.
    pub(crate) mode: Mode,
    /// How events are shown; `None` for a style that suits the mode.
    pub(crate) events: Option<EventStyle>,
    /// Whether the names of events are colored.
    pub(crate) color: bool,
}

impl<W> std::fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl<W: Write> Output<W> {
    /// Creates an output. Messages for people, such as errors, go to `messages`.
    pub(crate) fn new(writer: W, messages: Box<dyn Write + Send>, mode: Mode) -> Self {
        Self { writer, messages, mode, events: None, color: false }
    }

    /// Writes the value that a command returned.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn reply(&mut self, origin: &Origin, value: &RawValue) -> io::Result<()> {
        let text = match self.mode {
            Mode::Pretty => layout::pretty(value),
            Mode::Compact => layout::compact(value),
            Mode::Table => {
                let table = table::table(value, terminal::columns());
                table.unwrap_or_else(|| layout::pretty(value))
            }
            Mode::Raw => envelope::wire_reply(origin, value)?,
            Mode::Jsonl => Envelope::reply(origin, value).line(SystemTime::now())?,
        };
        if origin.is_late && !matches!(self.mode, Mode::Raw | Mode::Jsonl) {
            self.message(&format!("late reply to {}:", place_and_command(origin)))?;
        }
        self.write(&text)
    }

    /// Writes the text that a command of the human monitor printed.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn human(&mut self, origin: &Origin, text: &str) -> io::Result<()> {
        if matches!(self.mode, Mode::Raw | Mode::Jsonl) {
            return self.reply(origin, &serde_json::value::to_raw_value(text)?);
        }
        if origin.is_late {
            self.message(&format!("late reply to {}:", place_and_command(origin)))?;
        }
        let text = terminal::lines(&text.replace("\r\n", "\n")).into_owned();
        if text.is_empty() { Ok(()) } else { self.write(text.trim_end_matches('\n')) }
    }

    /// Writes an error, as a message or to the output.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn error(&mut self, origin: &Origin, failure: &Failure<'_>) -> io::Result<()> {
        let text = match (self.mode, failure.error) {
            (Mode::Jsonl, _) => Envelope::error(origin, failure).line(SystemTime::now())?,
            (Mode::Raw, Some(error)) => envelope::wire_error(origin, error)?,
            _ => {
                let late = if origin.is_late { "late reply: " } else { "" };
                return self.message(&format!("{}{late}{}", place(origin), failure.message));
            }
        };
        self.write(&text)
    }

    /// Writes an event.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn event(&mut self, event: &RawEvent) -> io::Result<()> {
        let style = self.events.unwrap_or(match self.mode {
            Mode::Pretty => EventStyle::Pretty,
            Mode::Table => EventStyle::Line,
            _ => EventStyle::Compact,
        });
        let text = match (self.mode, style) {
            (Mode::Raw, _) => layout::compact(&wire(event)?),
            (Mode::Jsonl, _) => Envelope::event(event).line(SystemTime::now())?,
            (_, EventStyle::Line) => return self.raw(&event::line(event, self.color)),
            (_, EventStyle::Pretty) => layout::pretty(&wire(event)?),
            (_, EventStyle::Compact) => layout::compact(&wire(event)?),
        };
        self.write(&text)
    }

    /// Writes lines for people to where replies go, such as help.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        if matches!(self.mode, Mode::Raw | Mode::Jsonl) {
            return self.message(text);
        }
        self.raw(&terminal::lines(text.trim_end_matches('\n')))
    }

    /// Writes a message for people, to where messages go. A standard error that is closed is ignored.
    ///
    /// # Errors
    /// None at present.
    #[allow(clippy::unnecessary_wraps)] // the same as the others
    pub(crate) fn message(&mut self, message: &str) -> io::Result<()> {
        let _ = self.messages.write_all(format!("{}\n", terminal::lines(message)).as_bytes());
        let _ = self.messages.flush();
        Ok(())
    }

    /// Writes bytes as they are, such as those of a guest's file.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.writer.flush()
    }

    /// Writes JSON or a table.
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.raw(&terminal::json(text))
    }

    /// Writes escaped text with a single write, so that other output cannot split it.
    fn raw(&mut self, text: &str) -> io::Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }
}

/// Returns the place of a statement as the beginning of a message: `setup.qmp:12: `.
pub(crate) fn place(origin: &Origin) -> String {
    match (&origin.file, origin.line) {
        (Some(file), Some(line)) => format!("{}:{line}: ", terminal::inline(file)),
        (None, Some(line)) => format!("line {line}: "),
        _ => String::new(),
    }
}

fn place_and_command(origin: &Origin) -> String {
    let command = terminal::inline(origin.command.as_deref().unwrap_or("the statement"));
    let place = place(origin);
    match place.strip_suffix(": ") {
        Some(place) => format!("`{command}` ({place})"),
        None => format!("`{command}`"),
    }
}
