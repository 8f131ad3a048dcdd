//! Recordings: made between a client and a monitor, shown, and checked against a schema.
//!
//! ```text
//! client <──> relay <──> monitor        FILE ──> timeline ──> lines, JSON
//!               │                       FILE ──> check <──── schema
//!             split ──> FILE
//! ```

pub mod check;
pub(crate) mod message;
#[cfg(unix)]
pub mod output;
#[cfg(unix)]
pub mod relay;
mod split;
pub mod timeline;

pub use split::Split;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use qmp_client::recording::Reader;

use crate::terminal::inline;

/// Opens a recording; `-` is standard input.
///
/// # Errors
/// Returns the system's error.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    if is_standard(path) {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    Ok(Box::new(BufReader::new(File::open(path)?)))
}

/// Returns whether a path stands for standard input or output.
#[must_use]
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns an error that names the connections of a recording if none of them has this name.
///
/// # Errors
/// No connection has the name, or the recording cannot be read.
pub fn require_connection(
    reader: Reader<impl BufRead>,
    name: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    /// The number of names that a message lists.
    const MOST: usize = 8;
    let mut names = BTreeSet::new();
    for entry in reader {
        let monitor = entry?.monitor;
        if monitor == name {
            return Ok(());
        }
        if names.len() < MOST {
            names.insert(monitor);
        }
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{}`", inline(name))).collect();
    let others = if names.is_empty() { "" } else { ", only " };
    let name = inline(name);
    Err(format!(
        "the recording has no connection with the name `{name}`{others}{}",
        names.join(", ")
    )
    .into())
}
