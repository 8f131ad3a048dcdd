//! The short way to read what a server sends most: an event, or a success response, that is the
//! whole of a short line.
//!
//! It takes what it understands at first sight and leaves the rest to the general way, which
//! gives the same for whatever both take: this is about time only. Of an event, the general way
//! looks at each byte three times, for its end, for its members, and for its data; this one looks
//! once.

use std::iter;

use qmp_types::{Timestamp, plain_end};
use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, Error as NotRaw, MapDeserializer};
use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

use super::calls::CallId;

/// Deeper data is left to the general way: each level takes stack.
const DEPTH: u8 = 32;

/// A message that was read the short way.
#[derive(Debug)]
pub(super) enum Line<'t> {
    Return { id: CallId, value: &'t RawValue },
    Event { name: &'t str, data: Option<&'t RawValue>, timestamp: Timestamp },
}

/// The message at the beginning of a line, and its length; nothing if it is anything unusual.
pub(super) fn read(line: &str) -> Option<(Line<'_>, usize)> {
    let mut text = Text { text: line, at: 0 };
    let (mut id, mut value, mut name, mut data, mut timestamp) = (None, None, None, None, None);
    text.byte(b'{')?;
    loop {
        match text.key()? {
            "return" if value.is_none() => value = Some(text.value()?),
            "id" if id.is_none() => id = Some(text.number()?),
            "event" if name.is_none() => name = Some(text.string()?),
            "data" if data.is_none() => data = Some(text.value()?),
            "timestamp" if timestamp.is_none() => timestamp = Some(text.timestamp()?),
            _ => return None,
        }
        match text.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    let line = match (value, name) {
        (Some(value), None) => Line::Return { id: CallId::from_number(id?), value },
        (None, Some(name)) => {
            Line::Event { name, data, timestamp: timestamp.unwrap_or(Timestamp::UNKNOWN) }
        }
        _ => return None,
    };
    Some((line, text.at))
}

struct Text<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Text<'t> {
    /// The next byte, which is taken.
    #[inline(always)]
    fn take(&mut self) -> Option<u8> {
        let byte = self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(*byte)
    }

    /// The next byte that is no space.
    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.take()? {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                byte => return Some(byte),
            }
        }
    }

    #[inline(always)]
    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// A string without escapes.
    #[inline(always)]
    fn string(&mut self) -> Option<&'t str> {
        self.byte(b'"')?;
        let start = self.at;
        self.skip_string()?;
        self.text.get(start..self.at - 1)
    }

    #[inline(always)]
    fn key(&mut self) -> Option<&'t str> {
        let key = self.string()?;
        self.byte(b':')?;
        Some(key)
    }

    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        self.next()?;
        let start = self.at - 1;
        self.skip_number(start)?;
        // JSON's negative zero is no integer.
        self.text.get(start..self.at).filter(|number| *number != "-0")?.parse().ok()
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        let mut timestamp = Timestamp::UNKNOWN;
        self.byte(b'{')?;
        loop {
            match self.key()? {
                "seconds" => timestamp.seconds = self.number()?,
                "microseconds" => timestamp.microseconds = self.number()?,
                _ => return None,
            }
            match self.next()? {
                b',' => {}
                b'}' => return Some(timestamp),
                _ => return None,
            }
        }
    }

    /// Any value, as its text.
    fn value(&mut self) -> Option<&'t RawValue> {
        let first = self.next()?;
        let start = self.at - 1;
        self.skip_value(first, DEPTH)?;
        raw(self.text.get(start..self.at)?)
    }

    /// Passes over the value that begins with this byte, and checks that it is one.
    fn skip_value(&mut self, first: u8, depth: u8) -> Option<()> {
        match first {
            b'"' => self.skip_string(),
            b'-' | b'0'..=b'9' => self.skip_number(self.at - 1),
            b'{' => self.skip_items(b'}', depth.checked_sub(1)?),
            b'[' => self.skip_items(b']', depth.checked_sub(1)?),
            b't' => self.skip_word("rue"),
            b'f' => self.skip_word("alse"),
            b'n' => self.skip_word("ull"),
            _ => None,
        }
    }

    fn skip_items(&mut self, end: u8, depth: u8) -> Option<()> {
        let mut first = self.next()?;
        if first == end {
            return Some(());
        }
        loop {
            if end == b'}' {
                (first == b'"').then_some(())?;
                self.skip_string()?;
                self.byte(b':')?;
                first = self.next()?;
            }
            self.skip_value(first, depth)?;
            match self.next()? {
                b',' => first = self.next()?,
                last => return (last == end).then_some(()),
            }
        }
    }

    /// The rest of a string, behind its opening quote. One with escapes is unusual.
    #[inline(always)]
    fn skip_string(&mut self) -> Option<()> {
        self.at = plain_end(self.text.as_bytes(), self.at);
        (self.take()? == b'"').then_some(())
    }

    /// The rest of the integer that begins at `start`. Behind one with a fraction or an exponent
    /// whoever looks for a separator finds none.
    fn skip_number(&mut self, start: usize) -> Option<()> {
        let number = self.text.as_bytes().get(start..)?;
        let digits = number.strip_prefix(b"-").unwrap_or(number);
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at = start + (number.len() - digits.len()) + count;
        (count == 1 || (count > 1 && digits.first() != Some(&b'0'))).then_some(())
    }

    fn skip_word(&mut self, rest: &str) -> Option<()> {
        let found = self.text.as_bytes().get(self.at..)?.starts_with(rest.as_bytes());
        self.at += rest.len();
        found.then_some(())
    }
}

