//! Escapes the output of the programs, so that it is fit for a terminal.
//!
//! A server, a guest, a disk image, a schema or a script may contain characters that control a
//! terminal: that clear the screen, set the window's title, or show text in another order. All output
//! of the programs passes through one of these functions, also when it goes to a file: a file is
//! often shown later.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use qmp_client::protocol::Printable;

/// Escapes a text that is printed within a line, such as a name: `\u{1b}`, `\n`.
#[must_use]
pub fn inline(text: &str) -> Cow<'_, str> {
    escape(text, Printable::escapes, |out, character| out.extend(character.escape_default()))
}

/// Escapes a text of several lines, such as a diagnostic that quotes a file. Line feeds are kept, and
/// tabs, which do no more than move the cursor.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    let escapes = |character| !matches!(character, '\n' | '\t') && Printable::escapes(character);
    escape(text, escapes, |out, character| out.extend(character.escape_default()))
}

/// Escapes JSON text by JSON's own means, `\u001b`, so that it has the same value. Whitespace between
/// tokens has no escaped form: line feeds and tabs are kept, and a carriage return becomes a space.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    let escapes = |character| character != '\n' && Printable::escapes(character);
    if !text.contains(escapes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let (mut in_string, mut after_backslash) = (false, false);
    for character in text.chars() {
        match character {
            '\t' if !in_string => out.push('\t'),
            '\r' if !in_string => out.push(' '),
            _ if escapes(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(character),
        }
        in_string ^= character == '"' && !after_backslash;
        after_backslash = in_string && character == '\\' && !after_backslash;
    }
    Cow::Owned(out)
}

fn escape(
    text: &str,
    escapes: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let Some(first) = text.find(&escapes) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    let (clean, rest) = text.split_at(first);
    out.push_str(clean);
    for character in rest.chars() {
        if escapes(character) { write(&mut out, character) } else { out.push(character) }
    }
    Cow::Owned(out)
}

/// Returns whether standard input and output are a terminal that can move its cursor.
#[must_use]
pub fn can_move_cursor() -> bool {
    // Other systems do not have the variable.
    let moves =
        !cfg!(unix) || std::env::var("TERM").is_ok_and(|term| !matches!(&*term, "" | "dumb"));
    moves && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Returns the number of columns of the terminal that standard output is, if it is one.
#[must_use]
pub fn columns() -> Option<usize> {
    #[cfg(unix)]
    return rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0);
    #[cfg(not(unix))]
    None
}

/// Prints a message to standard error, on a line of its own, or above the line that is being edited.
/// A standard error that is closed is ignored.
pub fn notice(message: &str) {
    let message = format!("{}\n", lines(message));
    let mut notices = NOTICES.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = match &mut *notices {
        Some(above) => above.write_all(message.as_bytes()),
        None => io::stderr().write_all(message.as_bytes()),
    };
}

/// Where notices go while a line is being edited.
static NOTICES: Mutex<Option<Box<dyn Write + Send>>> = Mutex::new(None);

/// Sends all notices to a writer, such as one that prints above the line being edited, until the returned
/// value is dropped. A standard error that is not the terminal keeps them.
#[must_use = "dropping it sends notices to standard error again"]
pub fn divert_notices(writer: impl Write + Send + 'static) -> DivertedNotices {
    if io::stderr().is_terminal() {
        *NOTICES.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(writer));
    }
    DivertedNotices(())
}

/// Notices go elsewhere while this exists.
#[derive(Debug)]
pub struct DivertedNotices(());

impl Drop for DivertedNotices {
    fn drop(&mut self) {
        *NOTICES.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Prints rendered diagnostics, which end with a line feed, to standard error.
pub fn print_diagnostics(rendered: &str) {
    let _ = write!(io::stderr(), "{}", lines(rendered));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_where_it_controls_a_terminal() {
        assert_eq!(inline("disk0 é 漢"), "disk0 é 漢");
        assert_eq!(inline("a\u{1b}]0;x\u{7}\n\u{9b}\u{7f}"), "a\\u{1b}]0;x\\u{7}\\n\\u{9b}\\u{7f}");
        assert_eq!(lines("a\n\tb\r\u{202e}"), "a\n\tb\\r\\u{202e}");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let text = "{\n  \"a\u{9b}\u{7f}\": \"\u{202e}é\u{e0041}\"\n}";
        let escaped = json(text);
        assert_eq!(escaped, "{\n  \"a\\u009b\\u007f\": \"\\u202eé\\udb40\\udc41\"\n}");
        let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
        assert!(value(text).is_some());
        assert_eq!(value(text), value(&escaped));
    }

    /// `\u0009` between tokens is not JSON: a reply that a server indents with tabs became invalid.
    #[test]
    fn whitespace_between_tokens_stays_whitespace() {
        let text = "{\t\"a\\\"\\\\\":\r\n\t[\"\u{7f}\"]\r}";
        let escaped = json(text);
        assert_eq!(escaped, "{\t\"a\\\"\\\\\": \n\t[\"\\u007f\"] }");
        let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
        assert!(value(text).is_some());
        assert_eq!(value(text), value(&escaped));
        // A tab in a string is invalid as it is, and valid when it is escaped.
        assert_eq!(json("[\"\t\"]"), "[\"\\u0009\"]");
    }
}
