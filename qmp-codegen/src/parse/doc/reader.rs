//! What the lines of a documentation comment say.

use std::fmt;

use crate::ast::{Description, Doc, Name, Section};
use crate::diagnostic::Diagnostic;
use crate::few::Few;
use crate::report::Report;
use crate::schema::SectionKind;
use crate::source::Span;

use super::line::{Beginning, Line};

/// Most texts of more than a line are not longer than this.
const TEXT: usize = 256;

pub(super) struct Reader<'s, 'r> {
    lines: &'r [Line<'s>],
    at: usize,
    /// The line that closes the comment.
    end: Span,
    report: &'r mut Report,
    broken: bool,
    /// Where each member and each feature is described.
    members: Few<&'s str, Span>,
    features: Few<&'s str, Span>,
}

impl<'s, 'r> Reader<'s, 'r> {
    pub(super) fn new(lines: &'r [Line<'s>], end: Span, report: &'r mut Report) -> Self {
        let (members, features) = (Few::new(), Few::new());
        Self { lines, at: 0, end, report, broken: false, members, features }
    }

    /// Reads documentation of nothing in particular.
    pub(super) fn free_form(&mut self) -> String {
        let mut text = String::new();
        let mut begun = false;
        while let Some(line) = self.peek() {
            match line.beginning() {
                Beginning::Description(name, _) if is_one_word(name) => {
                    let message = format!("'@{name}:' has no place in free-form documentation");
                    self.error(line.part(0, name.len() + 2), message);
                }
                Beginning::Description(name, _) => self.warn_of_blank(line, name),
                Beginning::Heading if begun && line.is_old_heading() => {
                    let message = "a heading comes first in its comment";
                    self.report.push(
                        Diagnostic::warning(line.span(), message).help(
                            "QEMU 9.0 to 10.0 refuse it elsewhere, later ones take it for text",
                        ),
                    );
                }
                _ => {}
            }
            begun |= !line.is_blank();
            push_line(&mut text, line.text);
            self.at += 1;
        }
        trimmed(text)
    }

    /// Reads documentation that begins with a name.
    pub(super) fn definition(&mut self, first: &Line<'_>) -> Doc {
        let symbol = first.text.get(1..).unwrap_or_default();
        let name = symbol.strip_suffix(':').unwrap_or(symbol);
        let span = first.part(1, name.len());
        if name.len() == symbol.len() {
            self.error(span, "the line that names the definition ends with ':'");
        } else if name.is_empty() {
            self.error(first.part(0, 1), "a name is missing after '@'");
        }
        let mut doc = Doc {
            symbol: Name { text: name.to_owned(), span },
            body: String::new(),
            members: Vec::new(),
            features: Vec::new(),
            sections: Vec::new(),
            since: None,
            broken: false,
        };
        self.at += 1;
        // Nothing is described once sections have begun.
        let mut closed = false;
        while let Some(line) = self.skip_blank() {
            self.paragraph(line, &mut doc, &mut closed);
        }
        doc.body = trimmed(std::mem::take(&mut doc.body));
        for section in &mut doc.sections {
            section.text = trimmed(std::mem::take(&mut section.text));
        }
        self.check_sections(&doc);
        doc.broken = self.broken;
        doc
    }

    fn paragraph(&mut self, line: &'r Line<'s>, doc: &mut Doc, closed: &mut bool) {
        match line.beginning() {
            Beginning::Features => {
                self.at += 1;
                self.features(line, doc);
                *closed = true;
            }
            Beginning::Description(name, _) if is_one_word(name) => {
                if *closed {
                    let message = format!("the description of '{name}' comes after a section");
                    self.error(line.part(1, name.len()), message);
                }
                self.descriptions(false, &mut doc.members);
                *closed = true;
            }
            Beginning::Since(rest) => {
                self.at += 1;
                let text = self.text(rest, format_args!("Since:"));
                let tag = line.part(0, 6);
                if text.is_empty() {
                    self.error(tag, "a release is missing after 'Since:'");
                } else if doc.since.replace(text).is_some() {
                    self.error(tag, "there is another 'Since:' before");
                }
                *closed = true;
            }
            Beginning::Section(kind, rest) => {
                self.at += 1;
                let text = match kind {
                    SectionKind::Example if rest.is_empty() => self.example(),
                    _ => self.text(rest, format_args!("{}", tag(kind))),
                };
                let length = line.text.find(':').map_or(0, |colon| colon + 1);
                let text_span = self.text_span(line, rest);
                doc.sections.push(Section { kind, span: line.part(0, length), text, text_span });
                *closed = true;
            }
            Beginning::Heading => {
                let message = "a heading has no place in the documentation of a definition";
                self.report.push(
                    Diagnostic::warning(line.span(), message)
                        .help("QEMU up to 10.0 refuses it, later ones take it for text"),
                );
                self.plain(doc);
            }
            Beginning::Description(name, _) => {
                self.warn_of_blank(line, name);
                self.plain(doc);
            }
            Beginning::Plain => self.plain(doc),
        }
    }

    /// A paragraph without a tag: of the overview, or between sections.
    fn plain(&mut self, doc: &mut Doc) {
        let overview = doc.members.is_empty()
            && doc.features.is_empty()
            && doc.sections.is_empty()
            && doc.since.is_none();
        let Some(first) = self.peek() else { return };
        let text = if overview {
            &mut doc.body
        } else {
            if doc.sections.last().is_none_or(|section| section.kind != SectionKind::Plain) {
                let (kind, span) = (SectionKind::Plain, first.span());
                doc.sections.push(Section { kind, span, text: String::new(), text_span: span });
            }
            match doc.sections.last_mut() {
                Some(section) => &mut section.text,
                None => return,
            }
        };
        if !text.is_empty() {
            text.push('\n');
        }
        let first = self.at;
        self.rest_of_paragraph(text);
        self.warn_of_tags(first + 1);
    }

    /// Old releases take descriptions and tags for such wherever a line begins with them.
    fn warn_of_tags(&mut self, first: usize) {
        for line in self.lines.iter().take(self.at).skip(first) {
            let tag = match line.beginning() {
                Beginning::Description(name, _) if is_one_word(name) => format!("@{name}:"),
                Beginning::Since(_) => String::from("Since:"),
                Beginning::Section(kind, _) => tag(kind).to_owned(),
                _ => continue,
            };
            let message = format!("'{tag}' is taken for text inside a paragraph");
            self.report.push(
                Diagnostic::warning(line.part(0, tag.len()), message)
                    .help("QEMU up to 8.2 has it otherwise; put a blank line before it"),
            );
        }
    }

    fn features(&mut self, heading: &Line<'_>, doc: &mut Doc) {
        if !doc.features.is_empty() {
            self.error(heading.span(), "there is another 'Features:' before");
        }
        if !self.descriptions(true, &mut doc.features) {
            let next = self.peek().map_or(self.end, |line| line.span());
            let error = Diagnostic::error(next, "the description of a feature is missing here");
            self.broken = true;
            self.report.push(error.related(heading.span(), "this line asks for it"));
        }
    }

    /// Descriptions, as far as nothing else comes between them; whether there are any.
    fn descriptions(&mut self, of_features: bool, descriptions: &mut Vec<Description>) -> bool {
        let mut found = false;
        while let Some(line) = self.skip_blank() {
            let Beginning::Description(name, rest) = line.beginning() else { break };
            if !is_one_word(name) {
                break;
            }
            found = true;
            self.at += 1;
            let text = self.text(rest, format_args!("@{name}:"));
            let span = line.part(1, name.len());
            let seen = if of_features { &mut self.features } else { &mut self.members };
            if name.is_empty() {
                self.error(line.part(0, 1), "a name is missing after '@'");
            } else if let Some(first) = seen.insert(name, span) {
                let message = format!("'{name}' is described twice");
                self.broken = true;
                self.report.push(Diagnostic::error(span, message).related(*first, "here first"));
            } else {
                if text.is_empty() {
                    self.error(span, format!("text is missing after '@{name}:'"));
                }
                let name = Name { text: name.to_owned(), span };
                let text_span = self.text_span(line, rest);
                descriptions.push(Description { name, text, text_span });
            }
        }
        found
    }

    /// The text of a description or section: the rest of its line, and lines below.
    fn text(&mut self, rest: &str, tag: fmt::Arguments<'_>) -> String {
        if rest.is_empty()
            && let Some(line) = self.peek()
            && !line.is_blank()
            && line.indent() == 0
            && matches!(line.beginning(), Beginning::Plain)
        {
            let message = format!("the text of '{tag}' is not indented");
            self.report.push(
                Diagnostic::warning(line.span(), message)
                    .help("QEMU 9.0 and later do not take it for its text"),
            );
            let mut text = String::new();
            self.rest_of_paragraph(&mut text);
            return trimmed(text);
        }
        self.indented(rest)
    }

    /// Returns the source of a text that was just read: `rest` of the line with the tag, and the
    /// lines below it.
    fn text_span(&self, tag_line: &Line<'_>, rest: &str) -> Span {
        let mut lines = self.lines.iter().take(self.at).rev();
        let last = lines.find(|line| !line.is_blank()).unwrap_or(tag_line);
        let start = tag_line.part(tag_line.text.len() - rest.len(), rest.len());
        Span { end: last.span().end, ..start }
    }

    /// Lines as far as they are indented, below the rest of a tag's line.
    fn indented(&mut self, rest: &str) -> String {
        let mut text = rest.to_owned();
        let tag = self.at;
        let Some(line) = self.skip_blank() else { return trimmed(text) };
        let indent = line.indent();
        if indent == 0 {
            return trimmed(text);
        }
        text.reserve(TEXT);
        text.extend(std::iter::repeat_n('\n', self.at - tag));
        let first = self.at;
        while let Some(line) = self.peek() {
            if !line.is_blank() && line.indent() < indent && self.ends(line, indent, first) {
                break;
            }
            push_line(&mut text, line.text.get(indent..).unwrap_or(line.text.trim_start()));
            self.at += 1;
        }
        trimmed(text)
    }

    /// Whether a line that is less indented ends the text that is `indent` deep since its line
    /// `first`.
    fn ends(&mut self, line: &Line<'_>, indent: usize, first: usize) -> bool {
        let beginning = line.beginning();
        let before = self.at.checked_sub(1).and_then(|at| self.lines.get(at));
        if matches!(beginning, Beginning::Description(..))
            || (line.indent() == 0 && before.is_some_and(Line::is_blank))
        {
            return true;
        }
        let is_tag = matches!(beginning, Beginning::Since(_) | Beginning::Section(..));
        let message = format!("this is less indented than the {indent} spaces before it");
        // From the third line of a text on, QEMU 9.0 and later look no more.
        let help = match (is_tag, self.at == first + 1) {
            (true, true) => "QEMU 9.0 and later refuse it; put a blank line before it",
            (true, false) => return true,
            (false, true) => {
                self.error(line.span(), message);
                return false;
            }
            (false, false) => "QEMU up to 8.2 refuses it, later ones begin a paragraph of its own",
        };
        self.report.push(Diagnostic::warning(line.span(), message).help(help));
        true
    }

    /// An example: old releases do not indent it, and it goes on to the next tag.
    fn example(&mut self) -> String {
        let Some(line) = self.skip_blank() else { return String::new() };
        if line.indent() > 0 || !matches!(line.beginning(), Beginning::Plain) {
            return self.indented("");
        }
        let mut text = String::new();
        let mut blank_before = true;
        while let Some(line) = self.peek() {
            if blank_before && !matches!(line.beginning(), Beginning::Plain) {
                break;
            }
            push_line(&mut text, line.text);
            blank_before = line.is_blank();
            self.at += 1;
        }
        trimmed(text)
    }

    /// Takes the rest of a paragraph.
    fn rest_of_paragraph(&mut self, text: &mut String) {
        while let Some(line) = self.peek().filter(|line| !line.is_blank()) {
            push_line(text, line.text);
            self.at += 1;
        }
    }

    fn check_sections(&mut self, doc: &Doc) {
        let mut seen = Vec::new();
        for section in doc.sections.iter().filter(|section| section.kind != SectionKind::Plain) {
            let tag = tag(section.kind);
            if section.text.is_empty() {
                self.error(section.span, format!("text is missing after '{tag}'"));
            }
            if matches!(section.kind, SectionKind::Returns | SectionKind::Errors) {
                if seen.contains(&section.kind) {
                    self.error(section.span, format!("there is another '{tag}' before"));
                }
                seen.push(section.kind);
            }
        }
    }

    /// Descriptions have names without blanks.
    fn warn_of_blank(&mut self, line: &Line<'_>, name: &str) {
        let message = format!("'@{name}:' is taken for text, not for a description");
        self.report.push(
            Diagnostic::warning(line.part(1, name.len()), message)
                .help("QEMU 9.0 and later refuse it: a name has no blanks"),
        );
    }

    fn error(&mut self, span: Span, message: impl Into<String>) {
        self.broken = true;
        self.report.error(span, message);
    }

    fn peek(&self) -> Option<&'r Line<'s>> {
        self.lines.get(self.at)
    }

    fn skip_blank(&mut self) -> Option<&'r Line<'s>> {
        while self.peek().is_some_and(Line::is_blank) {
            self.at += 1;
        }
        self.peek()
    }
}

fn tag(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Plain => "",
        SectionKind::Returns => "Returns:",
        SectionKind::Errors => "Errors:",
        SectionKind::Note => "Note:",
        SectionKind::Example => "Example:",
        SectionKind::Todo => "TODO:",
    }
}

fn is_one_word(name: &str) -> bool {
    !name.contains(char::is_whitespace)
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// Without blank lines around it; the first line keeps its indentation, which is markup.
fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    let start = text.len() - text.trim_start_matches('\n').len();
    text.drain(..start);
    text
}
