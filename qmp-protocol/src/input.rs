//! The input buffer: from bytes to messages.
//!
//! A message is a JSON object. Between messages, separators are skipped; anything else is garbage up
//! to the end of its line. Each byte is examined once, or twice if a fast path declines it: what is
//! known about an unfinished message is kept between reads.

use std::fmt;
use std::ops::Range;

use qmp_types::ServerMessage;

use crate::direct::{Direct, TakeEvents};
use crate::garbage::{Garbage, SNIPPET};
use crate::id::CallId;
use crate::line::{self, Line};
use crate::message::{ENDING, id_at_end};
use crate::newline::newline;
use crate::scan::{Scan, Scanner};
use crate::separator::{Beginning, beginning};

/// The least that a read asks for.
const SMALL: usize = 4 * 1024;
/// The most that a read asks for, unless a message is larger.
const LARGE: usize = 64 * 1024;

/// The bytes that are checked for UTF-8 at once when events are taken directly.
const WINDOW: usize = 8 * 1024;

/// The largest buffer that is kept when it is empty.
const LARGEST_KEPT: usize = 1 << 20;

/// The next thing in the buffer.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A message, its place in the buffer, and the depth of its deepest bracket.
    Message { place: Range<usize>, depth: usize },
    /// Bytes that are not a message.
    Garbage {
        garbage: Garbage,
        /// The id of the reply that they may have been.
        id: Option<CallId>,
        /// Whether they are a line that ends as an object does.
        ends_object: bool,
    },
    /// The message that is arriving exceeds the limit.
    TooLarge,
}

/// A line of garbage that is still arriving: its first and last bytes, and its length so far.
#[derive(Debug, Default)]
struct Junk {
    beginning: Vec<u8>,
    ending: Vec<u8>,
    length: usize,
    reason: &'static str,
}

/// The bytes that have arrived and that no message has been made of yet.
///
/// The buffer is separate from the [`Connection`](crate::Connection), so that a driver can read
/// into it without holding the lock that guards the connection.
pub struct Input {
    /// Initialized as far as it is allocated; the bytes that have arrived are `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How much of the message at `start` has been scanned, in bytes from `start`.
    scanned: usize,
    scanner: Scanner,
    junk: Option<Junk>,
    limit: usize,
    /// The size of the next read, which follows the size of the reads before it.
    appetite: usize,
    /// The number of trailing bytes in which no delimiter has been searched for.
    fresh: usize,
    /// The number of bytes that have arrived, and have not been counted by the connection.
    received: u64,
}

