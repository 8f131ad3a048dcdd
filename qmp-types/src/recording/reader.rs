//! Reads recordings, one line at a time.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Direction, VERSION};
use crate::{Printable, Timestamp, Version, decode};

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

impl fmt::Debug for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::printable::debug_error(f, "RecordingError", self, format_args!(""))
    }
}

impl fmt::Display for RecordingError {
    #[inline]
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
    #[inline]
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
    #[inline]
    fn parse(bytes: &[u8], line: usize) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        let members: Members<'_> =
            serde_json::from_str(text).map_err(|error| position_in_line(&error))?;
        match members.version {
            Some(version) => header(version, &members).map(Self::Header),
            None => entry(&members, line).map(Self::Message),
        }
    }
}

/// The members that lines have, as text: a message may be deeper than values of this crate, and a file
/// from elsewhere must not decide how much memory a line takes.
#[derive(Default)]
struct Members<'l> {
    by: Option<&'l RawValue>,
    direction: Option<&'l RawValue>,
    fds: Option<&'l RawValue>,
    message: Option<&'l RawValue>,
    monitor: Option<&'l RawValue>,
    qemu: Option<&'l RawValue>,
    started: Option<&'l RawValue>,
    text: Option<&'l RawValue>,
    time: Option<&'l RawValue>,
    version: Option<&'l RawValue>,
}

impl<'l> Deserialize<'l> for Members<'l> {
    fn deserialize<D: Deserializer<'l>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'l> Visitor<'l> for Object {
            type Value = Members<'l>;

            #[inline]
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<Members<'l>, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<String>()? {
                    let Some(member) = members.of_name(&name) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    *member = Some(map.next_value()?);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'l> Members<'l> {
    #[inline]
    fn of_name(&mut self, name: &str) -> Option<&mut Option<&'l RawValue>> {
        Some(match name {
            "by" => &mut self.by,
            "direction" => &mut self.direction,
            "fds" => &mut self.fds,
            "message" => &mut self.message,
            "monitor" => &mut self.monitor,
            "qemu" => &mut self.qemu,
            "qmp-recording" => &mut self.version,
            "started" => &mut self.started,
            "text" => &mut self.text,
            "time" => &mut self.time,
            _ => return None,
        })
    }
}

/// Returns the message of an error without the line, which is always the first.
#[inline]
fn position_in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&position) {
        Some(text) => format!("{text} at column {}", error.column()),
        None => text,
    }
}

#[inline]
fn header(version: &RawValue, members: &Members<'_>) -> Result<Header, String> {
    let version = serde_json::from_str::<u64>(version.get())
        .map_err(|_| "`qmp-recording` is not a version")?;
    if version > VERSION {
        return Err(format!(
            "the format's version is {version}, and only versions up to {VERSION} are supported"
        ));
    }
    let started = members.started.and_then(|time| decode(time.get()).ok());
    Ok(Header {
        version,
        by: text("by", members.by)?.unwrap_or_default(),
        started: started.unwrap_or(Timestamp::UNKNOWN),
        qemu: members.qemu.and_then(|version| decode(version.get()).ok()),
    })
}

#[inline]
fn entry(members: &Members<'_>, line: usize) -> Result<Entry, String> {
    let time = number(members.time).map_err(|_| "`time` is not a number of microseconds")?;
    let fds = number(members.fds).map_err(|_| "`fds` is not a number of file descriptors")?;
    let direction = text("direction", members.direction).ok().flatten().unwrap_or_default();
    let direction = direction.parse().map_err(|error| format!("`direction` is {error}"))?;
    let content = match members.message {
        Some(message) if message.get().starts_with('{') => Content::Message(message.to_owned()),
        Some(_) => return Err("`message` is not an object".to_owned()),
        None => Content::Text(text("text", members.text)?.ok_or("`message` is missing")?),
    };
    let monitor = text("monitor", members.monitor)?.unwrap_or_default();
    Ok(Entry { line, time, direction, monitor, fds: fds.unwrap_or(0), content })
}

/// Reads a number, if there is one.
#[inline]
fn number(value: Option<&RawValue>) -> serde_json::Result<Option<u64>> {
    value.map(|value| serde_json::from_str(value.get())).transpose()
}

/// Reads a string, if there is one.
#[inline]
fn text(name: &str, value: Option<&RawValue>) -> Result<Option<String>, String> {
    let text = value.map(|value| serde_json::from_str(value.get())).transpose();
    text.map_err(|_| format!("`{name}` is not a string"))
}