/// A text that has been checked to be JSON, as a raw value, without a second check.
///
/// A raw value is made by visiting what its own reader shows to a visitor: a map of one entry, the
/// name that was asked for and the text. Should that ever change, this gives nothing, and lines go
/// the general way.
fn raw(text: &str) -> Option<&RawValue> {
    Deserialize::deserialize(Checked(text)).ok()
}

struct Checked<'de>(&'de str);

impl<'de> Deserializer<'de> for Checked<'de> {
    type Error = NotRaw;

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NotRaw> {
        let entry = (name, BorrowedStrDeserializer::new(self.0));
        visitor.visit_map(MapDeserializer::new(iter::once(entry)))
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
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use qmp_types::ServerMessage;

    const USUAL: [&str; 6] = [
        r#"{"return": {}, "id": 7}"#,
        r#"{"id": 7, "return": {"a": ["}", "]", -15, 0, null, [], [{}], true], "b":false}}"#,
        r#"{"return":18446744073709551616,"id":0}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#,
        r#"{"event":"é","data":{"x": -1},"timestamp":{"microseconds":-1,"seconds":-1}}"#,
        r#"{"event": "STOP", "data": null}"#,
    ];

    /// Whether the line is taken here. Then it reads the same the general way.
    fn is_taken(text: &str) -> bool {
        let Some((line, length)) = read(text) else { return false };
        assert_eq!(length, text.len(), "{text}");
        match (line, qmp_types::decode(text).unwrap()) {
            (
                Line::Return { id, value },
                ServerMessage::Return { id: Some(same_id), value: same },
            ) => {
                assert_eq!(Some(id), CallId::parse(same_id), "{text}");
                assert_eq!(value.get(), same.get(), "{text}");
            }
            (
                Line::Event { name, data, timestamp },
                ServerMessage::Event { name: same_name, data: same, timestamp: same_time },
            ) => {
                assert_eq!((name, timestamp), (&*same_name, same_time), "{text}");
                assert_eq!(data.map(RawValue::get), same.map(RawValue::get), "{text}");
            }
            (line, same) => panic!("{text}: {line:?} {same:?}"),
        }
        true
    }

    #[test]
    fn both_ways_lead_to_the_same() {
        for text in USUAL {
            assert!(is_taken(text), "{text}");
            let (_, length) = read(&format!(" {text} {text}")).unwrap();
            assert_eq!(length, text.len() + 1);
        }
    }

    /// One byte is another, or missing: most of these are damaged, and none is taken that the
    /// general way refuses.
    #[test]
    fn nothing_is_taken_that_the_general_way_refuses() {
        let mut taken = 0;
        for text in USUAL {
            for at in 0..text.len() {
                for byte in [
                    &b""[..],
                    b"\"",
                    b"\\",
                    b"{",
                    b"}",
                    b"[",
                    b"]",
                    b",",
                    b":",
                    b"0",
                    b"-",
                    b".",
                    b"e",
                    b"\n",
                    b"t",
                    b" ",
                ] {
                    let mut other = text.as_bytes().to_vec();
                    other.splice(at..=at, byte.iter().copied());
                    let Ok(other) = String::from_utf8(other) else { continue };
                    // A line may be shorter than what is given.
                    let end = read(&other).map_or(other.len(), |(_, length)| length);
                    taken += usize::from(is_taken(&other[..end]));
                }
            }
        }
        assert!(taken > 100, "{taken}");
    }

    #[test]
    fn anything_unusual_is_left_to_the_general_way() {
        for text in [
            "",
            "{",
            "{}",
            r#"{"return": {}}"#,
            r#"{"return": {}, "id": "7"}"#,
            r#"{"return": {}, "id": 7.0}"#,
            r#"{"return": {}, "id": 07x}"#,
            r#"{"return": {}, "id": -}"#,
            r#"{"return": {}, "id": 7, "return": {}}"#,
            r#"{"return": {}, "id": 7, "event": "STOP"}"#,
            r#"{"return": {"x": tru}, "id": 7}"#,
            r#"{"return": {"x": 01}, "id": 7}"#,
            r#"{"return": {"x": -}, "id": 7}"#,
            r#"{"return": {"x": 1.5}, "id": 7}"#,
            r#"{"return": {"x": "\""}, "id": 7}"#,
            r#"{"return": {"x": 1,}, "id": 7}"#,
            r#"{"return": {"x"}, "id": 7}"#,
            r#"{"return": {x: 1}, "id": 7}"#,
            r#"{"return": [1, 2}, "id": 7}"#,
            r#"{"return": [,], "id": 7}"#,
            r#"{"return": {}, "id": 7, "x": 1}"#,
            r#"{"return": {}, "id": 7"#,
            r#"{"return": {}, "id": 7,}"#,
            r#"{"return": {}  "id": 7}"#,
            r#"{"event": "ST\u004fP"}"#,
            r#"{"event": 1}"#,
            r#"{"event": "STOP", "timestamp": 1}"#,
            r#"{"event": "STOP", "timestamp": {"seconds": 1.5}}"#,
            r#"{"error": {"class": "GenericError", "desc": "no"}, "id": 7}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        let whole = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#;
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_none(), "{}", &whole[..end]);
        }
    }
}