/// The bytes are not shown: replies have secrets, and escapes.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("length", &(self.end - self.start))
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Input {
    /// Creates an empty buffer that accepts messages of up to `limit` bytes.
    /// [`Connection::new_input`](crate::Connection::new_input) creates one with the limit of its
    /// connection.
    ///
    /// ```
    /// use qmp_protocol::Input;
    ///
    /// let input = Input::new(1 << 20);
    /// assert!(input.is_empty());
    /// ```
    #[must_use]
    pub fn new(limit: usize) -> Self {
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
            received: 0,
        }
    }

    /// Returns room for the next bytes from the peer. The slice is never empty.
    ///
    /// ```
    /// use std::io::Read;
    ///
    /// use qmp_protocol::Input;
    ///
    /// let mut socket = &b"{\"return\": {}, \"id\": 1}"[..];
    /// let mut input = Input::new(1 << 20);
    /// let count = socket.read(input.spare())?;
    /// input.filled(count);
    /// assert!(!input.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spare(&mut self) -> &mut [u8] {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 {
            // No byte is moved twice: from here on the message starts at 0.
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // A message that outgrows the buffer makes it grow by half of itself.
        // Beyond the limit of messages, it need not grow.
        let growth = (self.end / 2).min(self.limit.saturating_sub(self.end));
        let wanted = self.end + self.appetite.max(growth);
        if self.buffer.len() < self.end + SMALL / 2 || self.buffer.len() < self.appetite {
            // `resize` alone would double the memory.
            self.buffer.reserve_exact(wanted.saturating_sub(self.buffer.len()));
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Records that the first `count` bytes of [`spare`](Self::spare) have been received.
    ///
    /// ```
    /// use qmp_protocol::Input;
    ///
    /// let mut input = Input::new(1 << 20);
    /// input.spare()[..2].copy_from_slice(b"{}");
    /// input.filled(2);
    /// assert!(!input.is_empty());
    /// ```
    #[inline]
    pub fn filled(&mut self, count: usize) {
        if self.end.saturating_add(count) >= self.buffer.len() {
            self.appetite = (self.appetite * 4).min(LARGE);
        }
        self.end = self.end.saturating_add(count).min(self.buffer.len());
        self.fresh = self.fresh.saturating_add(count);
        self.received += count as u64;
    }

    /// Takes the number of bytes that have arrived since the last call.
    #[inline]
    pub(crate) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// Appends bytes by copying them, for a driver that has them elsewhere.
    ///
    /// ```
    /// use qmp_protocol::Input;
    ///
    /// let mut input = Input::new(1 << 20);
    /// input.push(b"{\"return\": {}, \"id\": 1}");
    /// assert!(!input.is_empty());
    /// ```
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.spare();
            let count = spare.len().min(bytes.len());
            spare[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// Returns whether every byte that has arrived has been given out.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// input.push(br#"{"return": {}, "id": 1}"#);
    /// assert!(!input.is_empty());
    /// while connection.next(&mut input).is_some() {}
    /// assert!(input.is_empty());
    /// ```
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Frees the buffer if it is empty and larger than `keep` bytes.
    ///
    /// ```
    /// use qmp_protocol::Input;
    ///
    /// // A connection that goes idle needs no buffer.
    /// let mut input = Input::new(1 << 20);
    /// assert!(!input.spare().is_empty());
    /// input.release(0);
    /// ```
    #[inline]
    pub fn release(&mut self, keep: usize) {
        if self.is_empty() && self.buffer.len() > keep {
            self.buffer = Vec::new();
            (self.start, self.end, self.appetite) = (0, 0, SMALL);
        }
    }

    /// Returns the bytes that have arrived and have not been taken.
    #[inline]
    fn arrived(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Returns whether what comes next looks like an event: see [`take_events`](Self::take_events).
    #[doc(hidden)]
    #[must_use]
    pub fn is_at_event(&self) -> bool {
        let rest = self.arrived();
        rest.len() > line::EVENT.len() && rest.trim_ascii_start().starts_with(line::EVENT)
    }

    /// Returns the bytes at a place that [`frame`](Self::frame) or [`line`](Self::line) gave.
    pub(crate) fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    /// Takes the next message by the fast path, if it is complete, has at most `longest` bytes, and the
    /// fast path understands it.
    #[inline]
    pub(crate) fn line(&mut self, longest: usize) -> Option<Line> {
        if !self.may_be_short(longest) {
            return None;
        }
        self.skip_space();
        let end = self.end.min(self.start.saturating_add(longest.min(self.limit)));
        let line = line::read(&self.buffer[..end], self.start)?;
        self.take(line.place.len());
        self.skip_line_end();
        Some(line)
    }

    /// Returns whether the fast path may find a complete message of at most `longest` bytes. One whose
    /// beginning was scanned by an earlier call is read again only if it may have ended since.
    fn may_be_short(&self, longest: usize) -> bool {
        let fresh = || self.buffer[self.start + self.scanned..self.end].contains(&b'}');
        self.junk.is_none() && (self.scanned == 0 || (self.scanned < longest && fresh()))
    }

    /// Takes events directly, without the connection, while they come one after the other in the form
    /// that QEMU writes. The first message that is anything else, and the first that `taker` does not
    /// decode, is left to [`Connection::next`](crate::Connection::next).
    #[doc(hidden)]
    pub fn take_events(&mut self, mut direct: Direct, taker: &mut impl TakeEvents) {
        let longest = direct.longest.min(self.limit);
        if !self.may_be_short(longest) {
            return;
        }
        while direct.left > 0 {
            self.skip_space();
            let rest = &self.buffer[self.start..self.end];
            if !rest.starts_with(line::EVENT) {
                return;
            }
            let text = utf8_beginning(&rest[..rest.len().min(WINDOW).min(direct.left)]);
            let mut at = 0;
            loop {
                let space = leading_space(&text.as_bytes()[at..]);
                let rest = text.get(at + space..).unwrap_or_default();
                let Some((event, length)) = line::decode_event(rest, longest, taker) else { break };
                at += space + length;
                // Taken once, even if the next one panics.
                self.start += space + length;
                (self.scanned, self.scanner) = (0, Scanner::default());
                taker.commit(event);
            }
            if at == 0 {
                return;
            }
            direct.left = direct.left.saturating_sub(at);
        }
    }

    /// Takes the next thing in the buffer. The place it refers to is valid until the next call of
    /// [`spare`](Self::spare). `may_be_inside` says that the buffer may begin inside a message: an object
    /// that goes on as a member or an element does is not a message then. Only a greeting is taken before
    /// the byte after it has arrived, unless `is_all` says that no more will.
    pub(crate) fn frame(&mut self, may_be_inside: bool, is_all: bool) -> Option<Frame> {
        loop {
            if self.junk.is_some() {
                return self.finish_junk();
            }
            if self.scanned == 0 {
                self.skip_space();
                match self.arrived() {
                    [] => {
                        self.is_exhausted();
                        return None;
                    }
                    [b'{', ..] => {}
                    rest if beginning(rest) == Beginning::Partial => return None,
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
                Scan::End(length)
                    if may_be_inside && matches!(object.get(length), Some(b',' | b']' | b'}')) =>
                {
                    self.start_junk(length, "the rest of a message");
                }
                Scan::End(length)
                    if may_be_inside
                        && !is_all
                        && object.len() == length
                        && !is_greeting(object) =>
                {
                    // It is scanned once more, when the next byte has arrived.
                    self.take(0);
                    return None;
                }
                Scan::End(length) => {
                    let place = self.start..self.start + length;
                    let depth = self.scanner.deepest();
                    self.take(length);
                    return Some(Frame::Message { place, depth });
                }
                Scan::ControlCharacter(at) => {
                    self.start_junk(at, "a control character in a string");
                }
                Scan::Misplaced(at) => {
                    let garbage = self.cut_before(at);
                    return Some(Frame::Garbage { garbage, id: None, ends_object: false });
                }
            }
        }
    }

    /// Returns everything that has arrived, if that is complete lines of at most `longest` bytes
    /// together that nothing has been made of yet.
    #[inline]
    pub(crate) fn short_lines(&self, longest: usize) -> Option<&[u8]> {
        let rest = self.arrived();
        let is_usual = self.junk.is_none() && self.scanned == 0 && rest.last() == Some(&b'\n');
        (is_usual && rest.len() <= longest.min(self.limit)).then_some(rest)
    }

    /// Discards everything that has arrived: it was a message, and what separates messages.
    #[inline]
    pub(crate) fn take_all(&mut self) {
        self.take(self.end - self.start);
    }

    /// Returns whether nothing is left, and frees a large buffer if so.
    #[inline]
    pub(crate) fn is_exhausted(&mut self) -> bool {
        let exhausted = self.is_empty();
        if exhausted {
            // The next message is rarely as large.
            self.release(LARGEST_KEPT);
        }
        exhausted
    }

    #[inline]
    fn skip_line_end(&mut self) {
        self.start += match self.arrived() {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => 0,
        };
    }

    /// Returns whether garbage has begun to arrive that an error shows in full: a longer line is not
    /// looked at again and again.
    pub(crate) fn is_short_junk(&self) -> bool {
        self.junk.as_ref().is_some_and(|junk| junk.length <= SNIPPET)
    }

    /// Returns what has arrived of an unfinished message, or of an unfinished line of garbage.
    pub(crate) fn unfinished(&self) -> Option<Garbage> {
        let rest = self.arrived();
        match &self.junk {
            Some(junk) => {
                Some(Garbage { length: junk.length, ..Garbage::new(junk.reason, &junk.beginning) })
            }
            None if rest.is_empty() => None,
            None => Some(Garbage::new("an unfinished message", rest)),
        }
    }

    /// Discards everything up to and including the last `delimiter`, if one has arrived.
    pub(crate) fn skip_past(&mut self, delimiter: u8) {
        let rest = &self.buffer[self.start..self.end];
        // The bytes before were searched by an earlier call: each byte is searched once.
        let before = rest.len().saturating_sub(std::mem::take(&mut self.fresh));
        if let Some(at) = rest[before..].iter().rposition(|byte| *byte == delimiter) {
            self.junk = None;
            self.take(before + at + 1);
        }
    }

    /// Discards everything, and the memory.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    #[inline]
    fn skip_space(&mut self) {
        if self.arrived().first() != Some(&b'{') {
            self.skip_separators();
        }
    }

    fn skip_separators(&mut self) {
        loop {
            let rest = &self.buffer[self.start..self.end];
            // Nearly always this is all there is.
            let ascii = leading_space(rest);
            self.start += ascii;
            if matches!(rest.get(ascii), None | Some(b'{')) {
                return;
            }
            let Beginning::Separator(length) = beginning(&rest[ascii..]) else { return };
            self.start += length;
        }
    }

    /// Handles an object that starts at `at`, inside another one. At the beginning of a line it is
    /// the next message, and the one before was cut off; elsewhere the whole line is garbage.
    fn cut_before(&mut self, at: usize) -> Garbage {
        let before = &self.buffer[self.start..self.start + at];
        let mut rest = before;
        while let [shorter @ .., b' ' | b'\t'] = rest {
            rest = shorter;
        }
        let line = rest.ends_with(b"\n");
        let garbage = Garbage::new("an object that is cut off", before);
        if line {
            self.take(at);
        } else {
            self.start_junk(at, "an object in a place where no value may start");
        }
        garbage
    }

    /// Removes the first `length` bytes: they were a message.
    fn take(&mut self, length: usize) {
        self.start += length;
        self.scanned = 0;
        self.scanner = Scanner::default();
    }

    /// Begins a line of garbage with the first `length` bytes. The rest of the line follows.
    fn start_junk(&mut self, length: usize, reason: &'static str) {
        let mut junk = Junk { reason, ..Junk::default() };
        junk.add(&self.buffer[self.start..self.start + length]);
        self.junk = Some(junk);
        self.take(length);
    }

    fn finish_junk(&mut self) -> Option<Frame> {
        let rest = &self.buffer[self.start..self.end];
        let newline = newline(rest);
        let length = newline.map_or(rest.len(), |at| at + 1);
        if let Some(junk) = &mut self.junk {
            junk.add(&rest[..length]);
        }
        self.start += length;
        newline?;
        let garbage = self.unfinished()?;
        let ending = self.junk.take()?.ending;
        let ends_object = ending.trim_ascii_end().ends_with(b"}");
        Some(Frame::Garbage { garbage, id: id_at_end(&ending), ends_object })
    }
}

/// Returns the number of spaces and control characters that some bytes begin with.
#[inline]
fn leading_space(bytes: &[u8]) -> usize {
    let mut count = 0;
    while matches!(bytes.get(count), Some(0..=b' ')) {
        count += 1;
    }
    count
}

/// Returns the bytes up to the first that are not UTF-8, as text.
fn utf8_beginning(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Returns whether an object begins as a greeting does, or is a greeting whose key may have escapes.
fn is_greeting(object: &[u8]) -> bool {
    let members = object.strip_prefix(b"{").unwrap_or(object);
    let is_parsed = |text| matches!(qmp_types::decode(text), Ok(ServerMessage::Greeting(_)));
    members.trim_ascii_start().starts_with(b"\"QMP\"")
        || object.contains(&b'\\') && std::str::from_utf8(object).is_ok_and(is_parsed)
}

impl Junk {
    fn add(&mut self, bytes: &[u8]) {
        // One byte more than is shown, so that the snippet is marked as incomplete.
        let room = (SNIPPET + 1).saturating_sub(self.beginning.len()).min(bytes.len());
        self.beginning.extend_from_slice(&bytes[..room]);
        self.ending.drain(
            ..(self.ending.len() + bytes.len()).saturating_sub(ENDING).min(self.ending.len()),
        );
        self.ending.extend_from_slice(&bytes[bytes.len().saturating_sub(ENDING)..]);
        self.length += bytes.len();
    }
}
