//! The error of an import.

use std::fmt;

use crate::diagnostic::quoted;

/// An error in introspection that prevents its import, with its location in the JSON.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImportError {
    path: String,
    kind: ImportErrorKind,
}

/// The kinds of errors in introspection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ImportErrorKind {
    /// The text is not valid JSON.
    Json(String),
    /// The text is an error reply with this description.
    ErrorReply(String),
    /// The value is not of this kind.
    Expected(&'static str),
    /// The object lacks this member.
    Missing(&'static str),
    /// The name is used more than once where names must be unique.
    Duplicate(String),
    /// The referenced type has no entry.
    UnknownType(String),
    /// The referenced type is of the wrong kind.
    WrongKind {
        /// The name of the type.
        name: String,
        /// The kind of type that is allowed.
        expected: &'static str,
    },
    /// The object type contains itself through its branches, so that its values would be infinite.
    Endless(String),
    /// The layout of the text is not one that an export reproduces byte for byte.
    Layout,
}

impl ImportError {
    pub(super) fn new(path: String, kind: ImportErrorKind) -> Self {
        Self { path, kind }
    }

    /// Returns the path to the error, such as `[12].members[3].type`. The path of the whole text is
    /// empty.
    ///
    /// ```
    /// use qmp_codegen::introspection::{Names, import};
    ///
    /// let reply = r#"[{"meta-type": "command", "name": "park", "arg-type": 0, "ret-type": "0"}]"#;
    /// let error = import(reply, &Names::none()).unwrap_err();
    /// assert_eq!(error.path(), "[0].arg-type");
    /// ```
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the kind of the error.
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
            ImportErrorKind::Json(message) => write!(f, "invalid JSON: {}", quoted(message)),
            ImportErrorKind::ErrorReply(description) => {
                write!(f, "the server replied with an error: {}", quoted(description))
            }
            ImportErrorKind::Expected(what) => write!(f, "expected {what}"),
            ImportErrorKind::Missing(name) => write!(f, "missing member '{name}'"),
            ImportErrorKind::Duplicate(name) => {
                write!(f, "duplicate name '{}'", quoted(name))
            }
            ImportErrorKind::UnknownType(name) => {
                write!(f, "unknown type '{}'", quoted(name))
            }
            ImportErrorKind::WrongKind { name, expected } => {
                write!(f, "expected {expected}, found type '{}'", quoted(name))
            }
            ImportErrorKind::Endless(name) => {
                write!(f, "type '{}' contains itself", quoted(name))
            }
            ImportErrorKind::Layout => f.write_str(
                "cannot be exported byte for byte: the whitespace is irregular, or the name of a \
                 member is repeated or has escapes",
            ),
        }
    }
}

impl std::error::Error for ImportError {}
