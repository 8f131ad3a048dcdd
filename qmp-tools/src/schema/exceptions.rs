//! Breaking changes that have been accepted: a file with a path and a reason on each line.

use std::path::{Path, PathBuf};

use qmp_codegen::diff::Change;

use super::{Failure, input};
use crate::terminal::inline;

/// The exceptions of a file.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    file: PathBuf,
    all: Vec<Exception>,
}

#[derive(Debug)]
struct Exception {
    line: usize,
    /// The path, without the asterisk of one that covers everything below.
    path: String,
    covers_more: bool,
    reason: String,
    is_used: bool,
}

/// The path and the place of an exception that no change needs.
#[derive(Debug)]
pub(super) struct Unused {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) path: String,
}

impl Exceptions {
    /// Reads a file, if one is given.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(file) = file else { return Ok(Self::default()) };
        let name = file.display().to_string();
        let text = input::read(&name)?;
        let mut all = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let (line, number) = (line.trim(), number + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let exception = Exception::parse(line, number);
            all.push(exception.map_err(|reason| format!("{}:{number}: {reason}", inline(&name)))?);
        }
        Ok(Self { file: file.to_owned(), all })
    }

    /// Returns the reason why a change is accepted.
    pub(super) fn reason(&mut self, change: &Change) -> Option<String> {
        let path = path(change);
        let covering = self.all.iter_mut().filter(|exception| exception.covers(&path));
        let mut reason = None;
        for exception in covering {
            exception.is_used = true;
            reason.get_or_insert_with(|| exception.reason.clone());
        }
        reason
    }

    pub(super) fn unused(&self) -> impl Iterator<Item = Unused> + '_ {
        let unused = self.all.iter().filter(|exception| !exception.is_used);
        unused.map(|exception| Unused {
            file: self.file.clone(),
            line: exception.line,
            path: exception.path.clone() + if exception.covers_more { "*" } else { "" },
        })
    }
}

impl Exception {
    fn parse(line: &str, number: usize) -> Result<Self, &'static str> {
        let (path, reason) = line.split_once(" #").ok_or("expected 'PATH # REASON'")?;
        let (path, reason) = (path.trim(), reason.trim());
        if reason.is_empty() {
            return Err("the reason is missing: expected 'PATH # REASON'");
        }
        if !path.starts_with("command ") && !path.starts_with("event ") {
            return Err("a path begins with 'command NAME' or 'event NAME', as the changes do");
        }
        let beginning = path.strip_suffix('*');
        Ok(Self {
            line: number,
            path: beginning.unwrap_or(path).to_owned(),
            covers_more: beginning.is_some(),
            reason: reason.to_owned(),
            is_used: false,
        })
    }

    fn covers(&self, path: &str) -> bool {
        if self.covers_more { path.starts_with(&self.path) } else { path == self.path }
    }
}

/// Returns the path of a change as it is printed: `command NAME: PATH`.
pub(super) fn path(change: &Change) -> String {
    match change.path.is_empty() {
        true => change.root.to_string(),
        false => format!("{}: {}", change.root, change.path),
    }
}
