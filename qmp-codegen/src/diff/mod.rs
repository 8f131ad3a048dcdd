//! What changed between two schemas, and what of it breaks clients.
//!
//! Schemas are compared by what is on the wire: names of commands, events, members and values, the
//! JSON types of values, flags and features. Names of types and the order of things are not part
//! of the interface, nor is whether members come from a base.
//!
//! Whether a change breaks a client depends on the direction (QAPI guide, "Compatibility
//! considerations"):
//!
//! | | sent (arguments) | received (return values, event data) |
//! | --- | --- | --- |
//! | optional member added | | |
//! | mandatory member added | breaks | |
//! | optional member removed | breaks | |
//! | mandatory member removed | breaks | breaks |
//! | made optional | | breaks |
//! | made mandatory | breaks | |
//! | value, branch, alternative added | | |
//! | value, branch removed | breaks | |
//! | type made wider, such as `str` for an enumeration, or an alternate with it | | breaks |
//! | type made narrower | breaks | |
//! | type otherwise changed | breaks | breaks |
//!
//! Commands and events that are gone break clients, and so does a command that may no longer be
//! executed out-of-band. Features never do: they are there to be asked for. Clients are expected
//! to stand values, members and events that they do not know.

mod change;
mod describe;
mod members;
mod object;
mod render;
mod types;
mod walk;

pub use change::{Announced, Change, Difference, Direction, Root, RootKind, What};

use crate::schema::Schema;

/// How much of the schemas is compared.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Scope {
    /// Everything that matters to clients.
    #[default]
    Schema,
    /// What [introspection](crate::introspection) shows. It does not tell kinds of integers apart,
    /// and has no `success-response`, `gen` and `allow-preconfig`. This is the scope if one of
    /// the schemas was imported, and the other was not.
    Introspection,
}

/// Compares two schemas.
#[must_use]
pub fn diff(old: &Schema, new: &Schema) -> Difference {
    diff_within(old, new, Scope::Schema)
}

/// Compares two schemas as far as a scope goes.
#[must_use]
pub fn diff_within(old: &Schema, new: &Schema, scope: Scope) -> Difference {
    walk::Walk::new(old, new, scope).difference()
}
