//! Where results go.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::cli::print;

/// Where results go.
#[derive(Args, Clone, Debug)]
pub(super) struct Output {
    /// Writes to this file, and only if that changes it, instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Output {
    pub(super) fn write(&self, text: &str) -> Result<(), Failure> {
        let Some(path) = &self.output else { return Ok(print(text.as_bytes())?) };
        if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        std::fs::write(path, text)
            .map_err(|error| format!("cannot write '{}': {error}", path.display()).into())
    }
}
