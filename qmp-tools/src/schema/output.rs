//! Writes results to a file or to standard output.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::cli::print;
use crate::terminal;

/// The `--output` argument.
#[derive(Args, Clone, Debug)]
pub(super) struct Output {
    /// Write to FILE instead of standard output, which '-' is, too; a file whose content is unchanged
    /// is not touched
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Output {
    pub(super) fn write(&self, text: &str) -> Result<(), Failure> {
        let path = self.output.as_ref().filter(|path| path.as_os_str() != "-");
        let Some(path) = path else { return Ok(print(shown(text).as_bytes())?) };
        if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        std::fs::write(path, text)
            .map_err(|error| format!("cannot write '{}': {error}", path.display()).into())
    }
}

/// Escapes a result for a terminal; a pipe receives it unchanged.
fn shown(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { terminal::lines(text) } else { Cow::Borrowed(text) }
}
