//! The warnings that a build script shows.

use super::Builder;
use crate::configuration::Configuration;
use crate::diagnostic::render;
use crate::load::{Loaded, Root};

impl Builder {
    /// Returns a line for each warning, or one for all those about documentation: what matters must
    /// not be lost among them.
    pub(super) fn warning_lines(&self, loaded: &Loaded) -> Vec<String> {
        let mut shown = loaded.warnings.clone();
        shown.retain(|warning| self.lint_docs || !warning.is_documentation);
        let hidden = loaded.warnings.len() - shown.len();
        let rendered = render(&loaded.sources, &shown);
        let mut lines = headlines(&rendered, "warning");
        if hidden > 0 {
            lines.push(self.summary(hidden));
        }
        // That it cannot be read is an error already.
        let configuration = self.configuration.read(&loaded.schema).ok().flatten();
        lines.extend(configuration.as_ref().and_then(contradiction));
        lines
    }

    fn summary(&self, count: usize) -> String {
        let what = if count == 1 { "warning" } else { "warnings" };
        let mut files = String::new();
        for root in &self.roots {
            if let Root::File(path) = root {
                files.push_str(&format!(" {}", path.display()));
            }
        }
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
pub(super) fn headlines(rendered: &str, severity: &str) -> Vec<String> {
    let (alone, after_place) = (format!("{severity}: "), format!(": {severity}: "));
    let mut headlines = Vec::new();
    for line in rendered.lines() {
        if let Some(headline) = line.strip_prefix(&alone) {
            headlines.push(headline.to_owned());
        } else if !line.starts_with(' ') && line.contains(&after_place) {
            headlines.push(line.to_owned());
        }
    }
    headlines
}
