//! Reads the parts of a JSON text, and keeps the position.

use std::cell::Cell;

use serde::de::Error as _;
use serde_json::value::RawValue;

use super::check::{number_end, value_end};
use super::error::{JsonError, Result};
use super::escape::unescape;
use super::scan::{self, after_space, plain_end, plain_end_of_long, skip_brackets};

/// The deepest nesting that is read, in levels. Each level takes stack.
pub(super) const MAX_DEPTH: u8 = 128;

/// Reads one text.
pub(super) struct Reader<'de> {
    pub(super) text: &'de str,
    /// The index of the next byte.
    pub(super) at: usize,
    depth: u8,
    guesses: Guesses,
    /// Whether the text is known to be JSON.
    is_checked: bool,
    /// The number of bytes of memory that values may still take.
    memory: usize,
    /// Whether the text is damaged, or the position is inside a value whose type did not accept it. A type
    /// may ignore the error, but what follows cannot be read.
    is_lost: Cell<bool>,
}

/// The memory that values may take if that is more than that of the text, in bytes.
const MEMORY: usize = 32 << 20;
/// The memory that values may take beside what is written in the text, in bytes.
const BESIDE: usize = 1 << 20;

/// Returns the memory that the values of a text may take, in bytes. A text may be a few large strings.
fn memory_for(text: &str) -> usize {
    text.len().saturating_add(BESIDE).max(MEMORY)
}

/// Whether the position of a discriminator has been guessed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Guesses {
    None,
    Some,
    /// Guessing is not allowed.
    Never,
}

/// A number, as the first of these types that it fits into.
pub(super) enum Number<'t> {
    Natural(u64),
    Negative(i64),
    /// Converted only for types that ask for a fraction or any value: other programs need no code for it.
    Fraction(&'t str),
}

impl<'de> Reader<'de> {
    pub(super) fn new(text: &'de str, guesses: Guesses) -> Self {
        let is_lost = Cell::new(false);
        let memory = memory_for(text);
        Self { text, at: 0, depth: 0, guesses, is_checked: false, memory, is_lost }
    }

    /// Creates the reader of a text that has been checked: values that no type looks into are not checked
    /// again.
    pub(super) fn of_checked(text: &'de RawValue, guesses: Guesses) -> Self {
        Self { is_checked: true, ..Self::new(text.get(), guesses) }
    }

    pub(super) fn has_guessed(&self) -> bool {
        self.guesses == Guesses::Some
    }

