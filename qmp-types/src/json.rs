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

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

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
        self.0.offset.get_or_insert(offset);
        self
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
    let mut reader = Reader { text, at: 0, depth: 0 };
    let value = T::deserialize(&mut reader).map_err(|error| error.at(reader.at))?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.wrong("there is more behind the value")),
    }
}

struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u8,
}

impl<'de> Reader<'de> {
    #[cold]
    fn wrong(&self, reason: &str) -> JsonError {
        JsonError::custom(reason).at(self.at)
    }

    /// The next byte that is no white space; it is not taken.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<()> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.wrong(&format!("expected `{}`", char::from(byte)))),
            None => Err(self.wrong("the text ends early")),
        }
    }

    /// The string that begins here, with its quotes; and whether it has escapes.
    fn string(&mut self) -> Result<(&'de str, bool)> {
        self.expect(b'"')?;
        let start = self.at - 1;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let plain = plain_length(rest);
            let Some(special) = rest.get(plain) else {
                self.at = bytes.len();
                return Err(self.wrong("a string is not closed"));
            };
            self.at += plain + 1;
            match special {
                b'"' => return Ok((&self.text[start..self.at], escaped)),
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                }
                _ => return Err(self.wrong("a control character in a string")),
            }
        }
    }

    fn visit_string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let (quoted, escaped) = self.string()?;
        let value = if escaped {
            let text: String = serde_json::from_str(quoted)
                .map_err(|_| self.wrong("an escape in a string is wrong"))?;
            visitor.visit_string(text)
        } else {
            visitor.visit_borrowed_str(&quoted[1..quoted.len() - 1])
        };
        value.map_err(|error: JsonError| error.at(self.at))
    }

    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.at;
        let rest = &self.text[start..];
        let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(|b| !is_part(b)).unwrap_or(rest.len());
        let number = &rest[..length];
        self.at += length;
        let digits = number.strip_prefix('-').unwrap_or(number);
        let whole = digits.bytes().all(|b| b.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'));
        let value = if whole && digits.len() == number.len() && number.parse::<u64>().is_ok() {
            visitor.visit_u64(number.parse().unwrap_or_default())
        } else if whole && number != "-0" && number.parse::<i64>().is_ok() {
            visitor.visit_i64(number.parse().unwrap_or_default())
        } else {
            let fraction = serde_json::from_str(number);
            visitor.visit_f64(fraction.map_err(|_| self.wrong("this is no number"))?)
        };
        value.map_err(|error: JsonError| error.at(self.at))
    }

    fn visit_word<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let rest = &self.text[self.at..];
        let words = [("true", Some(true)), ("false", Some(false)), ("null", None)];
        let Some((word, value)) = words.into_iter().find(|(word, _)| rest.starts_with(word)) else {
            return Err(self.wrong("expected a value"));
        };
        self.at += word.len();
        let value = match value {
            Some(value) => visitor.visit_bool(value),
            None => visitor.visit_unit(),
        };
        value.map_err(|error: JsonError| error.at(self.at))
    }

    /// Enters a `[` or `{`, does what is asked, and leaves.
    fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong("this is nested too deep"));
        }
        // What has no place of its own, such as a missing member, is wrong with the whole.
        let start = self.at;
        self.depth += 1;
        self.at += 1;
        let result = inside(self);
        self.depth -= 1;
        result.map_err(|error| error.at(start))
    }

    fn visit_object<V: Visitor<'de>>(&mut self, first: &str, visitor: V) -> Result<V::Value> {
        self.nested(|reader| {
            let ahead = (!first.is_empty()).then(|| reader.find(first)).flatten();
            let mut members = Members { reader, first: ahead, taken: None, started: false };
            let value = visitor.visit_map(&mut members)?;
            members.finish()?;
            Ok(value)
        })
    }

    fn visit_array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.nested(|reader| {
            let mut elements = Elements { reader, started: false, done: false };
            let value = visitor.visit_seq(&mut elements)?;
            if elements.done {
                return Ok(value);
            }
            reader.expect(b']').map(|()| value)
        })
    }

    /// Passes over a value, however deep: nobody reads it.
    fn skip(&mut self) -> Result<()> {
        if !matches!(self.peek(), Some(b'{' | b'[')) {
            return self.deserialize_any(IgnoredAny).map(|_| ());
        }
        let start = self.at;
        self.skip_brackets()?;
        serde_json::from_str::<IgnoredAny>(&self.text[start..self.at])
            .map(|_| ())
            .map_err(|error| JsonError::custom(error).at(self.at))
    }

    /// Finds the end of an array or object. Whether it is one shows when it is read.
    fn skip_brackets(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        let (mut at, mut depth) = (self.at, 0_usize);
        loop {
            match bytes.get(at) {
                Some(b'"') => match skip_string(bytes, at) {
                    Some(end) => {
                        at = end;
                        continue;
                    }
                    None => return Err(self.wrong("the text ends early")),
                },
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.wrong("the text ends early")),
            }
            at += 1;
            if depth == 0 {
                self.at = at;
                return Ok(());
            }
        }
    }

    /// Where the member `name` of the object begins whose `{` has been taken. Nothing is checked
    /// on the way: what is wrong there shows when it is read.
    fn find(&self, name: &str) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        let mut depth = 0_usize;
        let mut is_name = true;
        loop {
            match bytes.get(at)? {
                b'"' => {
                    let end = skip_string(bytes, at)?;
                    let found = is_name && self.text.get(at + 1..end - 1) == Some(name);
                    if found {
                        return Some(at);
                    }
                    is_name = false;
                    at = end;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                b',' if depth == 0 => is_name = true,
                _ => {}
            }
            at += 1;
        }
    }
}

