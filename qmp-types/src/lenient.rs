//! Reads information that no program depends on: whatever it is, the message around it decodes.
//!
//! It is read from its text, without values of any type and fractions, whose code would be in every
//! program.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::any::{Any, text_of};
use crate::json;

/// The text of a value of any type.
pub(crate) struct AnyText<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for AnyText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if json::is_reader::<D>() {
            let text: &RawValue = Deserialize::deserialize(deserializer)?;
            return Ok(Self(Cow::Borrowed(text.get())));
        }
        Any::deserialize(deserializer).map(|Any(value)| Self(text_of(&value).into()))
    }
}

/// Returns the members of an object that are numbers or begin with one, or `None` for any other value.
pub(crate) fn numbers_in<const N: usize>(text: &str, names: [&str; N]) -> Option<[Option<i64>; N]> {
    let is_object = text.starts_with('{');
    is_object.then(|| names.map(|name| json::member(text, name).and_then(whole_number)))
}

/// Returns a number without its fraction; one that a string begins with will do. A number that does not fit
/// becomes the nearest one that does.
pub(crate) fn whole_number(text: &str) -> Option<i64> {
    match json::string(text) {
        Some(text) => text.trim().parse().ok().or_else(|| leading_number(&text)),
        None => Decimal::read(text).map(|number| number.whole()),
    }
}

/// Returns the number that a text begins with, such as that of `0-rc1`.
pub(crate) fn leading_number(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

/// A number, as its digits.
pub(crate) struct Decimal<'t> {
    is_negative: bool,
    whole: &'t str,
    fraction: &'t str,
    /// The power of ten by which the digits are multiplied.
    exponent: i64,
}

/// An exponent that is far beyond all limits.
const FARTHEST: i64 = 1 << 31;

impl<'t> Decimal<'t> {
    /// Reads a number as JSON has it.
    pub(crate) fn read(text: &'t str) -> Option<Self> {
        if !json::is_number(text) {
            return None;
        }
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let parts = text.split_once('e').or_else(|| text.split_once('E'));
        let (digits, exponent) = parts.unwrap_or((text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let farthest = if exponent.starts_with('-') { -FARTHEST } else { FARTHEST };
        let exponent = exponent.parse().unwrap_or(farthest).clamp(-FARTHEST, FARTHEST);
        Some(Self { is_negative, whole, fraction, exponent })
    }

    pub(crate) fn is_negative(&self) -> bool {
        let mut digits = self.whole.bytes().chain(self.fraction.bytes());
        self.is_negative && digits.any(|digit| digit != b'0')
    }

    /// Returns whether the number is written as its digits alone, with a point between them.
    pub(crate) fn is_plain(&self) -> bool {
        !self.is_negative && self.exponent == 0
    }

    /// Returns the number without its fraction.
    pub(crate) fn whole(&self) -> i64 {
        let whole = self.digits(i64::MIN, 0);
        match self.is_negative {
            true => 0_i64.checked_sub_unsigned(whole).unwrap_or(i64::MIN),
            false => i64::try_from(whole).unwrap_or(i64::MAX),
        }
    }

    /// Returns the first six digits of the fraction.
    pub(crate) fn millionths(&self) -> i64 {
        i64::try_from(self.digits(0, 6)).unwrap_or(0)
    }

    /// Returns the digits between two places, as a number. The first digit after the point is in place 0.
    fn digits(&self, start: i64, end: i64) -> u64 {
        let length = i64::try_from(self.whole.len()).unwrap_or(i64::MAX);
        let mut place = -self.exponent.saturating_add(length);
        let mut number = 0_u64;
        for digit in self.whole.bytes().chain(self.fraction.bytes()) {
            if place >= end {
                return number;
            }
            if place >= start {
                number = number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            }
            place += 1;
        }
        // Zeros that are not written. Any number with more of them than this is too large, or 0.
        for _ in place.max(start)..end.min(place.max(start).saturating_add(20)) {
            number = number.saturating_mul(10);
        }
        number
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_number() {
        for (text, whole, millionths) in [
            ("0", 0, 0),
            ("-0", 0, 0),
            ("5", 5, 0),
            ("-5.9", -5, 900_000),
            ("0.000001", 0, 1),
            ("0.0000019", 0, 1),
            ("12.5", 12, 500_000),
            ("1.25e1", 12, 500_000),
            ("125E-1", 12, 500_000),
            ("1e3", 1000, 0),
            ("1e-3", 0, 1000),
            ("1e-7", 0, 0),
            ("0.0012e3", 1, 200_000),
            ("1e18", 1_000_000_000_000_000_000, 0),
            ("1e19", i64::MAX, 0),
            ("-1e300", i64::MIN, 0),
            ("1e99999999999", i64::MAX, 0),
            ("0e99999999999", 0, 0),
            ("1e-99999999999", 0, 0),
            ("9223372036854775807", i64::MAX, 0),
            ("-9223372036854775808", i64::MIN, 0),
            ("18446744073709551616.5", i64::MAX, 500_000),
        ] {
            let number = Decimal::read(text).unwrap();
            assert_eq!((number.whole(), number.millionths()), (whole, millionths), "{text}");
            assert_eq!(whole_number(text), Some(whole), "{text}");
        }
        for text in ["", "-", "01", "1.", ".5", "1e", "+1", "1 ", "NaN", "1_0", "\"5", "null"] {
            assert!(Decimal::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn strings_may_begin_with_a_number() {
        let numbers =
            r#"{"a": "7", "b": " -8 ", "c": "9rc1", "d": "\u0037", "e": "x", "f": [1], "a": "1"}"#;
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let expected = [Some(1), Some(-8), Some(9), Some(7), None, None, None];
        assert_eq!(numbers_in(numbers, names), Some(expected));
        assert_eq!(numbers_in("[1]", names), None);
    }
}
