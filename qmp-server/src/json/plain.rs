//! The fast path for ordinary commands.
//!
//! Programs send commands on one line, in standard JSON, with strings that need no escapes. Such a
//! command is read in one pass, without a value of the whole message. Everything else is left to the
//! parser: this one either returns what the parser would, or nothing.

use serde_json::{Map, Value};

use super::cost::{OBJECT_COST, OTHER_COST};

/// The maximum length in bytes. The limits on messages must allow that many bytes and tokens.
pub(super) const MAX_LENGTH: usize = 1 << 10;

/// The maximum number of digits of a number. All of them fit an `i64`.
const MAX_DIGITS: usize = 18;

/// A command whose arguments are strings, integers and booleans.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Value>,
    /// The arguments as they were written, if they are kept.
    pub(crate) arguments_text: Option<Box<str>>,
    /// The identifier as JSON text.
    pub(crate) id: Option<Box<str>>,
}

/// Reads a command at the start of the bytes. Returns it with an upper bound of the memory in bytes
/// that it uses, and its length. If `keeps_text` is set, keeps the arguments as text, too.
pub(super) fn read(bytes: &[u8], keeps_text: bool) -> Option<(Plain, usize, usize)> {
    let bytes = &bytes[..bytes.len().min(MAX_LENGTH)];
    // Checked once rather than for each string. A command ends before what is not UTF-8, or is not plain.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
    };
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, cost: 0 };
    let (mut name, mut id, mut arguments) = (None, None, None);
    reader.object(|reader, member| {
        let is_new = match member {
            "execute" => name.replace(reader.text()?).is_none(),
            "id" => id.replace(reader.id()?).is_none(),
            "arguments" => arguments.replace(reader.arguments()?).is_none(),
            _ => false,
        };
        is_new.then_some(())
    })?;
    let (arguments, arguments_text) = arguments.unwrap_or_default();
    let plain = Plain {
        name: name?.to_owned(),
        arguments,
        arguments_text: arguments_text.filter(|_| keeps_text).map(Into::into),
        id: id.map(Into::into),
    };
    // The end of the line, too, which would be a read of its own.
    while let Some(b'\r' | b'\n') = reader.next() {
        reader.at += 1;
    }
    Some((plain, reader.cost + reader.at, reader.at))
}

struct Reader<'b> {
    text: &'b str,
    bytes: &'b [u8],
    at: usize,
    /// The memory in bytes, without that for texts.
    cost: usize,
}

impl<'b> Reader<'b> {
    fn next(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.next() {
            self.at += 1;
        }
    }

    /// Takes a token of one byte, after white space.
    fn take(&mut self, token: u8) -> Option<()> {
        self.skip_space();
        (self.next()? == token).then(|| self.at += 1)
    }

