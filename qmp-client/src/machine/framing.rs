//! From bytes to messages: the buffer, and what in it is a message.
//!
//! A message is a JSON object. Between messages there is white space, and 0xFF bytes, with which
//! a guest agent delimits; everything else is garbage up to the end of its line. Each byte is
//! looked at once: what is known of an unfinished message is kept between reads.

use std::fmt;
use std::ops::Range;

use super::scan::{Scan, Scanner};

/// A read takes at least this much.
const SMALL: usize = 4 * 1024;
/// A read takes at most this much, unless a message is larger.
const LARGE: usize = 64 * 1024;
/// How much of what a peer sent an error shows.
const SNIPPET: usize = 120;

/// Bytes from the peer that are no message.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Garbage {
    /// What is wrong with them.
    pub reason: Box<str>,
    /// The beginning of them, printable.
    pub snippet: Box<str>,
    /// How many there are, in bytes.
    pub length: usize,
}

impl Garbage {
    pub(crate) fn new(reason: impl Into<Box<str>>, bytes: &[u8]) -> Self {
        Self { reason: reason.into(), snippet: snippet(bytes), length: bytes.len() }
    }
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer sent `{}`, {} bytes: {}", self.snippet, self.length, self.reason)
    }
}

impl std::error::Error for Garbage {}

fn snippet(bytes: &[u8]) -> Box<str> {
    let shown = &bytes[..bytes.len().min(SNIPPET)];
    let mut text = String::from_utf8_lossy(shown.trim_ascii_end()).escape_debug().to_string();
    if shown.len() < bytes.len() {
        text.push('…');
    }
    text.into()
}

/// What the bytes so far contain.
#[derive(Debug)]
pub(super) enum Frame {
    /// A message, at this place of the buffer, nested so deep.
    Message { place: Range<usize>, depth: usize },
    /// Bytes that are none.
    Garbage(Garbage),
    /// The message that is arriving exceeds the limit.
    TooLarge,
}

/// A line of garbage that is arriving: its beginning, and its length so far.
#[derive(Debug, Default)]
struct Junk {
    beginning: Vec<u8>,
    length: usize,
    reason: &'static str,
}

/// The bytes that arrived and were not taken yet.
#[derive(Debug)]
pub(crate) struct Framer {
    /// As long as it is allocated; the bytes of interest are `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How far the message at `start` has been scanned, counted from `start`.
    scanned: usize,
    scanner: Scanner,
    junk: Option<Junk>,
    limit: usize,
    /// How much the next read asks for; it follows what the reads bring.
    appetite: usize,
    /// How many of the last bytes have arrived since a delimiter was looked for.
    fresh: usize,
}

