//! Introspection: converts between schemas and replies to `query-qmp-schema`.
//!
//! Introspection only describes what is on the wire. Type names are replaced by numbers, all integer
//! types are the same, bases are flattened, and conditions are resolved. It lacks documentation,
//! `gen`, `success-response`, `allow-preconfig`, and `coroutine`.

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
pub(crate) use export::export_where;
pub use export::{Naming, export};
pub use import::import;
pub use names::{Names, NamesError};
