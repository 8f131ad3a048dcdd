//! The project's Markdown files, and what the tests read from them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

/// The crates that are published, and their directories.
pub(crate) const PUBLISHED: [(&str, &str); 8] = [
    ("qmp-schema", "schema"),
    ("qmp-codegen", "qmp-codegen"),
    ("qmp-types", "qmp-types"),
    ("qmp-protocol", "qmp-protocol"),
    ("qmp-client", "qmp-client"),
    ("qmp-server", "qmp-server"),
    ("qmp-vm", "qmp-vm"),
    ("qmp-tools", "qmp-tools"),
];

/// Returns the directory of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the text of a file.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the Markdown files in a directory and below, except for what builds leave there.
pub(crate) fn markdown(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(markdown(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the lines of a text that are not in a block of code, without inline code.
fn prose(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        if !in_code && !is_fence {
            // Every second part is code. What a link shows may be code, and is not needed.
            lines.push(line.split('`').step_by(2).collect());
        }
    }
    lines
}

/// Returns the targets of the links and pictures in a Markdown text.
pub(crate) fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            targets.push(target.to_owned());
        }
        // `[label]: target`
        if let Some((label, target)) = line.split_once("]: ") {
            if label.starts_with('[') {
                targets.push(target.trim().to_owned());
            }
        }
    }
    targets
}

/// Returns the anchors of a Markdown text's headings.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut anchors = Vec::new();
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        if in_code || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        anchors.push(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    anchors
}
