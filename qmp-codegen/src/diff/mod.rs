//! Compares two schemas, and finds the changes that break clients.
//!
//! Only the interface is compared: the names of commands, events, members, and values, the JSON
//! types of values, flags, and features. The names of types, the order of definitions and members,
//! and whether members come from a base are not part of the interface.
//!
//! Whether a change breaks clients depends on the direction (QAPI guide, "Compatibility
//! considerations"):
//!
//! | | sent (arguments) | received (return values, event data) |
//! | --- | --- | --- |
//! | optional member added | | |
//! | mandatory member added | breaks | |
//! | optional member removed | breaks | |
//! | mandatory member removed | breaks | breaks |
//! | member made optional | | breaks |
//! | member made mandatory | breaks | |
//! | value, branch, or alternative added | | |
//! | value, branch, or alternative removed | breaks | |
//! | type widened, such as from an enum to `str` or to an alternate | | breaks |
//! | type narrowed | breaks | |
//! | type changed otherwise | breaks | breaks |
//!
//! Removing a command or event breaks clients, and so does a command that can no longer be executed
//! out-of-band. Features never break clients, which must ask for them. Clients are expected to
//! tolerate unknown values, members, and events.
//!
//! [`Usage`] selects the changes that messages of clients meet.

mod change;
mod comparison;
mod describe;
mod members;
mod object;
mod render;
mod scope;
mod step;
mod types;
mod usage;
mod values;
mod walk;

pub use change::{Announced, Change, Difference, Direction, Root, RootKind, What};
pub use scope::Scope;
pub use usage::Usage;

use crate::schema::Schema;
use walk::Walk;

/// Compares two schemas.
///
/// ```
/// use qmp_codegen::diff::diff;
/// # use qmp_codegen::{Root, load};
/// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
/// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
/// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
/// let difference = diff(&old, &new);
/// assert!(difference.is_breaking());
/// assert_eq!(difference.changes[0].path, "argument color");
/// # Ok::<(), qmp_codegen::LoadError>(())
/// ```
#[must_use]
pub fn diff(old: &Schema, new: &Schema) -> Difference {
    diff_within(old, new, Scope::Schema)
}

/// Compares two schemas within a scope.
///
/// ```
/// use qmp_codegen::diff::{Scope, diff_within};
/// # use qmp_codegen::{Root, load};
/// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
/// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
/// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
/// assert!(diff_within(&old, &new, Scope::Schema).is_breaking());
/// # Ok::<(), qmp_codegen::LoadError>(())
/// ```
#[must_use]
pub fn diff_within(old: &Schema, new: &Schema, scope: Scope) -> Difference {
    let mut walk = Walk::new(old, new, scope);
    walk.roots();
    while let Some(at) = walk.next_pair() {
        walk.compare(at);
    }
    walk.difference()
}
