//! Durations in messages, and text from a peer, fit for a terminal or a log.

use std::fmt::{self, Write};
use std::time::Duration;

pub use qmp_types::Printable;

/// How many bytes of the name of a command an error shows; QEMU's take up to 40.
pub(crate) const NAME: usize = 100;

/// Displays a value on one line, with the characters escaped that [`Printable`] escapes, and cut off
/// after this many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'a, T: ?Sized>(pub &'a T, pub usize);

impl<T: fmt::Display + ?Sized> fmt::Display for Excerpt<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cut = Cut { out: f, left: Some(self.1), character: String::new() };
        write!(cut, "{}", self.0)
    }
}

/// Passes escaped text on, until the room is used up.
struct Cut<'f, 'b> {
    out: &'f mut fmt::Formatter<'b>,
    /// `None` once something has been cut off.
    left: Option<usize>,
    character: String,
}

impl Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let Some(left) = self.left else { break };
            self.character.clear();
            if matches!(character, ' '..='~') {
                self.character.push(character);
            } else {
                write!(self.character, "{}", Printable(character.encode_utf8(&mut [0; 4])))?;
            }
            self.left = left.checked_sub(self.character.len());
            match self.left {
                Some(_) => self.out.write_str(&self.character)?,
                None => self.out.write_char('…')?,
            }
        }
        Ok(())
    }
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
    fn an_excerpt_is_escaped_and_short() {
        assert_eq!(Excerpt("a\u{1b}é", 8).to_string(), "a\\u{1b}…");
        assert_eq!(Excerpt("abc", 3).to_string(), "abc");
        assert_eq!(Excerpt("abcd", 3).to_string(), "abc…");
        assert_eq!(Excerpt(&format_args!("{}\n", 7), 10).to_string(), "7\\n");
        let long = "x\u{9b}".repeat(1000);
        let whole = Excerpt(&long, usize::MAX).to_string();
        assert_eq!(whole, "x\\u{9b}".repeat(1000));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(Within(Duration::from_millis(60)).to_string(), "60 ms");
        assert_eq!(Within(Duration::from_secs(2)).to_string(), "2 s");
        assert_eq!(Within(Duration::from_millis(1500)).to_string(), "1.5 s");
        assert_eq!(Within(Duration::ZERO).to_string(), "0 ms");
    }
}
