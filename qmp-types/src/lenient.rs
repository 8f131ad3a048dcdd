//! Reads information that no program depends on: whatever it is, the message around it decodes.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The whole part of a number, also of one with a fraction and of one written as text; `None` for
/// any other value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WholeNumber(pub(crate) Option<i64>);

/// Converts a number, without its fraction. A number that does not fit becomes the nearest that does.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and drops the fraction")]
pub(crate) fn whole(number: f64) -> i64 {
    number as i64
}

/// Reads a number from text. The text may have other characters after the number, as in `0-rc1`.
pub(crate) fn leading_number(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

fn number_in(text: &str) -> Option<i64> {
    text.trim().parse().ok().or_else(|| leading_number(text))
}

/// Returns what [`WholeNumber`] reads from a value.
pub(crate) fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (None, None) => number.as_f64().map(whole),
            (None, Some(_)) => Some(i64::MAX),
            (number, _) => number,
        },
        Value::String(text) => number_in(text),
        _ => None,
    }
}

struct WholeNumberVisitor;

impl<'de> Visitor<'de> for WholeNumberVisitor {
    type Value = WholeNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<WholeNumber, E> {
        Ok(WholeNumber(None))
    }

    fn visit_i64<E>(self, number: i64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(Some(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(Some(i64::try_from(number).unwrap_or(i64::MAX))))
    }

    fn visit_f64<E>(self, number: f64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(Some(whole(number))))
    }

    fn visit_str<E>(self, text: &str) -> Result<WholeNumber, E> {
        Ok(WholeNumber(number_in(text)))
    }

    fn visit_unit<E>(self) -> Result<WholeNumber, E> {
        Ok(WholeNumber(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<WholeNumber, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(WholeNumber(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<WholeNumber, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(WholeNumber(None))
    }
}

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeNumberVisitor)
    }
}