/// The index behind a string that begins at `start`.
fn skip_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += plain_length(bytes.get(at..)?);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// How many bytes come before the first quote, backslash or control character; eight at a time.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // The lowest high bit that is set is that of the first byte below the limit, in each of these.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let special = quote | backslash | below(word, 0x20);
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    bytes.len() - rest.len() + rest.iter().position(is_special).unwrap_or(rest.len())
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
            Some(b'{' | b'[') => self.skip_brackets()?,
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
            Some(b'{') => self.nested(|reader| {
                let value =
                    visitor.visit_enum(Variant { reader: &mut *reader, has_value: true })?;
                reader.expect(b'}').map(|()| value)
            }),
            _ => visitor.visit_enum(Variant { reader: self, has_value: false }),
        }
    }

    // What is nearly always a string is tried as one first.

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => self.visit_string(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map
    }
}

/// The members of an object that is being read.
struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// Where the member stands that is to be given first, until it is given.
    first: Option<usize>,
    /// Where it stood, and where to go on: it is passed over when it is met again.
    taken: Option<usize>,
    started: bool,
}

impl<'de> Members<'_, 'de> {
    /// Goes to the next member's name; says whether there is one.
    fn advance(&mut self) -> Result<bool> {
        loop {
            match self.reader.peek() {
                Some(b'}') => return Ok(false),
                Some(b',') if self.started => self.reader.at += 1,
                Some(_) if !self.started => {}
                Some(_) => return Err(self.reader.wrong("expected `,` or `}`")),
                None => return Err(self.reader.wrong("the text ends early")),
            }
            self.started = true;
            if self.reader.peek() != Some(b'"') {
                return Err(self.reader.wrong("expected the name of a member"));
            }
            if self.taken != Some(self.reader.at) {
                return Ok(true);
            }
            self.taken = None;
            self.reader.string()?;
            self.reader.expect(b':')?;
            self.reader.skip()?;
        }
    }

    /// Takes the closing bracket.
    fn finish(mut self) -> Result<()> {
        if self.advance()? {
            return Err(self.reader.wrong("there are more members than were expected"));
        }
        self.reader.expect(b'}')
    }
}

impl<'de> MapAccess<'de> for &mut Members<'_, 'de> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if let Some(first) = self.first {
            // Its value is read below; then the reading goes on from the beginning.
            self.taken = Some(self.reader.at);
            self.reader.at = first;
        } else if !self.advance()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.reader.expect(b':')?;
        let value = seed.deserialize(&mut *self.reader)?;
        if let (Some(first), Some(start)) = (self.first.take(), self.taken) {
            self.reader.at = start;
            self.taken = Some(first);
        }
        Ok(value)
    }
}

/// The elements of an array that is being read.
struct Elements<'r, 'de> {
    reader: &'r mut Reader<'de>,
    started: bool,
    done: bool,
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = JsonError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.reader.peek() {
            Some(b']') if !self.done => {
                self.reader.at += 1;
                self.done = true;
                return Ok(None);
            }
            Some(b',') if self.started => {
                self.reader.at += 1;
                // `[1,]` is no JSON.
                if self.reader.peek() == Some(b']') {
                    return Err(self.reader.wrong("expected a value"));
                }
            }
            Some(_) if !self.started => {}
            Some(_) => return Err(self.reader.wrong("expected `,` or `]`")),
            None => return Err(self.reader.wrong("the text ends early")),
        }
        self.started = true;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// A variant of somebody's Rust enum: a string, or an object with one member.
struct Variant<'r, 'de> {
    reader: &'r mut Reader<'de>,
    has_value: bool,
}

impl<'r, 'de> EnumAccess<'de> for Variant<'r, 'de> {
    type Error = JsonError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name = seed.deserialize(&mut *self.reader)?;
        if self.has_value {
            self.reader.expect(b':')?;
        }
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = JsonError;

    fn unit_variant(self) -> Result<()> {
        if self.has_value { serde::Deserialize::deserialize(self.reader) } else { Ok(()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        if self.has_value {
            return seed.deserialize(self.reader);
        }
        seed.deserialize(().into_deserializer())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.reader.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.reader.deserialize_any(visitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
