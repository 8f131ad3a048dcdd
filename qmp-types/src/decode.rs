//! Decodes JSON text into a type, with an error that names the member that failed.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{self, JsonError};
use crate::printable::Excerpt;

/// How many bytes of each part `Display` shows: together less than 1 KiB.
const MAX_REASON: usize = 400;
const MAX_PATH: usize = 300;
const MAX_SNIPPET: usize = 250;

/// The error for text that does not decode: the value that failed, why it failed, and the text there.
///
/// `Display` is fit for a terminal: control characters and invisible ones are escaped, and long parts
/// are cut off.
#[derive(Clone, Eq, PartialEq)]
pub struct DecodeError {
    path: String,
    reason: String,
    snippet: String,
}

impl DecodeError {
    /// Returns the path of the value: `$` is the whole, `$.inserted.image.format` a member, and
    /// `$[3]` an element.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong with the value at [`path`](Self::path).
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the text around the error, about a hundred bytes at most.
    #[must_use]
    pub fn snippet(&self) -> &str {
        &self.snippet
    }

    fn new(text: &str, error: JsonError) -> Self {
        let (reason, offset) = error.into_parts();
        let offset = offset.unwrap_or_default().min(text.len());
        Self { path: path_at(text.as_bytes(), offset), reason, snippet: snippet_at(text, offset) }
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::printable::debug_error(f, "DecodeError", self, format_args!(""))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = Excerpt(&*self.reason, MAX_REASON);
        let path = Excerpt(&*self.path, MAX_PATH);
        write!(f, "{reason} at {path}, near `{}`", Excerpt(&*self.snippet, MAX_SNIPPET))
    }
}

impl std::error::Error for DecodeError {}

/// Decodes JSON text.
///
/// The value may take 1 MiB more memory than the text, or 32 MiB if that is more: a peer must not decide
/// how much memory its messages take, and an empty object of three bytes may become hundreds.
///
/// A fraction is an error for a type that asks for an integer, by `deserialize_u64` for example, while
/// serde_json passes it to the visitor (`visit_f64`): a program that reads no fractions does not contain
/// their conversion. A type that takes both asks for `f64`, or for any type.
///
/// # Errors
/// Fails if the text is not JSON, not what `T` expects, or takes more memory.
pub fn decode<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, DecodeError> {
    json::from_str(text).map_err(|error| DecodeError::new(text, error))
}

/// Decodes JSON text that has been checked, as [`decode`] does: what `T` does not look into is not checked
/// again.
///
/// # Errors
/// Those of [`decode`].
#[doc(hidden)]
pub fn decode_checked<'de, T: Deserialize<'de>>(text: &'de RawValue) -> Result<T, DecodeError> {
    json::from_checked(text).map_err(|error| DecodeError::new(text.get(), error))
}

/// Decodes the value that a text begins with, and returns it with its length in the text. `None` means
/// that [`decode`] of the value alone must decide: mostly, it fails.
#[doc(hidden)]
#[must_use]
pub fn decode_beginning<'de, T: Deserialize<'de>>(text: &'de str) -> Option<(T, usize)> {
    json::beginning_of(text)
}

enum Level<'t> {
    Object { member: Option<&'t [u8]> },
    Array { index: usize },
}

