//! What is wrong with introspection that cannot be read as a schema.

use std::fmt;

/// Introspection that is no schema: what is wrong with it, and where in the JSON.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImportError {
    path: String,
    kind: ImportErrorKind,
}

/// What is wrong with introspection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ImportErrorKind {
    /// It is not JSON.
    Json(String),
    /// It is an error reply; this is its description.
    ErrorReply(String),
    /// Something else was expected here.
    Expected(&'static str),
    /// A member is not there.
    Missing(&'static str),
    /// Two things of this name where there can be one.
    Duplicate(String),
    /// A type is named that has no entry.
    UnknownType(String),
    /// This type is used where only another kind of type can stand.
    WrongKind {
        /// The name of the type.
        name: String,
        /// What kind of type can stand there.
        expected: &'static str,
    },
    /// The type contains itself, so that no value of it would ever end.
    Endless(String),
}

impl ImportError {
    pub(super) fn new(path: String, kind: ImportErrorKind) -> Self {
        Self { path, kind }
    }

    /// Where: a path such as `[12].members[3].type`; empty for the whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ImportErrorKind {
        &self.kind
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match &self.kind {
            ImportErrorKind::Json(message) => write!(f, "not JSON: {message}"),
            ImportErrorKind::ErrorReply(description) => {
                write!(f, "the server answered with an error: {description}")
            }
            ImportErrorKind::Expected(what) => write!(f, "expected {what}"),
            ImportErrorKind::Missing(name) => write!(f, "member '{name}' is missing"),
            ImportErrorKind::Duplicate(name) => write!(f, "'{name}' is there twice"),
            ImportErrorKind::UnknownType(name) => write!(f, "there is no type '{name}'"),
            ImportErrorKind::WrongKind { name, expected } => {
                write!(f, "type '{name}' is used where only {expected} can stand")
            }
            ImportErrorKind::Endless(name) => write!(f, "type '{name}' contains itself"),
        }
    }
}

impl std::error::Error for ImportError {}
