//! Text from a peer, fit for a terminal or a log.

use std::error::Error;
use std::fmt::{self, Write};

/// The most bytes of a peer's text that are shown.
const LONGEST: usize = 900;

/// Displays text from a peer on one line: control characters, invisible characters and characters
/// that change the direction of text are escaped, and text beyond 900 bytes is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Excerpt(self.0, LONGEST).fmt(f)
    }
}

/// Displays a value like [`Printable`], and cuts it off after this many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'a, T: ?Sized>(pub &'a T, pub usize);

impl<T: fmt::Display + ?Sized> fmt::Display for Excerpt<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        excerpt(f, self.1, format_args!("{}", self.0))
    }
}

fn excerpt(f: &mut fmt::Formatter<'_>, longest: usize, of: fmt::Arguments<'_>) -> fmt::Result {
    limited(f, longest, |out| out.write_fmt(of))
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
        if self.is_full {
            return Err(fmt::Error);
        }
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

/// Shows an error for `Debug`: the name of its type, and in parentheses its `Display`, what else there
/// is to know, and the causes; on one line of at most 2 KiB, of which each has a share.
///
/// A program prints this if its `main` returns the error, or if it unwraps it. Derived `Debug` would be
/// harder to read, and far more code, for all errors that may be the cause of another.
#[doc(hidden)]
#[inline]
pub fn debug_error<E: Error>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    error: &E,
    details: fmt::Arguments<'_>,
) -> fmt::Result {
    // Not as `dyn Error`: each crate that makes one of an error has a table of its methods.
    debug_parts(f, name, format_args!("{}", *error), error.source(), details)
}

fn debug_parts(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    error: fmt::Arguments<'_>,
    source: Option<&(dyn Error + 'static)>,
    details: fmt::Arguments<'_>,
) -> fmt::Result {
    const LONGEST: usize = 2048;
    /// The name, the parentheses, and the details.
    const AROUND: usize = 160;
    // There may be a cycle.
    const MOST: usize = 16;
    let causes = || std::iter::successors(source, |&error| error.source()).take(MOST);
    let share = (LONGEST - AROUND) / (1 + causes().count()) - ": …".len();
    write!(f, "{name}({}{}", Excerpt(&error, share), Excerpt(&details, AROUND / 2))?;
    for cause in causes() {
        write!(f, ": {}", Excerpt(cause, share))?;
    }
    f.write_str(")")
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

    #[test]
    fn an_excerpt_is_escaped_and_short() {
        assert_eq!(Excerpt("a\u{1b}é", 8).to_string(), "a\\u{1b}…");
        assert_eq!(Excerpt("abc", 3).to_string(), "abc");
        assert_eq!(Excerpt("abcd", 3).to_string(), "abc…");
        assert_eq!(Excerpt(&format_args!("{}\n", 7), 10).to_string(), "7\\n");
        let long = "x\u{9b}".repeat(1000);
        let whole = Excerpt(&long, usize::MAX).to_string();
        assert_eq!(whole, "x\\u{9b}".repeat(1000));
    }
}
