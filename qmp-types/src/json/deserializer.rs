//! The reader as a deserializer.

use std::borrow::Cow;

use serde::de::{Deserializer, Error as _, Expected, Unexpected, Visitor};

use super::access::{Elements, Members, RawText, Variant, WITH_TEXT, WithText};
use super::error::{JsonError, Result};
use super::fraction;
use super::reader::{Number, Reader};
use super::scan::after_space;

impl<'de> Reader<'de> {
    /// Reads a string. That of a vocabulary's `String` is the most frequent value of all.
    #[inline(always)]
    fn visit_string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.at;
        match self.plain_string(start) {
            Ok(plain) => {
                // The text of most strings is copied.
                self.take_memory(plain.len() + 2)?;
                let value = visitor.visit_borrowed_str(plain);
                self.located(value)
            }
            Err(special) => {
                let text = self.escaped_string(start, special)?;
                let value = visitor.visit_string(text);
                self.located(value)
            }
        }
    }

    /// Like [`visit_string`](Self::visit_string), with less code for each type.
    pub(super) fn visit_str<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let value = match self.text()? {
            Cow::Borrowed(plain) => visitor.visit_borrowed_str(plain),
            Cow::Owned(text) => visitor.visit_string(text),
        };
        self.located(value)
    }

    /// Takes a string.
    pub(super) fn text(&mut self) -> Result<Cow<'de, str>> {
        let start = self.at;
        match self.plain_string(start) {
            Ok(plain) => {
                self.take_memory(plain.len() + 2)?;
                Ok(Cow::Borrowed(plain))
            }
            Err(special) => self.escaped_string(start, special).map(Cow::Owned),
        }
    }

    /// Takes the string that begins at `start`, and replaces the escapes in it.
    #[cold]
    fn escaped_string(&mut self, start: usize, special: usize) -> Result<String> {
        self.string_with_escapes(special)?;
        self.take_memory(self.at - start)?;
        self.unescaped(start)
    }

    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let value = match self.number()? {
            Number::Natural(number) => visitor.visit_u64(number),
            Number::Negative(number) => visitor.visit_i64(number),
            Number::Fraction(text) => match fraction(text) {
                Some(number) => visitor.visit_f64(number),
                None => return Err(self.error("invalid number")),
            },
        };
        self.located(value)
    }

    fn visit_integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let value = match self.number()? {
            Number::Natural(number) => visitor.visit_u64(number),
            Number::Negative(number) => visitor.visit_i64(number),
            Number::Fraction(text) => Err(not_a_fraction(text, &visitor)),
        };
        self.located(value)
    }

    fn visit_word<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let value = match self.word()? {
            Some(value) => visitor.visit_bool(value),
            None => visitor.visit_unit(),
        };
        self.located(value)
    }

    /// Returns the index of the member `first` of the object whose `{` has been taken, unless it comes
    /// first anyway.
    fn ahead(&mut self, first: &str) -> Option<usize> {
        let next = after_space(self.text.as_bytes(), self.at);
        self.find(first).filter(|first| *first != next)
    }

    /// Reads an object whose member `first` is passed first.
    fn visit_object_from<V: Visitor<'de>>(&mut self, first: &str, visitor: V) -> Result<V::Value> {
        let start = self.enter()?;
        let first = self.ahead(first);
        let mut members = Members::new(self, first);
        let value = visitor.visit_map(&mut members);
        let end = if value.is_ok() { members.finish() } else { Ok(()) };
        self.leave(start, value, end)
    }

    /// Reads an object of a schema, whose visitor reads it to the end. The member in `first`, if any, is
    /// passed first.
    //
    // The value is made where the caller wants it. It would be moved twice if a function that may panic
    // were called, or a branch taken, between the visitor and the end, and moving it takes longer than
    // reading some of its members.
    #[inline(always)]
    fn visit_whole_object<V: Visitor<'de>>(
        &mut self,
        first: &[&str],
        visitor: V,
    ) -> Result<V::Value> {
        #[expect(clippy::question_mark, reason = "compiled for each type, without a conversion")]
        let start = match self.enter() {
            Ok(start) => start,
            Err(error) => return Err(error),
        };
        let first = first.first().and_then(|first| self.ahead(first));
        let mut members = Members::new(self, first);
        let value = visitor.visit_map(&mut members);
        let has_ended = members.has_ended();
        self.leave_whole(start, has_ended, value)
    }

    /// Reads a struct that a caller has defined.
    fn visit_struct<V: Visitor<'de>>(&mut self, fields: &[&str], visitor: V) -> Result<V::Value> {
        match (self.peek(), fields) {
            (Some(b'{'), [first]) => self.visit_object_from(first, visitor),
            // Few types ask for this, and those of other crates can be arrays.
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline(always)]
    fn visit_object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.enter()?;
        let mut members = Members::new(self, None);
        let value = visitor.visit_map(&mut members);
        let end = if value.is_ok() { members.finish() } else { Ok(()) };
        self.leave(start, value, end)
    }

    #[inline(always)]
    fn visit_array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.enter()?;
        let mut elements = Elements::new(self);
        let value = visitor.visit_seq(&mut elements);
        let end = if value.is_ok() { elements.finish() } else { Ok(()) };
        self.leave(start, value, end)
    }
}

