//! Completion, hints and suggestions, without a client.

mod arguments;
mod given;
mod hint;
mod json;
mod kinds;
mod place;
mod similar;
mod statement;

use std::borrow::Cow;
use std::ops::Range;

use crate::shell::types::Types;
use crate::terminal;

pub use hint::hint;
pub use similar::did_you_mean;

/// The names of what lives in the machine, as far as they are known without waiting.
pub trait Live {
    /// Returns the candidates of a kind.
    fn candidates(&self, kind: Kind<'_>) -> Vec<Candidate>;
}

/// A kind of names that only the machine knows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// Block nodes, by their node names.
    BlockNode,
    /// Devices with an id.
    Device,
    /// Children of the object at this QOM path, as whole paths.
    QomPath(&'a str),
    /// Properties of the object at this QOM path.
    PathProperty(&'a str),
    /// Jobs.
    Job,
    /// Character devices.
    Chardev,
    /// Network backends.
    Netdev,
    /// User-created objects, optionally only those whose type begins with this.
    Object(&'a str),
    /// Device models.
    Driver,
    /// Properties of a device model.
    DriverProperty(&'a str),
    /// QOM types.
    ObjectType,
    /// Properties of a QOM type.
    ObjectProperty(&'a str),
    /// Block exports.
    Export,
    /// Dirty bitmaps of the block node with this name.
    Bitmap(&'a str),
    /// Buses that a device can be plugged into.
    Bus,
    /// Options of the session, which `set` changes.
    Setting,
    /// Values of an option of the session.
    SettingValue(&'a str),
    /// Commands of the human monitor that begin with this line.
    Human(&'a str),
}

/// A completion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// The text that replaces the span.
    pub insert: String,
    /// A description in one line; may be empty.
    pub description: String,
    /// The character that follows, if the candidate is accepted.
    pub then: Option<char>,
}

impl Candidate {
    /// Creates a candidate that is followed by a space.
    pub fn new(insert: impl Into<String>, description: impl Into<String>) -> Self {
        Self { insert: insert.into(), description: description.into(), then: Some(' ') }
    }
}

/// The completions at a place in a text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Completion {
    /// The part of the text that a candidate replaces, in bytes.
    pub span: Range<usize>,
    /// The candidates, the most likely first.
    pub candidates: Vec<Candidate>,
}

/// Completes a text at the cursor.
#[must_use]
pub fn complete(text: &str, cursor: usize, types: &dyn Types, live: &dyn Live) -> Completion {
    let cursor = (0..=cursor.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let cursor = cursor.unwrap_or_default();
    let mut completion = Completer { text, cursor, types, live }.complete();
    // A candidate is inserted as it is, and the names come from a machine.
    let is_clean = |text: &str| matches!(terminal::inline(text), Cow::Borrowed(_));
    completion.candidates.retain(|candidate| is_clean(&candidate.insert));
    for candidate in &mut completion.candidates {
        if let Cow::Owned(description) = terminal::inline(&candidate.description) {
            candidate.description = description;
        }
    }
    completion
}

/// The text and the cursor, and where candidates come from.
#[derive(Clone, Copy)]
struct Completer<'a> {
    text: &'a str,
    cursor: usize,
    types: &'a dyn Types,
    live: &'a dyn Live,
}

impl std::fmt::Debug for Completer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completer")
            .field("text", &self.text)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
