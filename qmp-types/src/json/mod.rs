//! Reads JSON text, a deserialiser for serde.
//!
//! What is general is left to `serde_json`: unescaping, fractions, raw values. What is special
//! here is that the position in the text is known, and with it:
//!
//! - a union's discriminator is looked for ahead and given first, so that its members are read
//!   straight into their types, whatever their order (a type asks for it by
//!   `deserialize_struct`, with the discriminator as the only field);
//! - an error knows its place.
//!
//! The text is UTF-8 already, which is not checked again.

mod access;
mod scan;

use std::fmt;

use serde::de::{Deserializer, Error as _, IgnoredAny, Visitor};

use access::{Elements, Members, Variant};
use scan::{after_space, skip_brackets};

pub use scan::plain_end;

/// The deepest nesting that is read; each level takes stack.
const MAX_DEPTH: u8 = 128;

/// What is wrong, and behind which byte. In a box, since every result makes room for it.
#[derive(Debug)]
pub(crate) struct JsonError(Box<Wrong>);

#[derive(Debug)]
struct Wrong {
    reason: String,
    offset: Option<usize>,
}

impl JsonError {
    /// The error at a place, unless it has one already.
    #[cold]
    fn at(mut self, offset: usize) -> Self {
        self.place(offset);
        self
    }

    #[cold]
    fn place(&mut self, offset: usize) {
        self.0.offset.get_or_insert(offset);
    }

    /// What is wrong, and behind which byte.
    pub(crate) fn into_parts(self) -> (String, Option<usize>) {
        (self.0.reason, self.0.offset)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl std::error::Error for JsonError {}

impl serde::de::Error for JsonError {
    #[cold]
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(Box::new(Wrong { reason: reason.to_string(), offset: None }))
    }
}

type Result<T> = std::result::Result<T, JsonError>;

/// Reads a whole text as a `T`.
pub(crate) fn from_str<'de, T: serde::Deserialize<'de>>(text: &'de str) -> Result<T> {
    let mut reader = Reader { text, at: 0, depth: 0, guesses: Guesses::None };
    match reader.whole() {
        // What is wrong may be a guess.
        Err(_) if reader.guesses == Guesses::Some => {
            Reader { text, at: 0, depth: 0, guesses: Guesses::Never }.whole()
        }
        result => result,
    }
}

struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u8,
    guesses: Guesses,
}

/// Whether it has been guessed where a discriminator is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Guesses {
    None,
    Some,
    /// It must not be.
    Never,
}

