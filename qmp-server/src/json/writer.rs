//! Converts values to text exactly as QEMU does: with a space after `:` and `,`, and in ASCII.

use std::io::{self, Write};

use qmp_types::QmpError;
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

use super::text::is_character;

/// Returns a value as JSON text on one line.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, QemuFormatter))?;
    String::from_utf8(bytes).map_err(|error| serde_json::Error::io(io::Error::other(error)))
}

/// Encodes a command's return value.
pub(crate) fn encode_return<T: Serialize>(value: &T) -> Result<String, QmpError> {
    to_json(value).map_err(|error| {
        QmpError::generic(format!("failed to encode the return value as JSON: {error}"))
    })
}

/// Spreads JSON text over several lines, with the indentation that QEMU uses.
pub(crate) fn pretty(line: &str) -> String {
    let mut text = String::with_capacity(line.len() * 2);
    let (mut level, mut in_string, mut is_escaped) = (0_usize, false, false);
    let mut bytes = line.chars().peekable();
    while let Some(found) = bytes.next() {
        if in_string {
            in_string = is_escaped || found != '"';
            is_escaped = !is_escaped && found == '\\';
            text.push(found);
            continue;
        }
        match found {
            '{' | '[' => {
                text.push(found);
                level += 1;
                if !matches!(bytes.peek(), Some('}' | ']')) {
                    break_line(&mut text, level);
                }
            }
            '}' | ']' => {
                level = level.saturating_sub(1);
                break_line(&mut text, level);
                text.push(found);
            }
            ',' => {
                text.push(found);
                bytes.next_if_eq(&' ');
                break_line(&mut text, level);
            }
            _ => {
                in_string = found == '"';
                text.push(found);
            }
        }
    }
    text
}

fn break_line(text: &mut String, level: usize) {
    text.push_str("\r\n");
    text.extend(std::iter::repeat_n("    ", level));
}

struct QemuFormatter;

impl Formatter for QemuFormatter {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        separate(out, first)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        separate(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(format_17g(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // Most fragments need no escapes.
        if fragment.bytes().all(|byte| byte < 0x7F) {
            return out.write_all(fragment.as_bytes());
        }
        while let Some(at) = rest.find(|found: char| !found.is_ascii() || found == '\x7F') {
            out.write_all(&rest.as_bytes()[..at])?;
            let Some(found) = rest[at..].chars().next() else { break };
            write_escape(out, found)?;
            rest = &rest[at + found.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => out.write_all(br#"\""#),
            CharEscape::ReverseSolidus => out.write_all(br"\\"),
            CharEscape::Solidus => out.write_all(b"/"),
            CharEscape::Backspace => out.write_all(br"\b"),
            CharEscape::FormFeed => out.write_all(br"\f"),
            CharEscape::LineFeed => out.write_all(br"\n"),
            CharEscape::CarriageReturn => out.write_all(br"\r"),
            CharEscape::Tab => out.write_all(br"\t"),
            CharEscape::AsciiControl(byte) => write_escape(out, char::from(byte)),
        }
    }
}

fn separate<W: ?Sized + Write>(out: &mut W, first: bool) -> io::Result<()> {
    if first { Ok(()) } else { out.write_all(b", ") }
}

fn write_escape<W: ?Sized + Write>(out: &mut W, found: char) -> io::Result<()> {
    let found = if is_character(found) { found } else { '\u{FFFD}' };
    let mut units = [0; 2];
    found.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04X}"))
}

/// Returns a number as C prints it with `%.17g`: with up to 17 significant digits, which identify
/// every `f64`.
fn format_17g(value: f64) -> String {
    let scientific = format!("{value:.16e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let trim = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    if !(-4..17).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(digits), exponent.abs());
    }
    let decimals = usize::try_from(16 - exponent).unwrap_or_default();
    trim(&format!("{value:.decimals$}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_formatted_as_in_c() {
        for (value, text) in [
            (0.1, "0.10000000000000001"),
            (-0.0, "-0"),
            (2.5, "2.5"),
            (1.0, "1"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1e300, "1.0000000000000001e+300"),
            (1e-5, "1.0000000000000001e-05"),
            (-9.223_372_036_854_776e18, "-9.2233720368547758e+18"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(format_17g(value), text);
        }
    }

    #[test]
    fn pretty_text_is_indented_as_by_qemu() {
        // Recorded from QEMU 11.1 with `-mon pretty=on`.
        let line = r#"{"return": {}, "id": [{}, [], "a, \"{", {"b": 1}]}"#;
        let expected = r#"{
    "return": {
    },
    "id": [
        {
        },
        [
        ],
        "a, \"{",
        {
            "b": 1
        }
    ]
}"#;
        assert_eq!(pretty(line), expected.replace('\n', "\r\n"));
    }

    #[test]
    fn output_is_ascii() {
        let value = json!({"a": ["\u{7F}\u{1}é😀\u{FFFE}/\"\\\n", null, {}, []], "b": 1});
        assert_eq!(
            to_json(&value).unwrap(),
            r#"{"a": ["\u007F\u0001\u00E9\uD83D\uDE00\uFFFD/\"\\\n", null, {}, []], "b": 1}"#
        );
    }
}
