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

/// Writes at most `longest` bytes of a text, escaped as [`Printable`] does, and `…` if there is more.
pub(crate) fn write(out: &mut impl Write, text: &str, longest: usize) -> fmt::Result {
    let mut written = 0;
    for character in text.chars() {
        let escaped = must_escape(character).then(|| character.escape_default());
        written += escaped.as_ref().map_or(character.len_utf8(), ExactSizeIterator::len);
        if written > longest {
            return out.write_char('…');
        }
        match escaped {
            Some(escaped) => write!(out, "{escaped}")?,
            None => out.write_char(character)?,
        }
    }
    Ok(())
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
