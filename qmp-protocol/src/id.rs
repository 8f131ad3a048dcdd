//! The ids of calls.

use std::fmt;

use serde_json::value::RawValue;

/// A call, identified by the `id` that its command has on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(u64);

impl CallId {
    /// Returns the number on the wire.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Parses the id of a reply: the number, or the number as a string, as some servers return it.
    pub(crate) fn parse(id: &RawValue) -> Option<Self> {
        let text = id.get();
        let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        Self::from_digits(quoted.unwrap_or(text))
    }

    pub(crate) fn from_digits(digits: &str) -> Option<Self> {
        digits.parse().ok().map(Self)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
