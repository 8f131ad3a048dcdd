//! Text from a peer, fit for a terminal or a log.

use std::fmt::{self, Write};
use std::time::Duration;

/// The most bytes of a peer's text that are shown.
const LONGEST: usize = 900;

/// Displays text from a peer on one line: control characters and characters that change the
/// direction of text are escaped, and text beyond 900 bytes is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = 0;
        for character in self.0.chars() {
            let escaped = must_escape(character).then(|| character.escape_default());
            written += escaped.as_ref().map_or(character.len_utf8(), ExactSizeIterator::len);
            if written > LONGEST {
                return f.write_char('…');
            }
            match escaped {
                Some(escaped) => escaped.fmt(f)?,
                None => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

fn must_escape(character: char) -> bool {
    // Bidirectional controls, zero-width characters, line and paragraph separators, tags.
    const INVISIBLE: [std::ops::RangeInclusive<char>; 6] = [
        '\u{61c}'..='\u{61c}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
        '\u{e0000}'..='\u{e007f}',
    ];
    character.is_control() || INVISIBLE.iter().any(|range| range.contains(&character))
}

/// Displays a duration with its unit: `60 ms`, `1.5 s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within(pub(crate) Duration);

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        match milliseconds {
            0..1000 => write!(f, "{milliseconds} ms"),
            _ => write!(f, "{} s", (self.0.as_secs_f64() * 10.0).round() / 10.0),
        }
    }
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
    fn durations_have_units() {
        assert_eq!(Within(Duration::from_millis(60)).to_string(), "60 ms");
        assert_eq!(Within(Duration::from_secs(2)).to_string(), "2 s");
        assert_eq!(Within(Duration::from_millis(1500)).to_string(), "1.5 s");
        assert_eq!(Within(Duration::ZERO).to_string(), "0 ms");
    }
}
