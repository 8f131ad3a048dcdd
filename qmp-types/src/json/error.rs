//! The errors of the reader.

use std::fmt::{self, Write};

/// The reason of an error, and the offset in bytes of the end of the value that it concerns.
///
/// Boxed, since every result reserves space for it.
#[derive(Debug)]
pub(crate) struct JsonError(Box<Details>);

#[derive(Debug)]
struct Details {
    reason: String,
    offset: Option<usize>,
}

impl JsonError {
    /// Returns the error with an offset, unless it has one already.
    #[cold]
    pub(super) fn at(mut self, offset: usize) -> Self {
        self.locate(offset);
        self
    }

    /// Sets the offset, unless the error has one already.
    #[cold]
    pub(super) fn locate(&mut self, offset: usize) {
        self.0.offset.get_or_insert(offset);
    }

    /// Returns the reason and the offset.
    pub(crate) fn into_parts(self) -> (String, Option<usize>) {
        (self.0.reason, self.0.offset)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl std::error::Error for JsonError {}

impl serde::de::Error for JsonError {
    #[cold]
    fn custom<T: fmt::Display>(reason: T) -> Self {
        let mut text = Short(String::new());
        // It fails when the rest does not fit.
        let _ = write!(text, "{reason}");
        Self(Box::new(Details { reason: text.0, offset: None }))
    }
}

/// The longest reason, in bytes. Reasons show values, which may be as long as a message.
const LONGEST: usize = 2048;

struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

pub(super) type Result<T> = std::result::Result<T, JsonError>;
