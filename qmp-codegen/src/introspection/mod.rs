//! Introspection: what a QEMU answers to `query-qmp-schema`, made from a schema and read as one.
//!
//! Introspection shows the wire and no more: type names are masked by numbers, all kinds of
//! integers are one, bases are flattened, conditions have been decided, and documentation,
//! `gen`, `success-response`, `allow-preconfig` and `coroutine` are not in it.

mod error;
mod export;
mod import;
mod names;
mod naming;
mod node;
mod raw;
mod reply;
mod spelling;

pub use error::{ImportError, ImportErrorKind};
pub use export::{Naming, export};
pub use import::import;
pub use names::{Names, NamesError};
