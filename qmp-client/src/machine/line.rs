//! The short way to read what a server sends most: an event, or a success response, that is the
//! whole of a short line.
//!
//! It takes what it understands at first sight and leaves the rest to the general way, which
//! gives the same for whatever both take: this is about time only. Of an event, the general way
//! looks at each byte three times, for its end, for its members, and for its data.

use qmp_types::Timestamp;
use serde_json::value::RawValue;

use super::calls::CallId;

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
        let key = text.string()?;
        text.byte(b':')?;
        match key {
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
    /// The next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
        }
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'t str> {
        self.byte(b'"')?;
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        self.at += end + 1;
        (rest.as_bytes()[end] == b'"').then(|| &rest[..end])
    }

    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        self.next()?;
        let rest = &self.text[self.at - 1..];
        let is_digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
        let end = rest.bytes().take_while(is_digit).count();
        self.at += end.checked_sub(1)?;
        // A fraction or an exponent is found by whoever looks for the next separator.
        rest[..end].parse().ok()
    }

    fn value(&mut self) -> Option<&'t RawValue> {
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        let mut timestamp = Timestamp::UNKNOWN;
        self.byte(b'{')?;
        loop {
            let key = self.string()?;
            self.byte(b':')?;
            match key {
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
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use qmp_types::ServerMessage;

    /// Whatever is taken here reads the same the general way.
    #[test]
    fn both_ways_lead_to_the_same() {
        let mut taken = 0;
        for text in [
            r#"{"return": {}, "id": 7}"#,
            r#"{"id": 7, "return": {"a": ["}", "\"", 1.5e3, null]}}"#,
            r#"{"return":18446744073709551616,"id":0}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#,
            r#"{"event":"é","data":{"x": -1},"timestamp":{"microseconds":-1,"seconds":-1}}"#,
            r#"{"event": "STOP", "data": null}"#,
        ] {
            let (line, length) = read(text).unwrap();
            assert_eq!(length, text.len());
            match (line, qmp_types::decode(text).unwrap()) {
                (
                    Line::Return { id, value },
                    ServerMessage::Return { id: Some(same_id), value: same },
                ) => {
                    assert_eq!(Some(id), CallId::parse(same_id));
                    assert_eq!(value.get(), same.get());
                }
                (
                    Line::Event { name, data, timestamp },
                    ServerMessage::Event { name: same_name, data: same, timestamp: same_time },
                ) => {
                    assert_eq!((name, timestamp), (&*same_name, same_time));
                    assert_eq!(data.map(RawValue::get), same.map(RawValue::get));
                }
                (line, same) => panic!("{text}: {line:?} {same:?}"),
            }
            taken += 1;
            let (_, length) = read(&format!(" {text} {text}")).unwrap();
            assert_eq!(length, text.len() + 1);
        }
        assert_eq!(taken, 6);
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
