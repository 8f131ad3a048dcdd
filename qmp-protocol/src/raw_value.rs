//! Raw values of text that has been checked already.

use std::iter;

use serde::Deserialize;
use serde::de::value::{Error as NotRaw, MapDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde_json::value::RawValue;

/// Returns text that is known to be JSON as a raw value, without checking it again.
///
/// `RawValue` is deserialized from what serde_json's own reader shows to its visitor: a map with one
/// entry, the name that was asked for and the text. Should that ever change, the result is `None`,
/// and messages take the slow path.
#[must_use]
pub fn from_checked(text: &str) -> Option<&RawValue> {
    Deserialize::deserialize(Checked(text)).ok()
}

struct Checked<'de>(&'de str);

impl<'de> IntoDeserializer<'de, NotRaw> for Checked<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Checked<'de> {
    type Error = NotRaw;

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NotRaw> {
        visitor.visit_map(MapDeserializer::new(iter::once((name, self))))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotRaw> {
        visitor.visit_borrowed_str(self.0)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_raw_value_as_it_is() {
        for text in ["{\"a\" : [1.50]}", "\"\\u0000\"", "null"] {
            assert_eq!(from_checked(text).unwrap().get(), text);
        }
    }
}
