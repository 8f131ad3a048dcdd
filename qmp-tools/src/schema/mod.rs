//! What `qmp-schema` does: a module a subcommand, and what goes in and comes out of them.
//!
//! ```text
//! QAPI text ────────> check ──────> diagnostics
//!                     generate ───> Rust
//!                     export ─────> introspection
//! introspection, ───> import ─────> QAPI text, Rust
//! a live QEMU
//! two of any of them > diff ──────> changes
//! ```

pub mod check;
pub mod diff;
pub mod export;
pub mod generate;
pub mod import;
mod input;
mod names;
mod output;

use std::fmt;

/// Why a subcommand failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The schema is wrong, or does not have what was asked for: every diagnostic, drawn.
    Schema(String),
    /// Anything else.
    Other(Box<dyn std::error::Error>),
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// As standard error shows it.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(drawn) => f.write_str(drawn),
            Self::Other(error) => writeln!(f, "qmp-schema: {}", crate::cli::chain(&**error)),
        }
    }
}
