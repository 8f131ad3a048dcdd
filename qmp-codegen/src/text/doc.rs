//! Writes documentation comments.

use super::described::Described;
use crate::schema::{Definition, Doc, Section, SectionKind};

/// Writes free-form documentation.
pub(super) fn free_form(text: &str) -> String {
    let mut comment = Comment::new();
    comment.lines(text, "");
    comment.end()
}

/// Writes the documentation of a definition. Returns an empty string if it has none.
pub(super) fn definition(described: &Described<'_>) -> String {
    if !described.is_documented() {
        return String::new();
    }
    let Definition { name, doc, .. } = described.definition;
    let members = || described.members.iter().filter(|(_, text)| !text.is_empty());
    let features = described.described_features();
    let mut comment = Comment::new();
    comment.line(&format!("@{name}:"));
    if !doc.body.is_empty() {
        comment.line("");
        comment.lines(&doc.body, "");
    }
    for (name, text) in members() {
        comment.tagged(&format!("@{name}:"), text);
    }
    if !features.is_empty() {
        comment.line("");
        comment.line("Features:");
    }
    for feature in &features {
        comment.tagged(&format!("@{}:", feature.name), &feature.doc);
    }
    comment.sections(doc, members().next().is_none() && features.is_empty());
    comment.end()
}

struct Comment(String);

impl Comment {
    fn new() -> Self {
        Self(String::from("##\n"))
    }

    fn end(mut self) -> String {
        self.0.push_str("##\n");
        self.0
    }

    /// Writes sections. `after_body` tells that the overview comes directly before them.
    fn sections(&mut self, doc: &Doc, after_body: bool) {
        let since_at = since_position(&doc.sections, after_body);
        for (index, section) in doc.sections.iter().enumerate() {
            if index == since_at {
                self.since(doc);
            }
            match tag(section.kind) {
                Some(tag) => self.tagged(tag, &section.text),
                None => {
                    self.line("");
                    self.lines(&section.text, "");
                }
            }
        }
        if since_at >= doc.sections.len() {
            self.since(doc);
        }
    }

    fn since(&mut self, doc: &Doc) {
        if let Some(since) = &doc.since {
            self.tagged("Since:", since);
        }
    }

    /// Writes a tag or name, and indents the text below it.
    fn tagged(&mut self, tag: &str, text: &str) {
        self.line("");
        let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
        // The second line determines the indentation of those after it.
        let below = rest.lines().find(|line| !line.is_empty()).unwrap_or_default();
        if [head, below].iter().any(|line| line.starts_with([' ', '\t'])) {
            self.line(tag);
            self.lines(text, "    ");
        } else {
            self.line(&format!("{tag} {head}"));
            self.lines(rest, "    ");
        }
    }

    fn lines(&mut self, text: &str, indent: &str) {
        for line in text.lines() {
            let filled = if line.is_empty() { String::new() } else { format!("{indent}{line}") };
            self.line(&filled);
        }
    }

    fn line(&mut self, text: &str) {
        self.0.push('#');
        if !text.is_empty() {
            self.0.push(' ');
            self.0.push_str(text);
        }
        self.0.push('\n');
    }
}

/// Returns the index of the section before which `Since:` is written.
///
/// This is the end, unless `Since:` must separate two plain sections, or the overview from one.
fn since_position(sections: &[Section], after_body: bool) -> usize {
    let plain = |section: &Section| section.kind == SectionKind::Plain;
    if after_body && sections.first().is_some_and(plain) {
        return 0;
    }
    let together = sections.windows(2).position(|pair| pair.iter().all(plain));
    together.map_or(sections.len(), |first| first + 1)
}

fn tag(kind: SectionKind) -> Option<&'static str> {
    match kind {
        SectionKind::Plain => None,
        SectionKind::Returns => Some("Returns:"),
        SectionKind::Errors => Some("Errors:"),
        SectionKind::Note => Some("Note:"),
        SectionKind::Example => Some("Example:"),
        SectionKind::Todo => Some("TODO:"),
    }
}
