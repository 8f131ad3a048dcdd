//! A serde deserializer for JSON text.
//!
//! `serde_json` makes raw values after they have been checked here.
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

use std::borrow::Cow;

use serde_json::value::RawValue;

use reader::{Guesses, Reader};

pub(crate) use access::{WITH_TEXT, is_in_text};
pub(crate) use deserializer::{OBJECT, is_reader};
pub(crate) use error::JsonError;
pub(crate) use escape::is_text;
pub(crate) use name::{MEMBER, is_member};
pub(crate) use scan::string_end;

pub use scan::plain_end;

/// Reads a whole text as a `T`.
pub(crate) fn from_str<'de, T: serde::Deserialize<'de>>(text: &'de str) -> error::Result<T> {
    let mut reader = Reader::new(text, Guesses::None);
    loop {
        match reader.whole() {
            // The error may be due to a wrong guess.
            Err(_) if reader.has_guessed() => reader = Reader::new(text, Guesses::Never),
            result => return result,
        }
    }
}

/// Reads a text that has been checked as a `T`.
pub(crate) fn from_checked<'de, T: serde::Deserialize<'de>>(
    text: &'de RawValue,
) -> error::Result<T> {
    let mut reader = Reader::of_checked(text, Guesses::None);
    loop {
        match reader.whole() {
            // The error may be due to a wrong guess.
            Err(_) if reader.has_guessed() => reader = Reader::of_checked(text, Guesses::Never),
            result => return result,
        }
    }
}

/// Converts a number in a text that has been checked to the nearest one. Returns `None` if it is out of
/// range.
pub(crate) fn fraction(number: &str) -> Option<f64> {
    number.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Returns the text of a member of an object that has been checked, without reading the others. Its name
/// may be written with escapes. Of members with the same name, the last one counts.
pub(crate) fn member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    let is_wanted = |inside: &str| is_text(inside, name);
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

/// A member of an object in a text.
pub(crate) struct Member<'t> {
    /// The inside of the name, as it is written.
    pub(crate) name: &'t str,
    pub(crate) value: &'t str,
    /// All of it.
    pub(crate) text: &'t str,
}

/// Calls a function with each member of an object that has been checked.
pub(crate) fn members<'t>(object: &'t str, see: &mut dyn FnMut(Member<'t>)) {
    let bytes = object.as_bytes();
    let mut next = 1;
    while let Some(start) = scan::find_member(object, next, &|_| true) {
        let Some(name_end) = string_end(bytes, start) else { return };
        // After the colon.
        let value = scan::after_space(bytes, scan::after_space(bytes, name_end) + 1);
        let Some(end) = scan::skip_value(bytes, value) else { return };
        see(Member {
            name: &object[start + 1..name_end - 1],
            value: &object[value..end],
            text: &object[start..end],
        });
        next = end;
    }
}

/// Calls a function with each element of an array that has been checked.
pub(crate) fn elements<'t>(array: &'t str, see: &mut dyn FnMut(&'t str)) {
    let bytes = array.as_bytes();
    let mut at = 1;
    loop {
        at = scan::after_space(bytes, at);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b']') | None => return,
            Some(_) => {
                let Some(end) = scan::skip_value(bytes, at) else { return };
                see(&array[at..end]);
                at = end;
            }
        }
    }
}

/// Returns the contents of a string, or `None` for any other value.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    unescaped(text.strip_prefix('"')?.strip_suffix('"')?)
}

/// Returns the contents of a string that has this between its quotes.
pub(crate) fn unescaped(inside: &str) -> Option<Cow<'_, str>> {
    match inside.contains('\\') {
        true => escape::unescape(inside).map(Cow::Owned),
        false => Some(Cow::Borrowed(inside)),
    }
}

/// Returns whether a text is a number.
pub(crate) fn is_number(text: &str) -> bool {
    check::number_end(text.as_bytes(), 0) == Some(text.len())
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
