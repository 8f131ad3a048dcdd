//! The ids of calls, and of replies.

use std::fmt;

use serde_json::value::RawValue;

/// The longest id that is read as a number, in bytes.
const LONGEST: usize = 40;
/// The first number that a floating point number may not represent exactly.
const INEXACT: u64 = 1 << 53;

/// A call, identified by the `id` that its command has on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(u64);

impl CallId {
    /// Returns the number on the wire.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// // Ids begin at 1 and are never used again.
    /// let call = connection.submit(Submission::new("query-status"))?;
    /// assert_eq!(call.number(), 1);
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn from_digits(digits: &str) -> Option<Self> {
        // `parse` also accepts a plus sign.
        if is_digits(digits) { digits.parse().ok().map(Self) } else { None }
    }

    /// Reads a JSON value as an id: the number, however it is written, or text with the number. Some
    /// servers keep numbers as floating point or as text.
    pub(crate) fn from_json(value: &str) -> Option<Self> {
        if value.len() > LONGEST {
            return None;
        }
        let quoted = value.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let text = quoted.unwrap_or(value).trim_ascii();
        Self::from_digits(text).or_else(|| whole(text).map(Self))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a whole number that is written with a fraction or an exponent, such as `7.0` or `7e0`.
///
/// Reading it as a floating point number would bring the tables for that into every program.
fn whole(text: &str) -> Option<u64> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse().ok()?),
        None => (text, 0_i64),
    };
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    let mut digits = format!("{before}{after}");
    // Text from a server may contain anything before an exponent.
    if !is_digits(&digits) {
        return None;
    }
    let shift = exponent.checked_sub(i64::try_from(after.len()).ok()?)?;
    let zeros = usize::try_from(shift.unsigned_abs()).ok()?;
    if shift < 0 {
        for _ in 0..zeros {
            if digits.pop()? != '0' {
                return None;
            }
        }
    } else if zeros <= LONGEST {
        for _ in 0..zeros {
            digits.push('0');
        }
    } else {
        return None;
    }
    digits.parse().ok().filter(|number| *number < INEXACT)
}

/// The id of a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReplyId {
    /// The reply has none, or null.
    Absent,
    /// The id of a call, of this client or of an earlier one.
    Call(CallId),
    /// Text or a number that is not an id of this client.
    Foreign,
    /// A value of a type that clients do not use.
    Odd,
}

impl ReplyId {
    pub(crate) fn new(id: Option<&RawValue>) -> Self {
        let Some(text) = id.map(RawValue::get) else { return Self::Absent };
        if let Some(id) = CallId::from_json(text) {
            return Self::Call(id);
        }
        match text.as_bytes().first() {
            Some(b'n') => Self::Absent,
            Some(b'"' | b'-' | b'0'..=b'9') => Self::Foreign,
            _ => Self::Odd,
        }
    }

    pub(crate) fn call(self) -> Option<CallId> {
        match self {
            Self::Call(id) => Some(id),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_number_in_whatever_form() {
        let parse = |text: &str| {
            let value = RawValue::from_string(text.to_owned()).unwrap();
            ReplyId::new(Some(&value))
        };
        for text in ["7", "7.0", "7e0", "0.7E+1", "70.0e-1", r#""7""#, r#"" 7 ""#, r#""7.0""#] {
            assert_eq!(parse(text), ReplyId::Call(CallId(7)), "{text}");
        }
        // The longest id that is read has 40 bytes.
        let longest = format!("7.{}", "0".repeat(LONGEST - 2));
        assert_eq!(parse(&longest), ReplyId::Call(CallId(7)));
        assert_eq!(parse(&format!("{longest}0")), ReplyId::Foreign);
        let long = format!("7.{}", "0".repeat(1 << 20));
        for text in [
            "7.5",
            "-7",
            "7e-1",
            "1e400",
            "1e-99999",
            "1e30",
            r#""libvirt-7""#,
            r#""""#,
            r#""NaN""#,
            r#""+7""#,
            r#""e7""#,
            r#"".e7""#,
            r#""é.0""#,
            r#""ée-1""#,
            r#""\u00e9e-1""#,
            &long,
        ] {
            assert_eq!(parse(text), ReplyId::Foreign, "{}", &text[..text.len().min(20)]);
        }
        for text in ["true", "[7]", "{}"] {
            assert_eq!(parse(text), ReplyId::Odd, "{text}");
        }
        assert_eq!(parse("null"), ReplyId::Absent);
        assert_eq!(parse("18446744073709551615"), ReplyId::Call(CallId(u64::MAX)));
        assert_eq!(parse("9007199254740991.0"), ReplyId::Call(CallId(INEXACT - 1)));
        assert_eq!(parse("9007199254740992.0"), ReplyId::Foreign);
    }
}
