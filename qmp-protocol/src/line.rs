//! The fast path for what a server sends most: an event or a success response that is a complete,
//! short line.
//!
//! It takes what it understands at first sight and leaves everything else, such as keys and names with
//! escapes, to the general parser, which gives the same result for whatever both accept: the fast path
//! only saves time. The general parser examines each byte of an event three times (for its end, for its
//! members, and for its data); this one examines it once.

use std::ops::Range;

use qmp_types::{Timestamp, plain_end};

use crate::direct::{EventText, TakeEvents};
use crate::id::CallId;
use crate::newline::has_newline;

/// The nesting of data that the fast path accepts: each level takes stack.
const DEPTH: u8 = 32;

/// The first bytes of an event, as QEMU writes it.
pub(crate) const EVENT: &[u8; 26] = b"{\"timestamp\": {\"seconds\": ";

/// A message that the fast path has read, as places in the buffer. Whether the text at them is
/// UTF-8 has not been checked.
#[derive(Debug)]
pub(crate) struct Line {
    /// The whole message.
    pub(crate) place: Range<usize>,
    pub(crate) message: Message,
}

#[derive(Debug)]
pub(crate) enum Message {
    Return { id: CallId, value: Range<usize> },
    Event { name: Range<usize>, data: Option<Range<usize>>, timestamp: Timestamp },
}

/// Reads the message that begins at `start`; `None` if anything about it is unusual.
#[inline]
pub(crate) fn read(bytes: &[u8], start: usize) -> Option<Line> {
    // The first letter of the first member.
    let usual = match bytes.get(start + 2) {
        Some(b'r') => read_return(bytes, start),
        _ => read_event(bytes, start),
    };
    usual.or_else(|| read_in_any_order(bytes, start))
}

/// The beginning of a success response as QEMU writes it, before its value.
pub(crate) const RETURN: &[u8; 11] = b"{\"return\": ";

/// The text between the value of a success response and its id, as QEMU writes it.
const ID: &[u8; 8] = b", \"id\": ";

/// Reads a success response in the order of members and with the spaces that QEMU writes.
#[inline]
fn read_return(bytes: &[u8], start: usize) -> Option<Line> {
    let mut text = Text { bytes, at: start };
    text.literal(RETURN)?;
    let value = text.value()?;
    let id = text.id_and_end()?;
    Some(Line { place: start..text.at, message: Message::Return { id, value } })
}

/// Returns what may be the value of a success response to `id` as QEMU writes it: what lies between the
/// beginning of the response and its end, which must be the end of these bytes, except for white space.
/// It is on one line, since another line is another message.
pub(crate) fn value_before_id(bytes: &[u8], id: CallId) -> Option<&[u8]> {
    let mut rest = bytes.strip_suffix(b"\n")?;
    rest = rest.strip_suffix(b"\r").unwrap_or(rest).strip_suffix(b"}")?;
    // From the last digit to the first: a number has no other digits than these.
    let mut number = id.number();
    loop {
        let digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        rest = match rest.split_last()? {
            (last, before) if *last == digit => before,
            _ => return None,
        };
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let value = rest.strip_suffix(ID)?;
    (!has_newline(value)).then_some(value)
}

/// Reads an event in the order of members and with the spaces that QEMU writes.
fn read_event(bytes: &[u8], start: usize) -> Option<Line> {
    let mut text = Text { bytes, at: start };
    let Head { name, timestamp, has_data } = text.head()?;
    let data = if has_data {
        let data = text.value()?;
        text.byte(b'}')?;
        Some(data)
    } else {
        None
    };
    Some(Line { place: start..text.at, message: Message::Event { name, data, timestamp } })
}

/// Reads an event as [`read_event`] does, if it has at most `longest` bytes, with the data by `taker`.
/// Returns it, and the length of the message.
#[inline]
pub(crate) fn decode_event<'t>(
    text: &'t str,
    longest: usize,
    taker: &mut impl TakeEvents,
) -> Option<(EventText<'t>, usize)> {
    let mut reader = Text { bytes: text.as_bytes(), at: 0 };
    let Head { name, timestamp, has_data } = reader.head()?;
    let name = text.get(name)?;
    let mut data = None;
    let mut is_complete = true;
    if has_data {
        // Whatever the data is, no more than this is read.
        let mut end = text.len().min(longest);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let rest = text.get(reader.at..end)?;
        // Data that is not an object is the general parser's.
        let length = rest.starts_with('{').then(|| taker.decode(name, timestamp, rest))??;
        data = rest.get(..length);
        reader.at += length;
        is_complete = data.is_some() && reader.byte(b'}').is_some();
    } else {
        taker.decode(name, timestamp, "{}")?;
    }
    if is_complete && reader.at <= longest {
        return Some((EventText { name, data, timestamp }, reader.at));
    }
    taker.undo();
    None
}

