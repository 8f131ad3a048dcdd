//! The warnings that a build script shows.

use super::Builder;
use crate::configuration::Configuration;
use crate::diagnostic::{Diagnostic, render};
use crate::load::{Loaded, Root};

impl Builder {
    /// Returns a line for each warning, or one for all those about documentation: what matters must
    /// not be lost among them.
    pub(super) fn warning_lines(&self, loaded: &Loaded) -> Vec<String> {
        let is_shown = |warning: &Diagnostic| self.lint_docs || !warning.is_documentation;
        let (shown, hidden): (Vec<_>, Vec<_>) = loaded.warnings.iter().cloned().partition(is_shown);
        let rendered = render(&loaded.sources, &shown);
        let mut lines: Vec<String> = headlines(&rendered, "warning").map(String::from).collect();
        if !hidden.is_empty() {
            lines.push(self.summary(hidden.len()));
        }
        // That it cannot be read is an error already.
        let configuration = self.configuration.read(&loaded.schema).ok().flatten();
        lines.extend(configuration.as_ref().and_then(contradiction));
        lines
    }

    fn summary(&self, count: usize) -> String {
        let what = if count == 1 { "warning" } else { "warnings" };
        let files: String = self
            .roots
            .iter()
            .filter_map(|root| match root {
                Root::File(path) => Some(format!(" {}", path.display())),
                Root::Text { .. } => None,
            })
            .collect();
        // The program only reads files.
        let program = match files.as_str() {
            "" => String::new(),
            files => format!("`qmp-schema check{files}` or "),
        };
        format!(
            "the schema has {count} {what} about documentation, which {program}\
             `Builder::lint_docs(true)` shows"
        )
    }
}

fn contradiction(configuration: &Configuration) -> Option<String> {
    let symbols: Vec<&str> = configuration.contradictory().collect();
    (!symbols.is_empty()).then(|| {
        format!(
            "the reply to query-qmp-schema contradicts the schema about {}; use the schema of the \
             binary's release",
            symbols.join(", ")
        )
    })
}

/// Returns the first lines of rendered diagnostics, without the excerpts below them.
pub(super) fn headlines<'r>(rendered: &'r str, severity: &str) -> impl Iterator<Item = &'r str> {
    let (alone, after_place) = (format!("{severity}: "), format!(": {severity}: "));
    rendered.lines().filter(|line| !line.starts_with(' ')).filter_map(move |line| {
        let headline = line.strip_prefix(&alone);
        headline.or_else(|| line.contains(&after_place).then_some(line))
    })
}
