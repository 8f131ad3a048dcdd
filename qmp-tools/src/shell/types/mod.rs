//! The types of commands and events, as the connected machine describes them.

mod schema;

use std::sync::{Arc, OnceLock};

use qmp_types::qmp::types::ObjectPropertyInfo;

use crate::reference::{self, Reference};

pub use schema::{Member, Schema, Shape};

/// The source of everything that the shell knows of commands before they are executed.
pub trait Types {
    /// Returns the schema of the connected machine, or a builtin one until it is known.
    fn schema(&self) -> &Schema;

    /// Returns the properties of a device model, an object type or an object, or `None` if they are
    /// not known. The schema does not list them.
    fn properties(&self, of: Owner<'_>) -> Option<Arc<[ObjectPropertyInfo]>> {
        let _ = of;
        None
    }

    /// Returns the documentation.
    fn reference(&self) -> &'static Reference {
        &reference::MONITOR
    }
}

/// The owner of properties that no schema lists.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Owner<'a> {
    /// A device model: `device-list-properties`.
    Device(&'a str),
    /// An object type: `qom-list-properties`.
    Type(&'a str),
    /// The object at a path: `qom-list`.
    Path(&'a str),
}

/// The builtin types of the monitor: the union of all releases and build options.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builtin;

impl Types for Builtin {
    fn schema(&self) -> &Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| Schema::builtin(qmp_types::qmp::INTROSPECTION))
    }
}

/// The builtin types of the guest agent, which has no command that describes them.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltinAgent;

impl Types for BuiltinAgent {
    fn schema(&self) -> &Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| Schema::builtin(qmp_types::qga::INTROSPECTION))
    }

    fn reference(&self) -> &'static Reference {
        &reference::AGENT
    }
}

impl Types for Schema {
    fn schema(&self) -> &Schema {
        self
    }
}
