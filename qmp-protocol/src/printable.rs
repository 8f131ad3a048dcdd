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
    fn durations_have_units() {
        assert_eq!(Within(Duration::from_millis(60)).to_string(), "60 ms");
        assert_eq!(Within(Duration::from_secs(2)).to_string(), "2 s");
        assert_eq!(Within(Duration::from_millis(1500)).to_string(), "1.5 s");
        assert_eq!(Within(Duration::ZERO).to_string(), "0 ms");
    }
}
