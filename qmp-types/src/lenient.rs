//! Reads information that no program depends on: whatever it is, the message around it decodes.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::Value;

use crate::any::Any;

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
    let text = text.trim_ascii();
    let digits = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

fn number_in(text: &str) -> Option<i64> {
    text.trim_ascii().parse().ok().or_else(|| leading_number(text))
}

/// Returns the number that a value is, or that is written in it, without its fraction.
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

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Any::deserialize(deserializer).map(|Any(value)| Self(whole_number(&value)))
    }
}
