//! Errors in building a server.

use std::fmt;

use crate::introspection::SchemaError;

/// The reason why a server cannot be built.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum BuildError {
    /// The introspection data cannot be read.
    Schema(SchemaError),
    /// The router has handlers, but no schema to check arguments against.
    NoSchema,
    /// The schema does not contain these commands, which have handlers.
    CommandsNotInSchema(Vec<String>),
    /// The schema does not contain these events, which the router declares.
    EventsNotInSchema(Vec<String>),
    /// These commands of the schema have no handlers, although the router is to handle all.
    Unhandled(Vec<String>),
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "BuildError", self, format_args!(""))
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(_) => f.write_str("the schema of the server's commands is invalid"),
            Self::NoSchema => f.write_str(
                "the router has no schema; pass the vocabulary's INTROSPECTION to \
                 `Router::introspection`, or turn checks off with `Router::unchecked`",
            ),
            Self::CommandsNotInSchema(names) => write!(
                f,
                "the schema lacks commands that have handlers: {}; add them to the schema, or turn \
                 their checks off with `Router::unchecked_command`",
                names.join(", ")
            ),
            Self::EventsNotInSchema(names) => {
                write!(f, "the schema lacks events of the router: {}", names.join(", "))
            }
            Self::Unhandled(names) => {
                write!(f, "commands of the schema have no handlers: {}", names.join(", "))
            }
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Schema(error) => Some(error),
            _ => None,
        }
    }
}
