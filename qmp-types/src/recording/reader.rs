//! Reads recordings, one line at a time.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Direction, VERSION};
use crate::{Printable, Timestamp, Version};

/// The greatest length of a line, in bytes: more than the largest message that clients accept.
const MAX_LINE: u64 = 128 << 20;

/// The first line of a recording.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Header {
    /// The version of the format.
    pub version: u64,
    /// The program that has made the recording.
    pub by: String,
    /// When the recording began.
    pub started: Timestamp,
    /// The version of the server, if it is known.
    pub qemu: Option<Version>,
}

/// A message of a recording.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The number of the line, from 1.
    pub line: usize,
    /// The microseconds since the beginning; none if the recording was written by hand.
    pub time: Option<u64>,
    /// Whether a client has sent or received the message.
    pub direction: Direction,
    /// The name of the connection.
    pub monitor: String,
    /// The number of file descriptors that came with the message.
    pub fds: u64,
    /// The message.
    pub content: Content,
}

/// The content of a message in a recording.
#[derive(Clone, Debug)]
pub enum Content {
    /// A JSON object, as text.
    Message(Box<RawValue>),
    /// A message that is not a JSON object.
    Text(String),
}

/// Reads a recording, as an iterator of its messages. Errors end it.
///
/// The memory is bounded by the longest line, and a line by 128 MiB.
pub struct Reader<R> {
    reader: R,
    /// The number of lines that have been read.
    lines: usize,
    header: Option<Header>,
    /// The message that has been read in search of the header.
    first: Option<Entry>,
    is_torn: bool,
    has_ended: bool,
}

/// The error for a recording that cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file cannot be read.
    Io(io::Error),
    /// A line does not have the format of recordings.
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// The reason.
        reason: String,
    },
}

impl RecordingError {
    /// Creates the error for a line.
    pub fn line(line: usize, reason: impl Into<String>) -> Self {
        Self::Line { line, reason: reason.into() }
    }
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("failed to read the recording"),
            Self::Line { line, reason } => {
                write!(f, "line {line} of the recording is invalid: {}", Printable(reason))
            }
        }
    }
}

impl std::error::Error for RecordingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Line { .. } => None,
        }
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("lines", &self.lines)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl Reader<BufReader<std::fs::File>> {
    /// Opens a recording.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or its first line does not have the format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        Self::new(BufReader::new(std::fs::File::open(path).map_err(RecordingError::Io)?))
    }
}

impl<R: BufRead> Reader<R> {
    /// Begins to read a recording.
    ///
    /// # Errors
    /// Returns an error if it cannot be read, or its first line does not have the format.
    pub fn new(reader: R) -> Result<Self, RecordingError> {
        let mut reader =
            Self { reader, lines: 0, header: None, first: None, is_torn: false, has_ended: false };
        match reader.line()? {
            Some(Line::Header(header)) => reader.header = Some(header),
            Some(Line::Message(entry)) => reader.first = Some(entry),
            None => {}
        }
        Ok(reader)
    }

    /// Returns the header, or none if the recording was written by hand.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Returns whether the last line was incomplete and has been ignored. This is known at the end.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Returns the next line that is not empty, or none at the end.
    fn line(&mut self) -> Result<Option<Line>, RecordingError> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let mut limited = (&mut self.reader).take(MAX_LINE);
            if limited.read_until(b'\n', &mut bytes).map_err(RecordingError::Io)? == 0 {
                return Ok(None);
            }
            self.lines += 1;
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let is_complete = bytes.last() == Some(&b'\n');
            if !is_complete && bytes.len() as u64 == MAX_LINE {
                return Err(self.invalid(format!("longer than {MAX_LINE} bytes")));
            }
            return match Line::parse(&bytes, self.lines) {
                Ok(line) => Ok(Some(line)),
                Err(_) if !is_complete && self.header.is_some() => {
                    self.is_torn = true;
                    Ok(None)
                }
                Err(reason) => Err(self.invalid(reason)),
            };
        }
    }

    fn invalid(&self, reason: impl Into<String>) -> RecordingError {
        RecordingError::line(self.lines, reason)
    }

    fn entry(&mut self) -> Result<Option<Entry>, RecordingError> {
        if let Some(entry) = self.first.take() {
            return Ok(Some(entry));
        }
        match self.line()? {
            Some(Line::Message(entry)) => Ok(Some(entry)),
            Some(Line::Header(_)) => Err(self.invalid("the header is not the first line")),
            None => Ok(None),
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let entry = self.entry().transpose();
        self.has_ended = !matches!(entry, Some(Ok(_)));
        entry
    }
}

enum Line {
    Header(Header),
    Message(Entry),
}

impl Line {
    fn parse(bytes: &[u8], line: usize) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        let mut members: std::collections::BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|error| position_in_line(&error))?;
        // The message may be deeper than values of this crate: it stays text.
        let message = members.remove("message");
        let mut known = Map::new();
        for name in [
            "qmp-recording",
            "by",
            "started",
            "qemu",
            "time",
            "direction",
            "monitor",
            "fds",
            "text",
        ] {
            if let Some(value) = members.remove(name) {
                let value = serde_json::from_str(value.get())
                    .map_err(|_| format!("`{name}` cannot be read"))?;
                known.insert(name.to_owned(), value);
            }
        }
        match known.remove("qmp-recording") {
            Some(version) => header(&version, &mut known).map(Self::Header),
            None => entry(message, &mut known, line).map(Self::Message),
        }
    }
}

/// Returns the message of an error without the line, which is always the first.
fn position_in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&position) {
        Some(text) => format!("{text} at column {}", error.column()),
        None => text,
    }
}

fn header(version: &Value, members: &mut Map<String, Value>) -> Result<Header, String> {
    let version = version.as_u64().ok_or("`qmp-recording` is not a version")?;
    if version > VERSION {
        return Err(format!(
            "the format's version is {version}, and only versions up to {VERSION} are supported"
        ));
    }
    let started = members.remove("started").and_then(|time| serde_json::from_value(time).ok());
    Ok(Header {
        version,
        by: take_text(members, "by")?.unwrap_or_default(),
        started: started.unwrap_or(Timestamp::UNKNOWN),
        qemu: members.remove("qemu").and_then(|version| serde_json::from_value(version).ok()),
    })
}

fn entry(
    message: Option<&RawValue>,
    members: &mut Map<String, Value>,
    line: usize,
) -> Result<Entry, String> {
    let number = |name: &str, of: &str| match members.get(name) {
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(format!("`{name}` is not a number of {of}")),
        },
        None => Ok(None),
    };
    let time = number("time", "microseconds")?;
    let fds = number("fds", "file descriptors")?.unwrap_or(0);
    let direction = members.get("direction").and_then(Value::as_str).unwrap_or_default();
    let direction = direction.parse().map_err(|error| format!("`direction` is {error}"))?;
    let content = match message {
        Some(message) if message.get().starts_with('{') => Content::Message(message.to_owned()),
        Some(_) => return Err("`message` is not an object".to_owned()),
        None => Content::Text(take_text(members, "text")?.ok_or("`message` is missing")?),
    };
    let monitor = take_text(members, "monitor")?.unwrap_or_default();
    Ok(Entry { line, time, direction, monitor, fds, content })
}

fn take_text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match members.remove(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is not a string")),
        None => Ok(None),
    }
}