    /// Reads an object, with a function for the value of each member.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'b str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        self.cost += OBJECT_COST + OTHER_COST;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let name = self.text()?;
            self.take(b':')?;
            member(self, name)?;
            self.cost += 2 * OTHER_COST;
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    /// Reads a string of printable ASCII characters, none of which is escaped.
    fn text(&mut self) -> Option<&'b str> {
        self.take(b'"')?;
        let start = self.at;
        let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7E) && !matches!(byte, b'"' | b'\\');
        self.at += self.bytes[start..].iter().take_while(|byte| is_plain(byte)).count();
        let end = self.at;
        self.take_at_once(b'"')?;
        self.cost += OTHER_COST;
        self.text.get(start..end)
    }

    fn take_at_once(&mut self, token: u8) -> Option<()> {
        (self.next()? == token).then(|| self.at += 1)
    }

    /// Reads an integer that is written as the writer would.
    fn integer(&mut self) -> Option<i64> {
        let start = self.at;
        let _ = self.take_at_once(b'-');
        let first = self.next()?;
        let digits = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        let text = self.text.get(start..self.at)?;
        let is_canonical = digits == 1 || first != b'0';
        let has_end = matches!(self.next()?, b',' | b'}' | b' ' | b'\r' | b'\n');
        if digits > MAX_DIGITS || !is_canonical || text == "-0" || !has_end {
            return None;
        }
        self.cost += OTHER_COST;
        text.parse().ok()
    }

    /// Reads an identifier, and returns it as it is written.
    fn id(&mut self) -> Option<&'b str> {
        self.skip_space();
        let start = self.at;
        match self.next()? {
            b'"' => drop(self.text()?),
            _ => drop(self.integer()?),
        }
        self.text.get(start..self.at)
    }

    fn arguments(&mut self) -> Option<(Map<String, Value>, Option<&'b str>)> {
        self.skip_space();
        let start = self.at;
        let mut arguments = Map::new();
        self.object(|reader, name| {
            let value = reader.value()?;
            arguments.insert(name.to_owned(), value).is_none().then_some(())
        })?;
        Some((arguments, self.text.get(start..self.at)))
    }

    fn value(&mut self) -> Option<Value> {
        self.skip_space();
        match self.next()? {
            b'"' => self.text().map(Value::from),
            b'-' | b'0'..=b'9' => self.integer().map(Value::from),
            b't' => self.keyword("true").map(|()| Value::Bool(true)),
            b'f' => self.keyword("false").map(|()| Value::Bool(false)),
            _ => None,
        }
    }

    fn keyword(&mut self, word: &str) -> Option<()> {
        let rest = self.bytes[self.at..].strip_prefix(word.as_bytes())?;
        self.at += word.len();
        self.cost += OTHER_COST;
        matches!(rest.first()?, b',' | b'}' | b' ' | b'\r' | b'\n').then_some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::json::value_to_json;

    /// Messages that the fast path takes, and what it makes of them.
    #[test]
    fn ordinary_commands_are_read_at_once() {
        for (text, name, arguments, id, rest) in [
            (r#"{"execute": "stop"}"#, "stop", "{}", None, ""),
            ("{\"execute\":\"a-b_c\",\"id\":\"x 1\"}\r\n{", "a-b_c", "{}", Some(r#""x 1""#), "{"),
            (r#" {"id": -12 , "execute" : "cont"} "#, "cont", "{}", Some("-12"), " "),
            (
                r#"{"arguments": {"a": "b", "c": 7, "d": true, "e": false }, "execute": "f", "id": 0}[]"#,
                "f",
                r#"{"a": "b", "c": 7, "d": true, "e": false}"#,
                Some("0"),
                "[]",
            ),
        ] {
            let (plain, _, length) = read(text.as_bytes(), false).unwrap();
            assert_eq!((plain.name.as_str(), plain.id.as_deref()), (name, id), "{text}");
            assert_eq!(value_to_json(&Value::Object(plain.arguments)), arguments, "{text}");
            assert_eq!(&text[length..], rest);
            let (kept, ..) = read(text.as_bytes(), true).unwrap();
            assert!(kept.arguments_text.is_none_or(|kept| text.contains(&*kept)));
        }
    }

    /// Messages whose meaning, or whose error, is the parser's business.
    #[test]
    fn anything_else_is_left_to_the_parser() {
        for text in [
            "",
            "[]",
            r#"{"execute": "stop""#,
            r#"{"execute": "stop", }"#,
            r#"{"execute": "stop", "execute": "stop"}"#,
            r#"{"execute": "stop", "more": 1}"#,
            r#"{"exec-oob": "stop"}"#,
            r#"{"execute": 1}"#,
            r#"{"id": 1}"#,
            "{}",
            "{'execute': 'stop'}",
            r#"{"execute": "st\u006fp"}"#,
            "{\"execute\": \"st\u{e9}p\"}",
            "{\"execute\": \"st\u{7f}p\"}",
            "{\"execute\": \"st\tp\"}",
            r#"{"execute": "stop", "id": 1.0}"#,
            r#"{"execute": "stop", "id": 01}"#,
            r#"{"execute": "stop", "id": -0}"#,
            r#"{"execute": "stop", "id": -}"#,
            r#"{"execute": "stop", "id": 1e2}"#,
            r#"{"execute": "stop", "id": 1234567890123456789}"#,
            r#"{"execute": "stop", "id": null}"#,
            r#"{"execute": "stop", "arguments": []}"#,
            r#"{"execute": "stop", "arguments": {"a": {}}}"#,
            r#"{"execute": "stop", "arguments": {"a": 1, "a": 2}}"#,
            r#"{"execute": "stop", "arguments": {"a": truex}}"#,
        ] {
            assert!(read(text.as_bytes(), false).is_none(), "{text}");
        }
    }

    /// Errors name positions, which both paths have to count alike.
    #[test]
    fn positions_after_ordinary_commands_are_those_of_the_parser() {
        use crate::{Limits, Session};

        let session = || Session::new(&qmp_types::Greeting::default(), Limits::default());
        for ends in ["", " ", "\n", "\r\n", "\n\n"] {
            let plain = format!("{{\"execute\": \"qmp_capabilities\", \n\"id\": 1}}{ends}");
            let text = format!("{plain}{plain} [X");
            let (mut whole, mut cut) = (session(), session());
            whole.receive(text.as_bytes());
            assert!(whole.next_request().is_none());
            // Byte by byte, no message is complete at once.
            for byte in text.as_bytes() {
                cut.receive(&[*byte]);
                assert!(cut.next_request().is_none());
            }
            let output = String::from_utf8(whole.take_output()).unwrap();
            assert!(output.contains("JSON parse error"), "{output}");
            assert_eq!(output, String::from_utf8(cut.take_output()).unwrap(), "{ends:?}");
        }
    }
}