/// Returns the path of the value that ends at `offset`, or that contains it.
fn path_at(text: &[u8], offset: usize) -> String {
    // A text may consist of brackets: what lies deeper than this is left out.
    const DEEPEST: usize = 128;
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut deeper = 0_usize;
    let mut at = 0;
    let mut expects_name = false;
    let mut ended = false;
    while at < offset {
        ended = false;
        match text[at] {
            b'{' | b'[' if levels.len() == DEEPEST => deeper += 1,
            b'}' | b']' if deeper > 0 => deeper -= 1,
            b'"' if deeper > 0 => {
                at = json::string_end(text, at).unwrap_or(text.len());
                continue;
            }
            _ if deeper > 0 => {}
            b'{' => {
                levels.push(Level::Object { member: None });
                expects_name = true;
            }
            b'[' => levels.push(Level::Array { index: 0 }),
            // A closing bracket right before the error is that of the value that failed, which
            // stays on the stack.
            b'}' | b']' if at + 1 == offset => ended = true,
            b'}' | b']' => {
                levels.pop();
            }
            b',' => match levels.last_mut() {
                Some(Level::Array { index }) => *index += 1,
                Some(Level::Object { .. }) => expects_name = true,
                None => {}
            },
            b':' => expects_name = false,
            b'"' => {
                let end = json::string_end(text, at).unwrap_or(text.len());
                if let (true, Some(Level::Object { member })) = (expects_name, levels.last_mut()) {
                    *member = Some(&text[at + 1..end.saturating_sub(1).max(at + 1)]);
                    expects_name = false;
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    let whole = if ended { levels.len().saturating_sub(1) } else { levels.len() };
    let mut path = String::from("$");
    for level in levels.iter().take(whole) {
        match level {
            Level::Object { member: Some(name) } => {
                path.push('.');
                let shown = &name[..name.len().min(MAX_PATH)];
                path.push_str(&String::from_utf8_lossy(shown));
                if shown.len() < name.len() {
                    path.push('…');
                }
            }
            Level::Object { member: None } => {}
            Level::Array { index } => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

fn snippet_at(text: &str, offset: usize) -> String {
    const AROUND: usize = 48;
    let mut start = offset.saturating_sub(AROUND);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (offset + AROUND).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let before = if start > 0 { "…" } else { "" };
    let after = if end < text.len() { "…" } else { "" };
    let mut snippet = String::from(before);
    // Character by character, with code that every program contains anyway.
    text[start..end].chars().for_each(|character| snippet.extend(character.escape_debug()));
    snippet + after
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path_of(text: &str, needle: &str) -> String {
        path_at(text.as_bytes(), text.find(needle).unwrap() + needle.len())
    }

    #[test]
    fn paths_lead_to_the_value_that_failed() {
        let text = r#"{"a": [1, {"b\"": {"c": true}}], "d": {"e": null}}"#;
        assert_eq!(path_of(text, "1"), "$.a[0]");
        assert_eq!(path_of(text, "true"), "$.a[1].b\\\".c");
        assert_eq!(path_of(text, "true}"), "$.a[1].b\\\"");
        assert_eq!(path_of(text, "null"), "$.d.e");
        assert_eq!(path_of(text, "null}"), "$.d");
        assert_eq!(path_of(text, "null}}"), "$");
    }

    #[test]
    fn errors_name_the_member() {
        let error = decode::<std::collections::BTreeMap<String, Vec<u8>>>("{\n\"x\": [1, 300]}")
            .unwrap_err();
        assert_eq!(error.path(), "$.x[1]");
        assert!(error.reason().contains("300"), "{error}");
        assert!(!error.to_string().contains("line"), "{error}");
    }

    /// The reason showed the whole value, and the path the whole name.
    #[test]
    fn an_error_is_short_however_long_the_value_is() {
        let long = format!("\"{}\"", "\u{9b}".repeat(1 << 20));
        for text in [long.clone(), format!("{{{long}: {long}}}")] {
            let error = decode::<std::collections::BTreeMap<String, u8>>(&text).unwrap_err();
            assert!(error.reason().len() < 4096 && error.path().len() < 8192, "{error}");
        }
    }

    #[test]
    fn any_offset_of_any_text_gives_a_path_and_a_snippet() {
        for text in ["", "{", "\"", "{\"ä\\", "[[[]]]}}}", "{\"ö\":\"\\\"}"] {
            for offset in 0..=text.len() {
                let _ = path_at(text.as_bytes(), offset);
                let _ = snippet_at(text, offset);
            }
        }
    }

    /// Three bytes of text became a hundred bytes of memory, and so did a megabyte of escapes.
    #[test]
    fn the_memory_of_a_value_is_limited() {
        use serde_json::Value;

        let text = |element: &str| format!("[{element}{}]", format!(",{element}").repeat(500_000));
        for element in ["{}", "[]", "0", "\"\"", "{\"\":{}}"] {
            let error = decode::<Value>(&text(element)).unwrap_err();
            assert!(error.reason().contains("33554432 bytes of memory"), "{element}: {error}");
        }
        let numbers: Vec<u8> = decode(&text("7")).unwrap();
        assert_eq!(numbers.len(), 500_001);
        // A text is no larger than its JSON.
        let large = format!("\"{}\"", "x".repeat(40 << 20));
        assert_eq!(decode::<String>(&large).unwrap().len(), 40 << 20);
    }

    /// An error had an entry for each of a million brackets, and quoted a value of a megabyte.
    #[test]
    fn an_error_is_small_whatever_the_text() {
        type Numbers = std::collections::BTreeMap<String, u8>;
        let (open, close) = ("[".repeat(1 << 20), "]".repeat(1 << 20));
        let text = format!("{{\"x\": {open}{close}, \"event\": 7}}");
        let error = decode::<crate::ServerMessage<'_>>(&text);
        assert_eq!(error.unwrap_err().path(), "$.event");
        let long = "\u{7f}".repeat(1 << 20);
        let error = decode::<Numbers>(&format!("{{\"{long}\": \"{long}\"}}")).unwrap_err();
        assert!(error.reason().len() < 1100, "{}", error.reason().len());
        assert!(error.path().len() < 400, "{}", error.path().len());
    }

    #[test]
    fn nothing_reaches_a_terminal_unescaped() {
        use crate::{ErrorClass, QmpError};

        let hostile = "\u{1b}]0;x\u{7}\u{202e}\u{200b}\u{9b}\n".repeat(1000);
        let text = serde_json::to_string(&hostile).unwrap();
        let mut error = QmpError::new(hostile.parse().unwrap(), &*hostile);
        let shown = [
            decode::<u8>(&text).unwrap_err().to_string(),
            decode::<u8>(&hostile).unwrap_err().to_string(),
            decode::<std::collections::BTreeMap<String, u8>>(&format!("{{{text}: {text}}}"))
                .unwrap_err()
                .to_string(),
            decode::<crate::ServerMessage<'_>>(&format!("{{\"event\": {{{text}: {text}}}}}"))
                .unwrap_err()
                .to_string(),
            ErrorClass::from_known(&hostile).unwrap_err().to_string(),
            error.to_string(),
            {
                error.class = ErrorClass::GenericError;
                error.to_string()
            },
        ];
        for shown in shown {
            assert!(shown.len() <= 1024, "{} bytes: {shown}", shown.len());
            let escapes = |c: char| c.is_control() || "\u{202e}\u{200b}".contains(c);
            assert!(!shown.contains(escapes), "{shown:?}");
        }
    }
}