impl<'de> Reader<'de> {
    fn whole<T: serde::Deserialize<'de>>(&mut self) -> Result<T> {
        let value = T::deserialize(&mut *self);
        let value = self.placed(value)?;
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.wrong("there is more behind the value")),
        }
    }

    #[cold]
    fn wrong(&self, reason: &str) -> JsonError {
        JsonError::custom(reason).at(self.at)
    }

    /// The next byte that is no white space; it is not taken.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        self.at = after_space(bytes, self.at);
        bytes.get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected(byte))
    }

    #[cold]
    fn unexpected(&mut self, byte: u8) -> JsonError {
        match self.peek() {
            Some(_) => self.wrong(&format!("expected `{}`", char::from(byte))),
            None => self.ends_early(),
        }
    }

    /// What is wrong where neither a `,` nor the closing bracket is.
    #[cold]
    fn not_in_list(&mut self, bracket: u8) -> JsonError {
        match self.peek() {
            Some(_) => self.wrong(&format!("expected `,` or `{}`", char::from(bracket))),
            None => self.ends_early(),
        }
    }

    #[cold]
    fn no_name(&mut self, at: usize) -> JsonError {
        self.at = at;
        self.wrong("expected the name of a member")
    }

    #[cold]
    fn ends_early(&self) -> JsonError {
        self.wrong("the text ends early")
    }

    /// Takes the string that begins here. What is between its quotes, if that is without escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<Option<&'de str>> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let end = plain_end(bytes, start);
        if bytes.get(end) != Some(&b'"') {
            return self.string_with_escapes(end).map(|()| None);
        }
        self.at = end + 1;
        Ok(self.text.get(start..end))
    }

    /// Takes what is left of a string, from its first byte that is not plain.
    #[cold]
    fn string_with_escapes(&mut self, mut at: usize) -> Result<()> {
        let bytes = self.text.as_bytes();
        loop {
            at = plain_end(bytes, at);
            // The place of what is wrong is behind it.
            self.at = bytes.len().min(at + 1);
            match bytes.get(at) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => at += 2,
                Some(_) => return Err(self.wrong("a control character in a string")),
                None => return Err(self.wrong("a string is not closed")),
            }
        }
    }

    #[inline(always)]
    fn visit_string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.at;
        let value = match self.string()? {
            Some(plain) => visitor.visit_borrowed_str(plain),
            None => visitor.visit_string(self.unescaped(start)?),
        };
        self.placed(value)
    }

    /// A value that has just been read; or what is wrong with it, which is wrong here.
    //
    // What is large is not moved on its way: the same variable is given back.
    #[inline(always)]
    fn placed<T>(&self, mut value: Result<T>) -> Result<T> {
        if let Err(error) = &mut value {
            error.place(self.at);
        }
        value
    }

    /// The string that has been taken from `start` on.
    #[cold]
    fn unescaped(&self, start: usize) -> Result<String> {
        serde_json::from_str(&self.text[start..self.at])
            .map_err(|_| self.wrong("an escape in a string is wrong"))
    }

    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let value = match self.number()? {
            Number::Natural(number) => visitor.visit_u64(number),
            Number::Negative(number) => visitor.visit_i64(number),
            Number::Fraction(number) => visitor.visit_f64(number),
        };
        self.placed(value)
    }

    fn number(&mut self) -> Result<Number> {
        /// So many digits fit, whatever they are.
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

    fn any_number(&mut self) -> Result<Number> {
        let rest = &self.text[self.at..];
        let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(|b| !is_part(b)).unwrap_or(rest.len());
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
        let fraction = serde_json::from_str(number).map_err(|_| self.wrong("this is no number"))?;
        Ok(Number::Fraction(fraction))
    }

    fn visit_word<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let value = match self.word()? {
            Some(value) => visitor.visit_bool(value),
            None => visitor.visit_unit(),
        };
        self.placed(value)
    }

    /// A boolean, or nothing for `null`.
    fn word(&mut self) -> Result<Option<bool>> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (length, value) = match rest {
            [b'n', b'u', b'l', b'l', ..] => (4, None),
            [b't', b'r', b'u', b'e', ..] => (4, Some(true)),
            [b'f', b'a', b'l', b's', b'e', ..] => (5, Some(false)),
            _ => return Err(self.wrong("expected a value")),
        };
        self.at += length;
        Ok(value)
    }

    /// Enters a `[` or `{`, and says where that is.
    #[inline]
    fn enter(&mut self) -> Result<usize> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong("this is nested too deep"));
        }
        let start = self.at;
        self.depth += 1;
        self.at += 1;
        Ok(start)
    }

    /// Leaves what began at `start`.
    #[inline(always)]
    fn leave<T>(&mut self, start: usize, mut value: Result<T>, end: Result<()>) -> Result<T> {
        self.depth -= 1;
        if let (Ok(_), Err(error)) = (&value, end) {
            value = Err(error);
        }
        if let Err(error) = &mut value {
            // What has no place of its own, such as a missing member, is wrong with the whole.
            error.place(start);
        }
        value
    }

    fn visit_object<V: Visitor<'de>>(&mut self, first: &str, visitor: V) -> Result<V::Value> {
        let start = self.enter()?;
        let first = if first.is_empty() { None } else { self.find(first) };
        // What comes first anyway is not read twice.
        let first = first.filter(|first| *first != after_space(self.text.as_bytes(), self.at));
        let mut members = Members::new(self, first);
        let value = visitor.visit_map(&mut members);
        let end = if value.is_ok() { members.finish() } else { Ok(()) };
        self.leave(start, value, end)
    }

    fn visit_array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.enter()?;
        let mut elements = Elements::new(self);
        let value = visitor.visit_seq(&mut elements);
        let end = if value.is_ok() { elements.finish() } else { Ok(()) };
        self.leave(start, value, end)
    }

    /// Passes over a value, however deep: nobody reads it.
    fn skip(&mut self) -> Result<()> {
        if !matches!(self.peek(), Some(b'{' | b'[')) {
            return self.deserialize_any(IgnoredAny).map(|_| ());
        }
        let start = self.at;
        self.at = skip_brackets(self.text.as_bytes(), start).ok_or_else(|| self.ends_early())?;
        serde_json::from_str::<IgnoredAny>(&self.text[start..self.at])
            .map(|_| ())
            .map_err(|error| JsonError::custom(error).at(self.at))
    }

    /// Where the member `name` of the object begins whose `{` has been taken.
    ///
    /// Where it comes next, in whatever object, is nearly always right, and costs a fraction of
    /// following the structure. Whether it is shows when the object is read: either this place is
    /// met as one of its members, or the whole text is read again, without guessing.
    fn find(&mut self, name: &str) -> Option<usize> {
        let bytes = self.text.as_bytes();
        if self.guesses == Guesses::Never {
            return scan::find_member(bytes, self.at, name.as_bytes());
        }
        self.guesses = Guesses::Some;
        scan::find_name(bytes, self.at, name.as_bytes())
    }
}

enum Number {
    Natural(u64),
    Negative(i64),
    Fraction(f64),
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => self.visit_string(visitor),
            Some(b'{') => self.visit_object("", visitor),
            Some(b'[') => self.visit_array(visitor),
            Some(b'-' | b'0'..=b'9') => self.visit_number(visitor),
            Some(_) => self.visit_word(visitor),
            None => Err(self.wrong("the text ends early")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'n') => self.visit_word(visitor),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match (self.peek(), fields) {
            (Some(b'{'), [first]) => self.visit_object(first, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if !name.starts_with('$') {
            return visitor.visit_newtype_struct(self);
        }
        // A raw value of serde_json, which only its own deserialiser can make.
        // It looks at the text without going deep, so nothing is too deep for it.
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{' | b'[') => {
                let end = skip_brackets(self.text.as_bytes(), start);
                self.at = end.ok_or_else(|| self.ends_early())?;
            }
            _ => self.skip()?,
        }
        let mut inner = serde_json::Deserializer::from_str(&self.text[start..self.at]);
        let value = inner.deserialize_newtype_struct(name, visitor);
        value
            .and_then(|value| inner.end().map(|()| value))
            .map_err(|error| JsonError::custom(error).at(self.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.peek() {
            Some(b'{') => {
                let start = self.enter()?;
                let value = visitor.visit_enum(Variant { reader: &mut *self, has_value: true });
                let end = if value.is_ok() { self.expect(b'}') } else { Ok(()) };
                self.leave(start, value, end)
            }
            _ => visitor.visit_enum(Variant { reader: self, has_value: false }),
        }
    }

    // What is nearly always a string is tried as one first.

    #[inline(always)]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => self.visit_string(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline(always)]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'{') => self.visit_object("", visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'[') => self.visit_array(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
