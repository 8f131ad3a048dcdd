//! Text from a peer, fit for a terminal or a log.

use std::fmt::{self, Write};

/// The most bytes of a peer's text that are shown.
const LONGEST: usize = 900;

/// Displays text from a peer on one line: control characters, invisible characters and characters
/// that change the direction of text are escaped, and text beyond 900 bytes is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, LONGEST)
    }
}

impl Printable<'_> {
    /// Writes what a function writes, as [`Printable`] does: for `Display` of errors that quote a
    /// peer. Nothing is escaped twice, and the function is stopped when 900 bytes are written.
    ///
    /// ```
    /// # use std::fmt;
    /// # use qmp_types::Printable;
    /// struct Refused(String);
    ///
    /// impl fmt::Display for Refused {
    ///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    ///         Printable::write(f, |f| write!(f, "the server refused: {}", self.0))
    ///     }
    /// }
    ///
    /// assert_eq!(Refused("\x1b[2J".to_owned()).to_string(), "the server refused: \\u{1b}[2J");
    /// ```
    ///
    /// # Errors
    /// Those of the formatter, and of the function.
    pub fn write(
        f: &mut fmt::Formatter<'_>,
        write: impl FnOnce(&mut PrintableWriter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        limited(f, LONGEST, write)
    }

    /// Returns whether a character is escaped: a control character, an invisible character, or one
    /// that changes the direction of text.
    #[must_use]
    pub fn escapes(character: char) -> bool {
        must_escape(character)
    }
}

/// Escapes what is written to it, and cuts it off; see [`Printable::write`].
pub struct PrintableWriter<'a> {
    out: &'a mut dyn Write,
    /// The number of bytes that may still be written.
    left: usize,
    is_full: bool,
}

impl fmt::Debug for PrintableWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrintableWriter").field("left", &self.left).finish_non_exhaustive()
    }
}

impl PrintableWriter<'_> {
    /// Writes a text.
    ///
    /// # Errors
    /// The limit is reached, or the formatter has failed.
    pub fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let escaped = must_escape(character).then(|| character.escape_default());
            let length = escaped.as_ref().map_or(character.len_utf8(), ExactSizeIterator::len);
            if length > self.left {
                self.is_full = true;
                self.out.write_char('…')?;
                // Whatever would follow is not formatted either.
                return Err(fmt::Error);
            }
            self.left -= length;
            match escaped {
                Some(escaped) => write!(self.out, "{escaped}")?,
                None => self.out.write_char(character)?,
            }
        }
        Ok(())
    }

    /// Writes what [`write!`] is given.
    ///
    /// # Errors
    /// Those of [`write_str`](Self::write_str).
    pub fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> fmt::Result {
        Write::write_fmt(self, arguments)
    }
}

impl Write for PrintableWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Self::write_str(self, text)
    }
}

/// Writes at most `longest` bytes of what a function writes.
pub(crate) fn limited(
    out: &mut dyn Write,
    longest: usize,
    write: impl FnOnce(&mut PrintableWriter<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut limited = PrintableWriter { out, left: longest, is_full: false };
    match write(&mut limited) {
        Err(_) if limited.is_full => Ok(()),
        written => written,
    }
}

/// Writes at most `longest` bytes of a text, escaped as [`Printable`] does, and `…` if there is more.
pub(crate) fn write(out: &mut impl Write, text: &str, longest: usize) -> fmt::Result {
    limited(out, longest, |out| out.write_str(text))
}

fn must_escape(character: char) -> bool {
    // Bidirectional controls, zero-width and other invisible characters, line and paragraph
    // separators, variation selectors, tags.
    const INVISIBLE: [std::ops::RangeInclusive<char>; 13] = [
        '\u{ad}'..='\u{ad}',
        '\u{34f}'..='\u{34f}',
        '\u{61c}'..='\u{61c}',
        '\u{115f}'..='\u{1160}',
        '\u{17b4}'..='\u{17b5}',
        '\u{180b}'..='\u{180f}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{fe00}'..='\u{fe0f}',
        '\u{feff}'..='\u{feff}',
        '\u{fff9}'..='\u{fffb}',
        '\u{e0000}'..='\u{e0fff}',
    ];
    character.is_control() || INVISIBLE.iter().any(|range| range.contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_unescaped() {
        assert_eq!(Printable("Bus 'pcie.0'é").to_string(), "Bus 'pcie.0'é");
        assert_eq!(Printable("a\u{1b}[2J\r\n\u{9b}").to_string(), "a\\u{1b}[2J\\r\\n\\u{9b}");
        assert_eq!(Printable("\u{202e}x").to_string(), "\\u{202e}x");
        let long = Printable(&"\u{1b}".repeat(100_000)).to_string();
        assert!(long.len() < 1000 && long.ends_with('…'), "{}", long.len());
        assert!(Printable(&"ä".repeat(1000)).to_string().len() < 1000);
    }
}
