//! Durations in messages, and text from a peer, fit for a terminal or a log.

use std::fmt;
use std::time::Duration;

pub use qmp_types::{Excerpt, Printable};

/// How many bytes of the name of a command an error shows; QEMU's take up to 40.
pub(crate) const NAME: usize = 100;

/// Displays a duration with its unit: `60 ms`, `1.5 s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within(pub(crate) Duration);

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.0.as_secs(), self.0.subsec_millis());
        if seconds == 0 {
            return write!(f, "{milliseconds} ms");
        }
        // Numbers with a fraction would bring their formatting into every program.
        match (milliseconds + 50) / 100 {
            0 => write!(f, "{seconds} s"),
            10 => write!(f, "{} s", seconds.saturating_add(1)),
            tenths => write!(f, "{seconds}.{tenths} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(Within(Duration::from_millis(60)).to_string(), "60 ms");
        assert_eq!(Within(Duration::from_secs(2)).to_string(), "2 s");
        assert_eq!(Within(Duration::from_millis(1500)).to_string(), "1.5 s");
        assert_eq!(Within(Duration::from_millis(1049)).to_string(), "1 s");
        assert_eq!(Within(Duration::from_millis(1950)).to_string(), "2 s");
        assert_eq!(Within(Duration::MAX).to_string(), "18446744073709551615 s");
        assert_eq!(Within(Duration::ZERO).to_string(), "0 ms");
    }
}
