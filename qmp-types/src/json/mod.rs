//! A serde deserializer for JSON text.
//!
//! Fractions are converted by `serde_json`, which also makes raw values after they have been checked here.
//! This reader knows its position in the text, and with it:
//!
//! - it looks ahead for the discriminator of a union and passes that member first, so that the
//!   members of the branch are read straight into their types, whatever their order (a type asks
//!   for it by `deserialize_struct`, with the discriminator as the only field);
//! - it reads a schema's objects without moving them afterwards (an object asks for it by the name
//!   [`OBJECT`], and promises to read all members);
//! - it compares the text with the names of an object's members, without reading the name (a key asks
//!   for it by `deserialize_struct`, with the name [`MEMBER`]);
//! - an error has an offset, and hence a path;
//! - a value can be read together with its text (a type asks for it by `deserialize_newtype_struct`,
//!   with the name [`WITH_TEXT`]).
//!
//! The text is known to be UTF-8, which is not checked again.

mod access;
mod check;
mod deserializer;
mod error;
mod escape;
mod name;
mod reader;
mod scan;

use serde_json::value::RawValue;

use reader::{Guesses, Reader};

pub(crate) use access::{WITH_TEXT, is_in_text};
pub(crate) use deserializer::{OBJECT, is_reader};
pub(crate) use error::JsonError;
pub(crate) use name::{MEMBER, is_member};
pub(crate) use scan::string_end;

pub use scan::plain_end;

/// Reads a whole text as a `T`.
pub(crate) fn from_str<'de, T: serde::Deserialize<'de>>(text: &'de str) -> error::Result<T> {
    let mut reader = Reader::new(text, Guesses::None);
    match reader.whole() {
        // The error may be due to a wrong guess.
        Err(_) if reader.has_guessed() => Reader::new(text, Guesses::Never).whole(),
        result => result,
    }
}

/// Reads a text that has been checked as a `T`.
pub(crate) fn from_checked<'de, T: serde::Deserialize<'de>>(
    text: &'de RawValue,
) -> error::Result<T> {
    let mut reader = Reader::of_checked(text, Guesses::None);
    match reader.whole() {
        // The error may be due to a wrong guess.
        Err(_) if reader.has_guessed() => Reader::of_checked(text, Guesses::Never).whole(),
        result => result,
    }
}

/// Converts a number with a fraction or an exponent. Returns `None` if the text is not a number or the
/// number is out of range.
pub(crate) fn fraction(number: &str) -> Option<f64> {
    number.parse::<serde_json::Number>().ok()?.as_f64()
}

/// Returns the text of a member of an object that has been checked, without reading the others. Its name
/// may be written with escapes. Of members with the same name, the last one counts.
pub(crate) fn member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    let is_wanted = |inside: &str| escape::is_text(inside, name);
    let mut reader = Reader::new(object, Guesses::Never);
    let (mut next, mut value) = (1, None);
    while let Some(at) = scan::find_member(object, next, &is_wanted) {
        reader.at = at;
        reader.string().ok()?;
        reader.expect(b':').ok()?;
        value = Some(reader.raw());
        next = reader.at;
    }
    value?.ok()
}

/// Reads the value that a text begins with as a `T`, and returns it with its length in the text;
/// `None` if there is an error in it, even one that `T` ignores.
pub(crate) fn beginning_of<'de, T: serde::Deserialize<'de>>(text: &'de str) -> Option<(T, usize)> {
    let mut reader = Reader::new(text, Guesses::None);
    let value = T::deserialize(&mut reader).ok()?;
    (!reader.is_lost()).then_some((value, reader.at))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod callers;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
