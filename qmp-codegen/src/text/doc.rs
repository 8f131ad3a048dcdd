//! Documentation comments, from the parts that the parser makes of them.

use super::described::Described;
use crate::schema::{Definition, Doc, Section, SectionKind};

/// Documentation that belongs to no definition.
pub(super) fn free_form(text: &str) -> String {
    let mut comment = Comment::new();
    comment.lines(text, "");
    comment.end()
}

/// The documentation of a definition; empty if there is none.
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

    /// `after_body` says that a plain section would continue the overview.
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

    /// A tag or name, and text that is indented below it.
    fn tagged(&mut self, tag: &str, text: &str) {
        self.line("");
        let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
        // The line below the first sets the indentation of those that follow it.
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

/// In front of which section the release stands: at the end, unless it is what keeps two pieces of
/// plain text apart.
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
