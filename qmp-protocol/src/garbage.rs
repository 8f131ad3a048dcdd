//! Bytes that are not a message.

use std::fmt;

use crate::printable::{Excerpt, Printable};

/// How many bytes of what a peer sent an error shows.
pub(crate) const SNIPPET: usize = 120;

/// Bytes from the peer that are not a message.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Garbage {
    /// Why they are not a message.
    pub reason: Box<str>,
    /// The first 120 bytes, with control characters escaped.
    pub snippet: Box<str>,
    /// The number of bytes.
    pub length: usize,
}

impl Garbage {
    pub(crate) fn new(reason: impl Into<Box<str>>, bytes: &[u8]) -> Self {
        Self { reason: reason.into(), snippet: snippet(bytes), length: bytes.len() }
    }

    /// Returns whether the bytes begin as an object does, so that they may have been a message.
    pub(crate) fn is_part_of_object(&self) -> bool {
        self.snippet.starts_with('{')
    }
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { snippet, length, reason } = self;
        write!(
            f,
            "the peer sent `{}` ({length} bytes): {}",
            Excerpt(snippet, 600),
            Excerpt(reason, 300)
        )
    }
}

impl std::error::Error for Garbage {}

/// Returns bytes that are not UTF-8 as text of the same length, with a question mark in the place of
/// each byte that is not ASCII.
pub(crate) fn to_ascii(bytes: &[u8]) -> String {
    let mut ascii = bytes.to_vec();
    for byte in &mut ascii {
        if !byte.is_ascii() {
            *byte = b'?';
        }
    }
    String::from_utf8(ascii).unwrap_or_default()
}

fn snippet(bytes: &[u8]) -> Box<str> {
    let shown = &bytes[..bytes.len().min(SNIPPET)];
    let mut text = Printable(&String::from_utf8_lossy(shown.trim_ascii_end())).to_string();
    if shown.len() < bytes.len() {
        text.push('…');
    }
    text.into()
}
