//! Splits text into words.

use std::ops::Range;

/// A word as it is written, with its place in the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Word<'t> {
    pub(crate) text: &'t str,
    pub(crate) start: usize,
}

/// A quote or bracket that is not closed at the end of the text, and where it begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Open {
    /// A quote, which must be closed on the same line.
    Quote(usize),
    /// A bracket, which may be closed on another line.
    Bracket(usize),
}

/// The words of one line. A line extends over several where brackets are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line<'t> {
    pub(crate) words: Vec<Word<'t>>,
    pub(crate) open: Option<Open>,
    /// The index after the line, and after its line feed.
    pub(crate) end: usize,
    /// Where the comment begins, if there is one.
    pub(crate) comment: Option<usize>,
}

impl<'t> Word<'t> {
    pub(crate) fn end(self) -> usize {
        self.start + self.text.len()
    }

    pub(crate) fn span(self) -> Range<usize> {
        self.start..self.end()
    }

    /// Splits an argument into its key, whether its value is JSON (`:=`), and its value.
    pub(crate) fn argument(self) -> Option<(Word<'t>, bool, Word<'t>)> {
        let (key, value) = self.text.split_once('=')?;
        let value = Word { text: value, start: self.start + key.len() + 1 };
        let (key, is_json) = match key.strip_suffix(':') {
            Some(key) => (key, true),
            None => (key, false),
        };
        Some((Word { text: key, start: self.start }, is_json, value))
    }
}

/// Splits the line that begins at an index.
pub(crate) fn line(text: &str, start: usize) -> Line<'_> {
    let bytes = text.as_bytes();
    let mut line = Line { end: text.len(), ..Line::default() };
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\n' => {
                line.end = at + 1;
                break;
            }
            b'#' => {
                line.comment = Some(at);
                let end = text.get(at..).and_then(|rest| rest.find('\n'));
                line.end = end.map_or(text.len(), |end| at + end + 1);
                break;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let end = word(text, at, &mut line.open);
                line.words.push(Word { text: text.get(at..end).unwrap_or_default(), start: at });
                at = end;
            }
        }
    }
    line
}

/// Returns the index after the word that begins at `start`.
fn word(text: &str, start: usize, open: &mut Option<Open>) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    // Where a bracket begins a value that may contain spaces.
    let mut value = Some(start);
    while let Some(byte) = bytes.get(at) {
        match byte {
            byte if byte.is_ascii_whitespace() => break,
            b'"' | b'\'' => match string_end(bytes, at) {
                Some(end) => at = end,
                None => {
                    *open = open.or(Some(Open::Quote(at)));
                    return line_end(bytes, at);
                }
            },
            b'{' | b'[' if value == Some(at) => match brackets_end(bytes, at) {
                Ok(end) => at = end,
                Err(unclosed) => {
                    *open = open.or(Some(unclosed));
                    return bytes.len();
                }
            },
            b'=' => {
                at += 1;
                value = Some(at);
                // The pseudo-protocol that has an object as its text.
                if bytes.get(at..).is_some_and(|rest| rest.starts_with(b"json:{")) {
                    at += b"json:".len();
                    value = Some(at);
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// Returns the index after a string in quotes, or `None` if its line does not close it.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = bytes.get(start)?;
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'\n' => return None,
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| start + end)
}

/// Returns the index after the bracket that closes the one at `start`.
fn brackets_end(bytes: &[u8], start: usize) -> Result<usize, Open> {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at);
                }
            }
            b'"' | b'\'' => at = string_end(bytes, at - 1).ok_or(Open::Quote(at - 1))?,
            b'#' => at = line_end(bytes, at),
            _ => {}
        }
    }
    Err(Open::Bracket(start))
}
