//! Introspection: converts between schemas and replies to `query-qmp-schema`.
//!
//! Introspection only describes what is on the wire. Type names are replaced by numbers, all integer
//! types are the same, bases are flattened, and conditions are resolved. It lacks documentation,
//! `gen`, `success-response`, `allow-preconfig`, and `coroutine`.
//!
//! An exported schema has numbers of its own, and only the types that are reachable. To get a reply
//! back byte for byte, import it with [`import_exact`].

mod error;
mod exact;
mod export;
mod import;
mod names;
mod naming;
mod node;
mod raw;
mod reply;
mod spelling;
pub(crate) mod unusual;

pub use error::{ImportError, ImportErrorKind};
pub use exact::{Record, RecordError, import_exact};
pub(crate) use export::export_where;
pub use export::{Naming, export};
pub use import::import;
pub use names::{Names, NamesError};
