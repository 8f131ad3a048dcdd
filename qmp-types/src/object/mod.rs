//! How a generated object type is read and written.
//!
//! A QAPI object is a set of named members in any order. A generated type provides a table of its
//! member names, and tuples of its members ([`Group`]), which have a slot for each of them. The rest is
//! done here, once for all types: finding the slot, skipping unknown members, reporting missing ones,
//! flattening unions.
//!
//! A union is an object, too: a base that contains the discriminator, and the members of one branch
//! beside them. The branch can be read only once the discriminator is known, which may come last on
//! the wire. Members that come before it are kept and passed to the branch afterwards:
//!
//! ```text
//! map ──next──> in the table?       its slot is filled
//!               in an outer base?   the slot of that base is filled
//!               otherwise           skipped, or kept (open objects, waiting for a discriminator)
//! ```

mod group;
mod members;
mod traits;
mod union;
mod writer;

pub use group::{Chain, Group, Mandatory, OptionalValues, Slots, Values};
pub use members::{Members, Rest, Source};
pub use traits::{Object, deserialize, read, serialize, write};
pub use union::Branches;
pub use writer::{OtherValues, Writer};

#[cfg(test)]
#[allow(clippy::unwrap_used, unreachable_pub)] // tests
mod tests;
