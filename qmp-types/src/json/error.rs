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
pub(crate) struct JsonError(Box<Details>);

struct Details {
    reason: String,
    offset: Option<usize>,
}

impl JsonError {
    #[cold]
    fn new(reason: fmt::Arguments<'_>) -> Self {
        let reason = Excerpt(&reason, LONGEST).to_string();
        Self(Box::new(Details { reason, offset: None }))
    }

    /// Returns the error with an offset, unless it has one already.
    #[cold]
    pub(super) fn at(mut self, offset: usize) -> Self {
        self.locate(offset);
        self
    }

    /// Sets the offset, unless the error has one already.
    #[cold]
    #[inline(never)]
    pub(super) fn locate(&mut self, offset: usize) {
        self.0.offset.get_or_insert(offset);
    }

    /// Returns the reason and the offset.
    pub(crate) fn into_parts(self) -> (String, Option<usize>) {
        (self.0.reason, self.0.offset)
    }
}

impl fmt::Debug for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::printable::debug_error(f, "JsonError", self, format_args!(""))
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
        Self::new(format_args!("{reason}"))
    }

    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("invalid type: {}, expected {expected}", Found(found)))
    }

    #[cold]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("invalid value: {}, expected {expected}", Found(found)))
    }
}

/// Shows a value as serde does, with the words of JSON.
///
/// serde's own `Display` brings the formatting of numbers with a fraction into every program.
struct Found<'a>(Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Bool(value) => write!(f, "boolean `{value}`"),
            Unexpected::Unsigned(number) => write!(f, "integer `{number}`"),
            Unexpected::Signed(number) => write!(f, "integer `{number}`"),
            // The error quotes the text.
            Unexpected::Float(_) => f.write_str("floating point number"),
            Unexpected::Char(character) => write!(f, "character `{character}`"),
            Unexpected::Str(text) => write!(f, "string {text:?}"),
            Unexpected::Bytes(_) => f.write_str("byte array"),
            Unexpected::Unit | Unexpected::Option => f.write_str("null"),
            Unexpected::Seq => f.write_str("sequence"),
            Unexpected::Map => f.write_str("map"),
            Unexpected::Enum => f.write_str("enum"),
            Unexpected::NewtypeStruct => f.write_str("newtype struct"),
            Unexpected::UnitVariant => f.write_str("unit variant"),
            Unexpected::NewtypeVariant => f.write_str("newtype variant"),
            Unexpected::TupleVariant => f.write_str("tuple variant"),
            Unexpected::StructVariant => f.write_str("struct variant"),
            Unexpected::Other(other) => f.write_str(other),
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, JsonError>;
