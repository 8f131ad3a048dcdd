//! The subcommands of `qmp-schema`, one module each, with their inputs and outputs.
//!
//! ```text
//! QAPI text ────────> check ──────> diagnostics
//!                     generate ───> Rust
//!                     export ─────> introspection
//! introspection, ───> import ─────> QAPI text, Rust
//! a running QEMU
//! a QEMU's devices
//! any two of these ─> diff ───────> changes, or those that recordings meet
//! any of these ─────> show ───────> documentation
//! any of these ─────> site ───────> HTML
//! ```

mod changes;
pub mod check;
mod configuration;
mod devices;
pub mod diff;
mod document;
mod exceptions;
pub mod export;
pub mod generate;
mod git;
pub mod import;
mod input;
mod names;
mod output;
pub mod show;
pub mod site;
mod used_by;

use std::fmt;

use qmp_codegen::schema::Schema;

use crate::cli::TimeoutArgs;
use crate::terminal::print_diagnostics;

/// The reason why a subcommand failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The schema is invalid, or lacks a selected item: the rendered diagnostics.
    Schema(String),
    /// Any other error.
    Other(Box<dyn std::error::Error>),
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Reads a schema from a file of either kind, from a running QEMU, or the builtin one, for another
/// program. Diagnostics are printed.
pub(crate) fn read(
    source: &str,
    timeout: TimeoutArgs,
) -> Result<Schema, Box<dyn std::error::Error>> {
    let detected = input::detect(source, timeout).map_err(|failure| match failure {
        Failure::Other(error) => error,
        Failure::Schema(diagnostics) => {
            print_diagnostics(&diagnostics);
            format!("'{source}' is not a valid schema").into()
        }
    })?;
    Ok(detected.schema)
}

/// Formats the failure as it is printed to standard error, including the final newline.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(diagnostics) => f.write_str(diagnostics),
            Self::Other(error) => writeln!(f, "qmp-schema: {}", crate::cli::chain(&**error)),
        }
    }
}