impl Reader<'_> {
    /// Returns the error for a value of another type than the one that was asked for.
    ///
    /// Going through [`deserialize_any`](Deserializer::deserialize_any) instead would compile the
    /// reading of all types for the visitor of each.
    #[cold]
    fn mismatch(&mut self, expected: &dyn Expected) -> JsonError {
        let start = self.at;
        let error = match self.peek() {
            Some(b'"') => {
                let text = self.string().and_then(|plain| match plain {
                    Some(plain) => Ok(Cow::Borrowed(plain)),
                    None => self.unescaped(start).map(Cow::Owned),
                });
                text.map(|text| JsonError::invalid_type(Unexpected::Str(&text), expected))
            }
            Some(first @ (b'{' | b'[')) => {
                self.lose();
                let found = if first == b'{' { Unexpected::Map } else { Unexpected::Seq };
                return JsonError::invalid_type(found, expected).at(start);
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|number| match number {
                Number::Natural(number) => {
                    JsonError::invalid_type(Unexpected::Unsigned(number), expected)
                }
                Number::Negative(number) => {
                    JsonError::invalid_type(Unexpected::Signed(number), expected)
                }
                Number::Fraction(text) => not_a_fraction(text, expected),
            }),
            Some(_) => self.word().map(|word| {
                let found = word.map_or(Unexpected::Unit, Unexpected::Bool);
                JsonError::invalid_type(found, expected)
            }),
            None => Err(self.ends_early()),
        };
        match error {
            Ok(error) => error.at(self.at),
            Err(error) => error,
        }
    }
}

#[cold]
fn not_a_fraction(text: &str, expected: &dyn Expected) -> JsonError {
    JsonError::custom(format_args!("invalid type: floating point `{text}`, expected {expected}"))
}

/// A name by which an object of a schema promises, by `deserialize_struct`, that its visitor reads all
/// members. The discriminator, if it has one, is the only field.
pub(crate) const OBJECT: &str = "$qmp_types::object";

/// Returns whether `D` is the reader, which understands [`OBJECT`].
//
// Both names are known when this is compiled, and so is the answer.
#[inline(always)]
pub(crate) fn is_reader<D>() -> bool {
    std::any::type_name::<D>() == std::any::type_name::<&mut Reader<'_>>()
}

/// Reads numbers, and nothing else.
macro_rules! deserialize_numbers {
    ($visit:ident: $($method:ident)*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
                match self.peek() {
                    Some(b'-' | b'0'..=b'9') => self.$visit(visitor),
                    _ => Err(self.mismatch(&visitor)),
                }
            }
        )*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => self.visit_str(visitor),
            Some(b'{') => self.visit_object(visitor),
            Some(b'[') => self.visit_array(visitor),
            Some(b'-' | b'0'..=b'9') => self.visit_number(visitor),
            Some(_) => self.visit_word(visitor),
            None => Err(self.ends_early()),
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

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if name != OBJECT {
            return self.visit_struct(fields, visitor);
        }
        match self.peek() {
            Some(b'{') => self.visit_whole_object(fields, visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if name == WITH_TEXT {
            return visitor.visit_enum(WithText { reader: self });
        }
        if !name.starts_with("$serde_json") {
            return visitor.visit_newtype_struct(self);
        }
        // A raw value of serde_json, whose visitor takes what its own deserializer would pass.
        let text = self.valid()?;
        let value = visitor.visit_map(RawText { name, text: Some(text) });
        self.located(value)
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

    // A value of another type is an error at once, as it is with serde_json.

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => self.visit_str(visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    #[inline(always)]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => self.visit_string(visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'{') => self.visit_object(visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'[') => self.visit_array(visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b't' | b'f') => self.visit_word(visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    deserialize_numbers! { visit_integer:
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    deserialize_numbers! { visit_number: deserialize_f32 deserialize_f64 }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}
