//! The names of members.
//!
//! An object of a schema has a table of the names that it knows. Its keys ask for the index in that table
//! ([`MEMBER`]), and mostly get it without the name having been read.

use serde::de::{Deserializer, IntoDeserializer, Visitor};

use super::error::{JsonError, Result};
use super::reader::Reader;
use crate::names;

/// A name by which a key asks for its index in a table of names, by `deserialize_struct`: it gets the
/// index, or else the name.
pub(crate) const MEMBER: &str = "$qmp_types::member";

/// The name of a member, which begins at `start`, and has not been read.
pub(super) struct Member<'m, 'de> {
    pub(super) reader: &'m mut Reader<'de>,
    pub(super) start: usize,
    /// The index in a table of the name to try first.
    pub(super) expected: &'m mut usize,
    /// Whether the colon has been taken, too.
    pub(super) has_colon: &'m mut bool,
}

impl Member<'_, '_> {
    /// Takes the name if it is in a table, and returns its index there.
    ///
    /// The text is compared with the names in the table: finding the end of the name first takes longer.
    #[inline(always)]
    fn position(&mut self, names: &[&str]) -> Option<usize> {
        let inside = self.reader.text.as_bytes().get(self.start + 1..)?;
        let expected = names.get(*self.expected).filter(|known| names::is_quoted(known, inside));
        let (index, known) = match expected {
            Some(known) => (*self.expected, known),
            None => names.iter().enumerate().find(|(_, known)| names::is_quoted(known, inside))?,
        };
        let mut length = known.len() + 1;
        if inside.get(length) == Some(&b':') {
            *self.has_colon = true;
            length += 1 + usize::from(inside.get(length + 1) == Some(&b' '));
        }
        self.reader.at = self.start + 1 + length;
        *self.expected = index + 1;
        Some(index)
    }
}

/// Reads the name, whether there are escapes in it or not.
macro_rules! deserialize_names {
    ($($method:ident)*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
                match self.reader.plain_string(self.start) {
                    Ok(name) => Name(name).$method(visitor),
                    Err(_) => {
                        self.reader.at = self.start;
                        self.reader.$method(visitor)
                    }
                }
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Member<'_, 'de> {
    type Error = JsonError;

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if name == MEMBER {
            if let Some(index) = self.position(names) {
                return visitor.visit_u64(index as u64);
            }
        }
        self.deserialize_any(visitor)
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.plain_string(self.start) {
            Ok(name) => visitor.visit_borrowed_str(name),
            Err(_) => {
                self.reader.at = self.start;
                self.reader.visit_str(visitor)
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        newtype: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match self.reader.plain_string(self.start) {
            Ok(name) => Name(name).deserialize_newtype_struct(newtype, visitor),
            Err(_) => {
                self.reader.at = self.start;
                self.reader.deserialize_newtype_struct(newtype, visitor)
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.reader.plain_string(self.start) {
            Ok(plain) => Name(plain).deserialize_enum(name, variants, visitor),
            Err(_) => {
                self.reader.at = self.start;
                self.reader.deserialize_enum(name, variants, visitor)
            }
        }
    }

    deserialize_names! {
        deserialize_option deserialize_ignored_any
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier
    }
}

/// A name without escapes.
pub(super) struct Name<'de>(pub(super) &'de str);

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = JsonError;

    #[inline(always)]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Returns whether `D` is a [`Member`], which understands [`MEMBER`].
///
/// Other deserializers can have the same error: with `untagged`, for example, serde's own ones read the
/// values.
//
// Both names are known when this is compiled, and so is the answer.
#[inline(always)]
pub(crate) fn is_member<D>() -> bool {
    std::any::type_name::<D>() == std::any::type_name::<Member<'_, '_>>()
}
