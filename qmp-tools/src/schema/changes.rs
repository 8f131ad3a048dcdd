//! Lists of changes: which of them break clients, where they are met, and how they are printed.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use clap::ValueEnum;
use qmp_codegen::diff::{Change, Difference};
use serde_json::{Map, Value, json};

use super::Failure;
use super::exceptions::{Exceptions, Unused};
use crate::cli::print;
use crate::terminal::{self, inline, notice};

/// The forms in which changes are printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(super) enum ChangeFormat {
    /// Lists, with those that break clients first
    #[default]
    Human,
    /// One line each: [file:line:] breaking|excepted|other: change
    Short,
    /// One JSON object per line
    Json,
}

/// A place in a file that shows what is used.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Rc<str>,
    pub(super) line: usize,
    /// The microseconds since the beginning of a recording.
    pub(super) time: Option<u64>,
}

/// A change, with what is known about it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) change: Change,
    /// The first place that meets the change.
    pub(super) first: Option<Place>,
    /// The number of messages, or of names, that meet it.
    pub(super) count: usize,
    /// Why it is accepted although it breaks clients.
    pub(super) reason: Option<String>,
}

/// Changes in the order in which they are printed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) listed: Vec<Listed>,
    unused: Vec<Unused>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", inline(&self.file), self.line)
    }
}

impl From<Difference> for Changes {
    fn from(difference: Difference) -> Self {
        let listed = difference.changes.into_iter();
        let listed = listed.map(|change| Listed { change, first: None, count: 0, reason: None });
        Self { listed: listed.collect(), unused: Vec::new() }
    }
}

impl Listed {
    fn breaks(&self) -> bool {
        self.change.breaking && self.reason.is_none()
    }

    fn kind(&self) -> &'static str {
        match (self.change.breaking, &self.reason) {
            (true, None) => "breaking",
            (true, Some(_)) => "excepted",
            (false, _) => "other",
        }
    }

    fn human(&self) -> String {
        let mut text = format!("  {}\n", inline(&self.change.to_string()));
        if let Some(place) = &self.first {
            text += &format!("      first at {place}");
            if let Some(time) = place.time {
                text += &format!(" ({}.{:06} s)", time / 1_000_000, time % 1_000_000);
            }
            if self.count > 1 {
                text += &format!(", and {} more", self.count - 1);
            }
            text.push('\n');
        }
        if let Some(reason) = &self.reason {
            text += &format!("      accepted: {}\n", inline(reason));
        }
        text
    }

    fn short(&self) -> String {
        let place = self.first.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        format!("{place}{}: {}\n", self.kind(), inline(&self.change.to_string()))
    }

    fn json(&self) -> Value {
        let mut json = self.change.to_json();
        let Value::Object(members) = &mut json else { return json };
        if let Some(Place { file, line, time }) = &self.first {
            let place = json!({"file": **file, "line": line, "time": time});
            members.insert("first".to_owned(), place);
            members.insert("count".to_owned(), self.count.into());
        }
        if let Some(reason) = &self.reason {
            members.insert("exception".to_owned(), reason.as_str().into());
        }
        json
    }
}

impl Changes {
    /// Marks the breaking changes that have been accepted.
    pub(super) fn except(&mut self, exceptions: &mut Exceptions) {
        for listed in self.listed.iter_mut().filter(|listed| listed.change.breaking) {
            listed.reason = exceptions.reason(&listed.change);
        }
        self.unused = exceptions.unused().collect();
    }

    /// Leaves out the changes that do not break clients.
    pub(super) fn only_breaking(&mut self) {
        self.listed.retain(|listed| listed.change.breaking);
    }

    /// Returns the number of changes that break clients and have not been accepted.
    pub(super) fn breaking(&self) -> usize {
        self.listed.iter().filter(|listed| listed.breaks()).count()
    }

    /// Returns 1 if a change breaks clients and has not been accepted, or else 0.
    pub(super) fn status(&self) -> ExitCode {
        if self.breaking() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// Prints the changes, and after them a summary that only people read.
    pub(super) fn print(&self, format: ChangeFormat, summary: &str) -> Result<(), Failure> {
        let text = match format {
            ChangeFormat::Human => terminal::lines(&(self.human() + summary)).into_owned(),
            ChangeFormat::Short => {
                terminal::lines(&self.listed.iter().map(Listed::short).collect::<String>())
                    .into_owned()
            }
            ChangeFormat::Json => {
                let lines = self.listed.iter().map(|listed| format!("{}\n", listed.json()));
                terminal::json(&lines.collect::<String>()).into_owned()
            }
        };
        print(text.as_bytes())?;
        for Unused { file, line, path } in &self.unused {
            let file = inline_path(file);
            notice(&format!("{file}:{line}: warning: no change needs the exception '{path}'"));
        }
        Ok(())
    }

    /// Returns all changes as one JSON object.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("breaking".into(), (self.breaking() > 0).into());
        json.insert("changes".into(), self.listed.iter().map(Listed::json).collect());
        if !self.unused.is_empty() {
            let unused = self.unused.iter().map(|unused| {
                json!({"file": unused.file.display().to_string(), "line": unused.line,
                    "path": unused.path})
            });
            json.insert("unused-exceptions".into(), unused.collect());
        }
        json
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for (kind, heading) in [
            ("breaking", "Breaking changes"),
            ("excepted", "Accepted breaking changes"),
            ("other", "Other changes"),
        ] {
            let of_kind: Vec<&Listed> =
                self.listed.iter().filter(|listed| listed.kind() == kind).collect();
            if !of_kind.is_empty() {
                text += &format!("{heading} ({}):\n", of_kind.len());
                of_kind.iter().for_each(|listed| text += &listed.human());
            }
        }
        text
    }
}

fn inline_path(path: &Path) -> String {
    inline(&path.display().to_string()).into_owned()
}
