//! The errors of the reader.

use std::fmt;

use serde::de::{Expected, Unexpected};

use crate::printable::Excerpt;

/// How many bytes of a reason are kept. It may quote a value, which may be a whole message, and
/// grows when it is escaped.
const LONGEST: usize = 1024;

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
        let reason = Excerpt(&reason, LONGEST).to_string();
        Self(Box::new(Details { reason, offset: None }))
    }

    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            // serde's word is "unit value".
            Unexpected::Unit => {
                Self::custom(format_args!("invalid type: null, expected {expected}"))
            }
            found => Self::custom(format_args!("invalid type: {found}, expected {expected}")),
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, JsonError>;