impl Framer {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            scanner: Scanner::default(),
            junk: None,
            limit,
            appetite: SMALL,
            fresh: 0,
        }
    }

    /// Where the next bytes go.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.start > 0 {
            // Never the same byte twice without progress: after this the message starts at 0.
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // A message that outgrows the buffer makes it grow by half of itself.
        let wanted = self.end + self.appetite.max(self.end / 2);
        if self.buffer.len() < self.end + SMALL / 2 || self.buffer.len() < self.appetite {
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put into [`spare`](Self::spare).
    pub(crate) fn filled(&mut self, count: usize) {
        if self.end + count >= self.buffer.len() {
            self.appetite = (self.appetite * 4).min(LARGE);
        }
        self.end = (self.end + count).min(self.buffer.len());
        self.fresh = self.fresh.saturating_add(count);
    }

    /// Gives memory back if nothing is left to be read; a buffer up to `keep` bytes stays.
    pub(crate) fn release(&mut self, keep: usize) {
        if self.start == self.end && self.buffer.len() > keep {
            self.buffer = Vec::new();
            (self.start, self.end, self.appetite) = (0, 0, SMALL);
        }
    }

    /// The bytes at a place that [`next`](Self::next) gave.
    pub(super) fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    /// The line that begins a message, if nothing of the message has been looked at yet, and the
    /// line is complete and no longer than `longest`. It is not taken.
    pub(super) fn line(&mut self, longest: usize) -> Option<Range<usize>> {
        if self.junk.is_some() || self.scanned > 0 {
            return None;
        }
        self.skip_space();
        let rest = &self.buffer[self.start..self.end];
        let length = newline(&rest[..rest.len().min(longest)])?;
        Some(self.start..self.start + length)
    }

    /// The next thing in the bytes so far. What it refers to stays until the next
    /// [`spare`](Self::spare).
    pub(super) fn next(&mut self) -> Option<Frame> {
        loop {
            if self.junk.is_some() {
                return self.finish_junk().map(Frame::Garbage);
            }
            if self.scanned == 0 {
                self.skip_space();
                match self.buffer[self.start..self.end].first()? {
                    b'{' => {}
                    _ => {
                        self.start_junk(0, "not a JSON object");
                        continue;
                    }
                }
            }
            let object = &self.buffer[self.start..self.end];
            match self.scanner.scan(object, self.scanned) {
                Scan::Unfinished if object.len() > self.limit => return Some(Frame::TooLarge),
                Scan::Unfinished => {
                    self.scanned = object.len();
                    return None;
                }
                Scan::End(length) if length > self.limit => return Some(Frame::TooLarge),
                Scan::End(length) => {
                    let place = self.start..self.start + length;
                    let depth = self.scanner.deepest();
                    self.take(length);
                    return Some(Frame::Message { place, depth });
                }
                Scan::ControlCharacter(at) => {
                    self.start_junk(at, "a control character in a string");
                }
                Scan::Misplaced(at) => return Some(Frame::Garbage(self.cut_before(at))),
            }
        }
    }

    /// What has arrived of a message, or of a line of garbage, that is not finished.
    pub(super) fn unfinished(&self) -> Option<Garbage> {
        let rest = &self.buffer[self.start..self.end];
        match &self.junk {
            Some(junk) => {
                Some(Garbage { length: junk.length, ..Garbage::new(junk.reason, &junk.beginning) })
            }
            None if rest.is_empty() => None,
            None => Some(Garbage::new("an unfinished message", rest)),
        }
    }

    /// Forgets all that is before the last of these bytes, if there is one.
    pub(super) fn skip_to(&mut self, delimiter: u8) {
        let rest = &self.buffer[self.start..self.end];
        // There is none before: this is asked for each message, of which there may be many.
        let before = rest.len().saturating_sub(std::mem::take(&mut self.fresh));
        if let Some(at) = rest[before..].iter().rposition(|byte| *byte == delimiter) {
            self.junk = None;
            self.take(before + at + 1);
        }
    }

    fn skip_space(&mut self) {
        let space = |byte: &&u8| byte.is_ascii_whitespace() || **byte == 0xFF;
        self.start += self.buffer[self.start..self.end].iter().take_while(space).count();
    }

    /// An object starts at `at`, inside another one. If it stands at the beginning of a line,
    /// what lies before was cut off; otherwise the whole line is garbage.
    fn cut_before(&mut self, at: usize) -> Garbage {
        let before = &self.buffer[self.start..self.start + at];
        let indent = before.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line = before[..before.len() - indent].ends_with(b"\n");
        let garbage = Garbage::new("an object that is cut off", before);
        if line {
            self.take(at);
        } else {
            self.start_junk(at, "an object where none may start");
        }
        garbage
    }

    /// So many bytes have been read as a message.
    pub(super) fn take(&mut self, length: usize) {
        self.start += length;
        self.scanned = 0;
        self.scanner = Scanner::default();
    }

    /// The `length` bytes at the start, and all behind them to the line's end, are garbage.
    fn start_junk(&mut self, length: usize, reason: &'static str) {
        let mut junk = Junk { reason, ..Junk::default() };
        junk.add(&self.buffer[self.start..self.start + length]);
        self.junk = Some(junk);
        self.take(length);
    }

    fn finish_junk(&mut self) -> Option<Garbage> {
        let rest = &self.buffer[self.start..self.end];
        let newline = newline(rest);
        let length = newline.map_or(rest.len(), |at| at + 1);
        if let Some(junk) = &mut self.junk {
            junk.add(&rest[..length]);
        }
        self.start += length;
        newline?;
        let garbage = self.unfinished();
        self.junk = None;
        garbage
    }
}

/// Where the first line ends.
fn newline(bytes: &[u8]) -> Option<usize> {
    // In a block of this size the compiler looks at many bytes at once.
    const BLOCK: usize = 32;
    let is_newline = |byte: &u8| *byte == b'\n';
    let blocks = bytes.chunks(BLOCK);
    let found = blocks
        .enumerate()
        .find(|(_, block)| block.iter().fold(false, |found, byte| found | is_newline(byte)));
    let (index, block) = found?;
    block.iter().position(is_newline).map(|at| index * BLOCK + at)
}

impl Junk {
    fn add(&mut self, bytes: &[u8]) {
        // One byte more than is shown, so that it shows that there is more.
        let room = (SNIPPET + 1).saturating_sub(self.beginning.len()).min(bytes.len());
        self.beginning.extend_from_slice(&bytes[..room]);
        self.length += bytes.len();
    }
}