    /// Reads the whole text as one value.
    pub(super) fn whole<T: serde::Deserialize<'de>>(&mut self) -> Result<T> {
        let value = T::deserialize(&mut *self);
        let value = self.located(value)?;
        self.check_end()?;
        Ok(value)
    }

    fn check_end(&mut self) -> Result<()> {
        match self.peek() {
            _ if self.is_lost() => Err(self.error("an error in a value was ignored by its type")),
            None => Ok(()),
            Some(_) => Err(self.error("trailing characters after the value")),
        }
    }

    /// Accounts for memory that a value takes.
    #[inline(always)]
    pub(super) fn take_memory(&mut self, bytes: usize) -> Result<()> {
        match self.memory.checked_sub(bytes) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => Err(self.out_of_memory()),
        }
    }

    #[cold]
    fn out_of_memory(&self) -> JsonError {
        let most = memory_for(self.text);
        self.error(&format!("the value takes more than {most} bytes of memory"))
    }

    /// Returns an error of the text. Nothing after it can be read.
    #[cold]
    pub(super) fn error(&self, reason: &str) -> JsonError {
        self.lose();
        JsonError::custom(format_args!("{reason}")).at(self.at)
    }

    /// Records that the end of the current value will not be found.
    #[cold]
    pub(super) fn lose(&self) {
        self.is_lost.set(true);
    }

    /// Returns whether an error has occurred after which nothing can be read.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.get()
    }

    /// Returns a value that has just been read; an error gets the current position, unless it has
    /// one.
    //
    // Large values are not moved on the way: the same variable is returned.
    #[inline(always)]
    pub(super) fn located<T>(&self, mut value: Result<T>) -> Result<T> {
        if let Err(error) = &mut value {
            error.locate(self.at);
        }
        value
    }

    /// Returns the next byte that is not white space, without taking it.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_after_space(),
        }
    }

    /// The slow path of [`peek`](Self::peek).
    #[inline(never)]
    fn peek_after_space(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        self.at = after_space(bytes, self.at);
        bytes.get(self.at).copied()
    }

    /// Takes the space that QEMU writes after a comma or a colon.
    #[inline(always)]
    pub(super) fn take_space(&mut self) {
        self.at += usize::from(self.text.as_bytes().get(self.at) == Some(&b' '));
    }

    /// Takes a byte, after white space.
    #[inline(always)]
    pub(super) fn expect(&mut self, byte: u8) -> Result<()> {
        if self.text.as_bytes().get(self.at) == Some(&byte) {
            self.at += 1;
            return Ok(());
        }
        self.expect_after_space(byte)
    }

    #[inline(never)]
    fn expect_after_space(&mut self, byte: u8) -> Result<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected(&format_args!("expected `{}`", char::from(byte))))
    }

    /// Returns the error for a list in which neither a `,` nor the closing bracket comes next.
    #[cold]
    pub(super) fn neither_comma_nor(&mut self, bracket: u8) -> JsonError {
        self.unexpected(&format_args!("expected `,` or `{}`", char::from(bracket)))
    }

    #[cold]
    fn unexpected(&mut self, expected: &std::fmt::Arguments<'_>) -> JsonError {
        match self.peek() {
            Some(_) => self.error(&expected.to_string()),
            None => self.ends_early(),
        }
    }

    #[cold]
    pub(super) fn ends_early(&self) -> JsonError {
        self.error("unexpected end of the text")
    }

    /// Takes the string that begins here. Returns what is between its quotes, unless there are
    /// escapes in it.
    pub(super) fn string(&mut self) -> Result<Option<&'de str>> {
        match self.plain_string(self.at) {
            Ok(plain) => Ok(Some(plain)),
            Err(special) => self.string_with_escapes(special).map(|()| None),
        }
    }

    /// Takes the string that begins at `start`, if it has no escapes. Otherwise returns the index of
    /// its first byte that is not plain.
    #[inline(always)]
    pub(super) fn plain_string(&mut self, start: usize) -> std::result::Result<&'de str, usize> {
        // A slice that begins there spares the checks of an index into the whole text.
        let inside = self.text.get(start + 1..).unwrap_or_default();
        let length = plain_end(inside.as_bytes(), 0);
        match (inside.as_bytes().get(length), inside.get(..length)) {
            (Some(b'"'), Some(plain)) => {
                self.at = start + length + 2;
                Ok(plain)
            }
            _ => Err(start + 1 + length),
        }
    }

    /// Takes the rest of a string, from its first byte that is not plain.
    #[cold]
    pub(super) fn string_with_escapes(&mut self, special: usize) -> Result<()> {
        let bytes = self.text.as_bytes();
        let mut at = special;
        loop {
            at = plain_end_of_long(bytes, at);
            // The position of an error is after the byte that causes it.
            self.at = bytes.len().min(at + 1);
            match bytes.get(at) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => at += 2,
                Some(_) => return Err(self.error("control character in a string")),
                None => return Err(self.error("unterminated string")),
            }
        }
    }

    /// Unescapes the string that began at `start` and has just been taken.
    #[cold]
    pub(super) fn unescaped(&self, start: usize) -> Result<String> {
        unescape(&self.text[start + 1..self.at - 1])
            .ok_or_else(|| self.error("invalid escape in a string"))
    }

    pub(super) fn number(&mut self) -> Result<Number<'de>> {
        /// Any number of this many digits fits.
        const DIGITS: usize = 18;
        let bytes = self.text.as_bytes();
        let start = self.at + usize::from(bytes.get(self.at) == Some(&b'-'));
        let (mut at, mut number) = (start, 0_u64);
        while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            at += 1;
        }
        let more = matches!(bytes.get(at), Some(b'-' | b'+' | b'.' | b'e' | b'E'));
        let is_short = at - start == 1 || (at - start <= DIGITS && bytes.get(start) != Some(&b'0'));
        if more || !is_short || at == start {
            return self.any_number();
        }
        if start == self.at {
            self.at = at;
            return Ok(Number::Natural(number));
        }
        match i64::try_from(number) {
            Ok(number @ 1..) => {
                self.at = at;
                Ok(Number::Negative(-number))
            }
            _ => self.any_number(),
        }
    }

    /// The slow path of [`number`](Self::number).
    fn any_number(&mut self) -> Result<Number<'de>> {
        let rest = &self.text[self.at..];
        let length = rest.bytes().position(|b| !is_part_of_number(&b)).unwrap_or(rest.len());
        let number = &rest[..length];
        self.at += length;
        let digits = number.strip_prefix('-').unwrap_or(number);
        let whole = digits.bytes().all(|b| b.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'));
        if whole && number != "-0" {
            if let Ok(number) = number.parse() {
                return Ok(Number::Natural(number));
            }
            if let Ok(number) = number.parse() {
                return Ok(Number::Negative(number));
            }
        }
        match number_end(number.as_bytes(), 0) {
            Some(end) if end == length => Ok(Number::Fraction(number)),
            _ => Err(self.error("invalid number")),
        }
    }

    /// Takes a boolean, or returns `None` for `null`.
    pub(super) fn word(&mut self) -> Result<Option<bool>> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (length, value) = match rest {
            [b'n', b'u', b'l', b'l', ..] => (4, None),
            [b't', b'r', b'u', b'e', ..] => (4, Some(true)),
            [b'f', b'a', b'l', b's', b'e', ..] => (5, Some(false)),
            _ => return Err(self.error("expected a value")),
        };
        self.at += length;
        Ok(value)
    }

    /// Enters a `[` or `{`, and returns its index.
    #[inline]
    pub(super) fn enter(&mut self) -> Result<usize> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(&format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let start = self.at;
        self.depth += 1;
        self.at += 1;
        Ok(start)
    }

    /// Leaves the array or object that began at `start`.
    #[inline(always)]
    pub(super) fn leave<T>(
        &mut self,
        start: usize,
        mut value: Result<T>,
        end: Result<()>,
    ) -> Result<T> {
        self.depth -= 1;
        if let (Ok(_), Err(error)) = (&value, end) {
            value = Err(error);
        }
        if let Err(error) = &mut value {
            // An error without a position, such as a missing member, concerns the whole.
            error.locate(start);
            self.lose();
        }
        value
    }

    /// Leaves the object that began at `start`, whose visitor reads it to the end.
    #[inline(always)]
    pub(super) fn leave_whole<T>(
        &mut self,
        start: usize,
        has_ended: bool,
        value: Result<T>,
    ) -> Result<T> {
        self.depth -= 1;
        self.is_lost.set(self.is_lost.get() | !has_ended);
        value.map_err(|error| self.failed(start, error))
    }

    /// Returns the error of the object that began at `start`.
    #[cold]
    #[inline(never)]
    fn failed(&self, start: usize, error: JsonError) -> JsonError {
        self.lose();
        // An error without a position, such as a missing member, concerns the whole.
        error.at(start)
    }

    /// Takes a value, however deep, and returns its text. Whether the inside of brackets is JSON is
    /// not checked.
    pub(super) fn raw(&mut self) -> Result<&'de str> {
        if self.is_checked && self.at == 0 && self.depth == 0 {
            // All of the text is the value.
            self.at = self.text.len();
            return Ok(self.text.trim_ascii());
        }
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{' | b'[') => {
                let end = skip_brackets(self.text.as_bytes(), start);
                self.at = end.ok_or_else(|| self.ends_early())?;
            }
            Some(b'-' | b'0'..=b'9') => {
                // A number need not fit into any type if it is not converted.
                match number_end(self.text.as_bytes(), start) {
                    Some(end) if !self.text.as_bytes().get(end).is_some_and(is_part_of_number) => {
                        self.at = end;
                    }
                    _ => _ = self.number()?,
                }
            }
            Some(b'"') => {
                if self.string()?.is_none() {
                    self.unescaped(start)?;
                }
            }
            Some(_) => _ = self.word()?,
            None => return Err(self.ends_early()),
        }
        Ok(&self.text[start..self.at])
    }

    /// Takes a value, however deep, and returns its text, all of which is valid.
    pub(super) fn valid(&mut self) -> Result<&'de str> {
        if self.is_checked || !matches!(self.peek(), Some(b'{' | b'[')) {
            return self.raw();
        }
        let start = self.at;
        match value_end(self.text.as_bytes(), start) {
            Ok(end) => self.at = end,
            Err((at, reason)) => {
                self.at = at;
                return Err(self.error(reason));
            }
        }
        Ok(&self.text[start..self.at])
    }

    /// Skips a value, however deep.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.valid().map(drop)
    }

    /// Returns the index of the member `name` of the object whose `{` has been taken.
    ///
    /// The next occurrence of the name, in whatever object, is nearly always right, and finding it
    /// costs a fraction of following the structure. Reading the object shows whether it is right:
    /// either the index is met as that of one of its members, or the whole text is read again,
    /// without guessing. A name with escapes is not found: it is read when its turn comes,
    /// unless the name is there without escapes, too.
    pub(super) fn find(&mut self, name: &str) -> Option<usize> {
        if self.guesses == Guesses::Never {
            return scan::find_member(self.text, self.at, &|inside| inside == name);
        }
        self.guesses = Guesses::Some;
        scan::find_name(self.text.as_bytes(), self.at, name)
    }
}

fn is_part_of_number(byte: &u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}
