//! Reads information that no program depends on: whatever it is, the message around it decodes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::object::Members;

/// A value that decodes whatever it is. What none of these can hold is skipped.
//
// One visitor reads it for all types, because each visitor is the reading of all types of values.
#[derive(Debug)]
pub(crate) enum Lenient<'v> {
    Natural(u64),
    Negative(i64),
    Fraction(f64),
    Text(Cow<'v, str>),
    /// An object: the members with the first, second and third name that it was read for, as
    /// [`whole`](Self::whole) numbers.
    Members([Option<i64>; 3]),
    Other,
}

impl<'v> Lenient<'v> {
    /// Reads a value, and of an object the members with these names.
    pub(crate) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        names: &'static [&'static str],
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(names))
    }

    /// Returns what [`read`](Self::read) does of the same value.
    pub(crate) fn of(value: &'v Value, names: &[&str]) -> Self {
        match value {
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(natural), _) => Self::Natural(natural),
                (None, Some(negative)) => Self::Negative(negative),
                (None, None) => number.as_f64().map_or(Self::Other, Self::Fraction),
            },
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Object(members) => {
                let mut numbers = [None; 3];
                for (number, name) in numbers.iter_mut().zip(names) {
                    *number = members.get(*name).and_then(whole_number);
                }
                Self::Members(numbers)
            }
            Value::Null | Value::Bool(_) | Value::Array(_) => Self::Other,
        }
    }

    /// Returns the whole part of a number, also of one with a fraction and of one written as text; `None`
    /// for any other value.
    pub(crate) fn whole(&self) -> Option<i64> {
        match self {
            Self::Natural(number) => Some(i64::try_from(*number).unwrap_or(i64::MAX)),
            Self::Negative(number) => Some(*number),
            Self::Fraction(number) => Some(whole(*number)),
            Self::Text(text) => number_in(text),
            Self::Members(_) | Self::Other => None,
        }
    }
}

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

/// Returns the whole part of a value, as [`Lenient::whole`] does.
pub(crate) fn whole_number(value: &Value) -> Option<i64> {
    Lenient::of(value, &[]).whole()
}

struct LenientVisitor(&'static [&'static str]);

impl<'de> Visitor<'de> for LenientVisitor {
    type Value = Lenient<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Lenient::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).map_or(Lenient::Negative(number), Lenient::Natural))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Lenient::Natural(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Lenient::Fraction(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Lenient::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Lenient::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Lenient::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::new(&mut map);
        let mut numbers = [None; 3];
        while let Some(index) = members.next(self.0)? {
            let WholeNumber(number) = members.value()?;
            if let Some(slot) = numbers.get_mut(index) {
                *slot = number;
            }
        }
        Ok(Lenient::Members(numbers))
    }
}

/// The value of a member, as a number.
struct WholeNumber(Option<i64>);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Lenient::read(deserializer, &[]).map(|value| Self(value.whole()))
    }
}