/// Returns the length of the object that a text begins with, if the fast path accepts it: a value that
/// is valid, and not deeply nested.
#[doc(hidden)]
#[must_use]
pub fn object_length(text: &str) -> Option<usize> {
    let mut reader = Text { bytes: text.as_bytes(), at: 0 };
    (reader.take()? == b'{').then(|| reader.skip_object(DEPTH - 1))??;
    Some(reader.at)
}

/// An event up to its data.
struct Head {
    name: Range<usize>,
    timestamp: Timestamp,
    has_data: bool,
}

fn read_in_any_order(bytes: &[u8], start: usize) -> Option<Line> {
    let mut text = Text { bytes, at: start };
    let (mut id, mut value, mut name, mut data, mut timestamp) = (None, None, None, None, None);
    text.byte(b'{')?;
    loop {
        let key = text.key()?;
        match &bytes[key] {
            b"return" if value.is_none() => value = Some(text.value()?),
            b"id" if id.is_none() => id = Some(text.unsigned()?),
            b"event" if name.is_none() => name = Some(text.string()?),
            b"data" if data.is_none() => data = Some(text.value()?),
            b"timestamp" if timestamp.is_none() => timestamp = Some(text.timestamp()?),
            _ => return None,
        }
        match text.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    let message = match (value, name) {
        (Some(value), None) => Message::Return { id: CallId::from_number(id?), value },
        (None, Some(name)) => {
            Message::Event { name, data, timestamp: timestamp.unwrap_or(Timestamp::UNKNOWN) }
        }
        _ => return None,
    };
    Some(Line { place: start..text.at, message })
}

struct Text<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Text<'_> {
    /// Takes an event up to its data, or all of one without data, as QEMU writes it.
    #[inline]
    fn head(&mut self) -> Option<Head> {
        self.literal(EVENT)?;
        let seconds = i64::try_from(self.digits()?).ok()?;
        self.literal(b", \"microseconds\": ")?;
        let microseconds = i64::try_from(self.digits()?).ok()?;
        self.literal(b"}, \"event\": \"")?;
        let name = self.at;
        self.skip_string()?;
        let name = name..self.at - 1;
        let has_data = match self.take()? {
            b'}' => false,
            b',' => {
                self.literal(b" \"data\": ")?;
                true
            }
            _ => return None,
        };
        let mut timestamp = Timestamp::UNKNOWN;
        (timestamp.seconds, timestamp.microseconds) = (seconds, microseconds);
        Some(Head { name, timestamp, has_data })
    }

    /// Takes the next byte.
    #[inline]
    fn take(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at)?;
        self.at += 1;
        Some(*byte)
    }

    /// Takes the next byte that is not white space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.take()? {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                byte => return Some(byte),
            }
        }
    }

    #[inline]
    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// Takes a string without escapes.
    #[inline]
    fn string(&mut self) -> Option<Range<usize>> {
        self.byte(b'"')?;
        let start = self.at;
        self.skip_string()?;
        Some(start..self.at - 1)
    }

    #[inline]
    fn key(&mut self) -> Option<Range<usize>> {
        let key = self.string()?;
        self.byte(b':')?;
        Some(key)
    }

    /// Takes these bytes.
    #[inline(always)]
    fn literal<const N: usize>(&mut self, wanted: &[u8; N]) -> Option<()> {
        let found = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        (found == wanted).then(|| self.at += N)
    }

    /// Takes the id of a success response and the bracket after it, as QEMU writes them.
    #[inline(always)]
    fn id_and_end(&mut self) -> Option<CallId> {
        self.literal(ID)?;
        let id = self.digits()?;
        self.literal(b"}")?;
        Some(CallId::from_number(id))
    }

    /// Takes an integer of at most 18 digits, without a sign.
    #[inline]
    fn digits(&mut self) -> Option<u64> {
        let digits = self.bytes.get(self.at..)?;
        let (mut count, mut value) = (0, 0_u64);
        if let Some(eight) = digits.first_chunk().and_then(eight_digits) {
            (count, value) = (8, eight);
        }
        for byte in &digits[count..] {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        self.at += count;
        let has_leading_zero = count > 1 && digits.first() == Some(&b'0');
        ((1..=18).contains(&count) && !has_leading_zero).then_some(value)
    }

    /// Takes an integer of at most 18 digits, as its sign and its magnitude.
    fn number(&mut self) -> Option<(bool, u64)> {
        let is_negative = self.next()? == b'-';
        if !is_negative {
            self.at -= 1;
        }
        let magnitude = self.digits()?;
        // JSON's negative zero is not an integer.
        (!(is_negative && magnitude == 0)).then_some((is_negative, magnitude))
    }

    fn unsigned(&mut self) -> Option<u64> {
        self.number().filter(|(is_negative, _)| !is_negative).map(|(_, magnitude)| magnitude)
    }

    fn signed(&mut self) -> Option<i64> {
        let (is_negative, magnitude) = self.number()?;
        let value = i64::try_from(magnitude).ok()?;
        Some(if is_negative { -value } else { value })
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        let (mut seconds, mut microseconds) = (None, None);
        self.byte(b'{')?;
        loop {
            let key = self.key()?;
            match &self.bytes[key] {
                b"seconds" => seconds = Some(self.signed()?),
                b"microseconds" => microseconds = Some(self.signed()?),
                _ => return None,
            }
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        Some(Timestamp { seconds: seconds?, microseconds: microseconds? })
    }

    /// Takes any value.
    fn value(&mut self) -> Option<Range<usize>> {
        let first = self.next()?;
        let start = self.at - 1;
        self.skip_value(first, DEPTH)?;
        Some(start..self.at)
    }

    /// Skips the value that begins with this byte, and checks that it is valid.
    #[inline(always)]
    fn skip_value(&mut self, first: u8, depth: u8) -> Option<()> {
        match first {
            b'"' => self.skip_string(),
            b'-' | b'0'..=b'9' => self.skip_number(first),
            b'{' => self.skip_object(depth.checked_sub(1)?),
            b'[' => self.skip_array(depth.checked_sub(1)?),
            b't' => self.skip_word("rue"),
            b'f' => self.skip_word("alse"),
            b'n' => self.skip_word("ull"),
            _ => None,
        }
    }

    fn skip_object(&mut self, depth: u8) -> Option<()> {
        let mut first = self.next()?;
        if first == b'}' {
            return Some(());
        }
        loop {
            (first == b'"').then_some(())?;
            self.skip_string()?;
            first = match self.after(b':') {
                Some(first) => first,
                None => {
                    self.byte(b':')?;
                    self.next()?
                }
            };
            self.skip_value(first, depth)?;
            first = match self.after(b',') {
                Some(first) => first,
                None => match self.next()? {
                    b',' => self.next()?,
                    last => return (last == b'}').then_some(()),
                },
            };
        }
    }

    fn skip_array(&mut self, depth: u8) -> Option<()> {
        let mut first = self.next()?;
        if first == b']' {
            return Some(());
        }
        loop {
            self.skip_value(first, depth)?;
            match self.next()? {
                b',' => first = self.next()?,
                last => return (last == b']').then_some(()),
            }
        }
    }

    /// Takes a separator, the space after it and one byte more, and returns that, if this is what comes
    /// next.
    #[inline(always)]
    fn after(&mut self, separator: u8) -> Option<u8> {
        match self.bytes.get(self.at..)?.first_chunk::<3>()? {
            [found, b' ', byte] if *found == separator && *byte > b' ' => {
                self.at += 3;
                Some(*byte)
            }
            _ => None,
        }
    }

    /// Skips the rest of a string, after its opening quote. One with escapes is unusual.
    #[inline(always)]
    fn skip_string(&mut self) -> Option<()> {
        self.at = plain_end(self.bytes, self.at);
        (self.take()? == b'"').then_some(())
    }

    /// Skips the rest of an integer, after its first byte. After a number with a fraction or an
    /// exponent, the caller does not find the separator that it expects.
    #[inline]
    fn skip_number(&mut self, first: u8) -> Option<()> {
        let first = if first == b'-' { self.take()? } else { first };
        match first {
            // No digit follows: the caller expects a separator.
            b'0' => Some(()),
            b'1'..=b'9' => {
                self.at += digits_in(self.bytes.get(self.at..)?);
                Some(())
            }
            _ => None,
        }
    }

    fn skip_word(&mut self, rest: &str) -> Option<()> {
        let found = self.bytes.get(self.at..)?.starts_with(rest.as_bytes());
        self.at += rest.len();
        found.then_some(())
    }
}

/// Marks the bytes of a window that are not digits. The lowest mark is exact.
#[inline(always)]
fn not_digits(window: [u8; 8]) -> u64 {
    // What is not a digit differs from `0` by ten or more, which 0x76 carries into the highest bit.
    let differences = u64::from_le_bytes(window) ^ u64::from_le_bytes([b'0'; 8]);
    let carried = differences.wrapping_add(u64::from_le_bytes([0x76; 8]));
    (differences | carried) & u64::from_le_bytes([0x80; 8])
}

/// Returns the number of digits that some bytes begin with.
#[inline(always)]
fn digits_in(bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(window) = bytes.get(count..).and_then(<[u8]>::first_chunk) {
        let others = not_digits(*window);
        if others != 0 {
            return count + others.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    while matches!(bytes.get(count), Some(b'0'..=b'9')) {
        count += 1;
    }
    count
}

/// Returns the number that eight digits are.
#[inline(always)]
fn eight_digits(digits: &[u8; 8]) -> Option<u64> {
    if not_digits(*digits) != 0 {
        return None;
    }
    // Digits, pairs and fours are added up side by side, the first in the lowest bytes.
    let ones = u64::from_le_bytes(*digits) & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = (ones.wrapping_mul(10 * 256 + 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul((100 << 16) + 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul((10_000 << 32) + 1) >> 32)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use qmp_types::ServerMessage;
    use serde_json::value::RawValue;

    const USUAL: [&str; 11] = [
        r#"{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "STOP", "data": {"x": [1, "}"]}}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": null }"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP","data":{}}"#,
        r#"{"return": {}, "id": 7}"#,
        r#"{"id": 7, "return": {"a": ["}", "]", -15, 0, null, [], [{}], true], "b":false}}"#,
        r#"{"return":18446744073709551616,"id":0}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#,
        r#"{"event":"é","data":{"x": -1},"timestamp":{"microseconds":-1,"seconds":-1}}"#,
        r#"{"event": "STOP", "data": null}"#,
        r#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 3, "seconds": 2}}"#,
        "{\"return\": {\"a\":  1, \t\"b\" : \t[2 ,  3]}, \"id\": 9}",
    ];

    fn read(text: &str) -> Option<Line> {
        super::read(text.as_bytes(), 0)
    }

    /// Returns whether the fast path accepts the line. If so, the general parser agrees.
    fn is_accepted(text: &str) -> bool {
        let Some(line) = read(text) else { return false };
        assert_eq!(line.place, 0..text.len(), "{text}");
        match (line.message, qmp_types::decode(text).unwrap()) {
            (
                Message::Return { id, value },
                ServerMessage::Return { id: Some(same_id), value: same },
            ) => {
                assert_eq!(Some(id), CallId::from_json(same_id.get()), "{text}");
                assert_eq!(&text[value], same.get(), "{text}");
            }
            (
                Message::Event { name, data, timestamp },
                ServerMessage::Event { name: same_name, data: same, timestamp: same_time },
            ) => {
                assert_eq!((&text[name], timestamp), (&*same_name, same_time), "{text}");
                assert_eq!(data.map(|data| &text[data]), same.map(RawValue::get), "{text}");
            }
            (line, same) => panic!("{text}: {line:?} {same:?}"),
        }
        true
    }

    #[test]
    fn digits_are_counted_and_added_up() {
        for text in ["00000000", "12345678", "99999999", "1267020999", "435656", "9", ""] {
            for end in ["", ",", " 12345678", "}\r\n{\"xxxxx", "/:;", "\u{e9}\u{e9}\u{e9}"] {
                let all = format!("{text}{end}");
                assert_eq!(digits_in(all.as_bytes()), text.len(), "{all}");
                let mut reader = Text { bytes: all.as_bytes(), at: 0 };
                let usual = !text.starts_with('0');
                assert_eq!(reader.digits(), text.parse().ok().filter(|_| usual), "{all}");
            }
        }
        for byte in 0..=255_u8 {
            for at in 0..8 {
                let mut window = *b"12345678";
                window[at] = byte;
                let number = std::str::from_utf8(&window).ok().and_then(|text| text.parse().ok());
                let number = number.filter(|_| byte != b'+');
                assert_eq!(eight_digits(&window), number, "{window:?}");
                let count = if byte.is_ascii_digit() { 8 } else { at };
                assert_eq!(digits_in(&window), count, "{window:?}");
            }
        }
    }

    #[test]
    fn both_parsers_give_the_same() {
        for text in USUAL {
            assert!(is_accepted(text), "{text}");
            let line = super::read(format!("x {text} {text}").as_bytes(), 1).unwrap();
            assert_eq!(line.place, 1..text.len() + 2);
        }
    }

    /// One byte is replaced or missing. Most of these are damaged, and the fast path must not accept
    /// any that the general parser refuses.
    #[test]
    fn nothing_is_accepted_that_the_general_parser_refuses() {
        let mut accepted = 0;
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
                    // The message may be shorter than the text.
                    let end = read(&other).map_or(other.len(), |line| line.place.end);
                    accepted += usize::from(is_accepted(&other[..end]));
                }
            }
        }
        assert!(accepted > 100, "{accepted}");
    }

    #[test]
    fn anything_unusual_is_left_to_the_general_parser() {
        for text in [
            "",
            "{",
            r#"{"timestamp": {"seconds": 01, "microseconds": 2}, "event": "STOP"}"#,
            r#"{"timestamp": {"seconds": 1234567890123456789, "microseconds": 2}, "event": "STOP"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": {}, "x": 1}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": tru}"#,
            "{}",
            r#"{"return": {}}"#,
            r#"{"return": {}, "id": "7"}"#,
            r#"{"return": {}, "id": 7.0}"#,
            r#"{"return": {}, "id": 07x}"#,
            r#"{"return": {}, "id": -}"#,
            r#"{"return": {}, "id": 7, "return": {}}"#,
            r#"{"return": {}, "id": 7, "id": 8}"#,
            r#"{"id": 7, "return": {}, "id": 8}"#,
            r#"{"event": "STOP", "event": "RESUME"}"#,
            r#"{"event": "STOP", "data": {}, "data": {}}"#,
            r#"{"timestamp": {"seconds": 1}, "event": "STOP", "timestamp": {"seconds": 2}}"#,
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
            r#"{"\u0065vent": "STOP"}"#,
            r#"{"event": "STOP", "time\u0073tamp": {"seconds": 1}}"#,
            r#"{"event": "STOP", "timestamp": {"second\u0073": 1}}"#,
            r#"{"timestamp": {"seconds": 1, "microsecond\u0073": 2}, "event": "STOP"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "ev\u0065nt": "STOP"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "d\u0061ta": {}}"#,
            r#"{"r\u0065turn": {}, "id": 7}"#,
            r#"{"return": {}, "\u0069d": 7}"#,
            r#"{"event": 1}"#,
            r#"{"event": "STOP", "timestamp": 1}"#,
            r#"{"event": "STOP", "timestamp": {"seconds": 5}}"#,
            r#"{"event": "STOP", "timestamp": {"microseconds": 7}}"#,
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
