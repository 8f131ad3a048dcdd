//! Parses the lines of a documentation comment into its parts.

mod unindented;

use std::fmt;

use crate::ast::{Description, Doc, Name, Section};
use crate::diagnostic::{Diagnostic, Rule};
use crate::few::Few;
use crate::report::Report;
use crate::schema::SectionKind;
use crate::source::Span;

use super::line::{Beginning, Line, is_one_word, tag};
use unindented::Part;

/// The number of bytes that most texts of several lines do not exceed.
const TEXT: usize = 256;

pub(super) struct Reader<'s, 'r> {
    lines: &'r [Line<'s>],
    at: usize,
    report: &'r mut Report,
    broken: bool,
    /// The location of the description of each member.
    members: Few<&'s str, Span>,
    /// The location of the description of each feature.
    features: Few<&'s str, Span>,
}

impl<'s, 'r> Reader<'s, 'r> {
    pub(super) fn new(lines: &'r [Line<'s>], report: &'r mut Report) -> Self {
        let (members, features) = (Few::new(), Few::new());
        Self { lines, at: 0, report, broken: false, members, features }
    }

    /// Parses free-form documentation.
    pub(super) fn free_form(&mut self) -> String {
        let mut text = String::new();
        let mut begun = false;
        while let Some(line) = self.peek() {
            match line.beginning() {
                Beginning::Description(name, _) if is_one_word(name) => {
                    let message = format!("unexpected '@{name}:' in free-form documentation");
                    self.error(line.part(0, name.len() + 2), message);
                }
                Beginning::Description(name, _) => self.warn_of_blank(line, name),
                Beginning::Heading if begun && line.is_old_heading() => {
                    let message = "a heading must be the first line of its comment";
                    let help = "QEMU 9.0 to 10.0 reject other headings, and later releases treat \
                                them as text";
                    self.report.push(
                        Diagnostic::warning(line.span(), message).help(help).by(Rule::DocTag),
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

    /// Parses the documentation of a definition, whose first line is its name.
    pub(super) fn definition(&mut self, first: &Line<'_>) -> Doc {
        let symbol = first.text.get(1..).unwrap_or_default();
        let name = symbol.strip_suffix(':').unwrap_or(symbol);
        let span = first.part(1, name.len());
        if name.len() == symbol.len() {
            self.error(span, "the line that names the definition must end with ':'");
        } else if name.is_empty() {
            self.error(first.part(0, 1), "missing name after '@'");
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
        // Whether the descriptions of members are complete.
        let mut complete = false;
        while let Some(line) = self.skip_blank() {
            self.paragraph(line, &mut doc, &mut complete);
        }
        doc.body = trimmed(std::mem::take(&mut doc.body));
        for section in &mut doc.sections {
            section.text = trimmed(std::mem::take(&mut section.text));
        }
        self.check_sections(&doc);
        doc.broken = self.broken;
        doc
    }

    fn paragraph(&mut self, line: &'r Line<'s>, doc: &mut Doc, complete: &mut bool) {
        match line.beginning() {
            Beginning::Features => {
                self.at += 1;
                self.features(line, doc);
                *complete = true;
            }
            Beginning::Description(name, _) if is_one_word(name) => {
                let is_after_errors =
                    doc.sections.iter().all(|section| section.kind == SectionKind::Errors);
                if *complete && is_after_errors && !doc.sections.is_empty() {
                    let message = format!("description of '{name}' after 'Errors:'");
                    let help = "QEMU 9.0 and later reject it; put it before all sections";
                    let warning = Diagnostic::warning(line.part(1, name.len()), message);
                    self.report.push(warning.help(help).by(Rule::DocTag));
                } else if *complete {
                    let message = format!("misplaced description of '{name}'");
                    let help = "put it directly after the other descriptions, before any section";
                    self.broken = true;
                    self.report.push(
                        Diagnostic::error(line.part(1, name.len()), message)
                            .help(help)
                            .by(Rule::DocTag),
                    );
                }
                self.descriptions(false, &mut doc.members);
                *complete = true;
            }
            Beginning::Since(rest) => {
                self.at += 1;
                let text = self.text(rest, Part::Since, format_args!("Since:"));
                let tag = line.part(0, 6);
                if text.is_empty() {
                    self.error(tag, "missing release after 'Since:'");
                } else if doc.since.replace(text).is_some() {
                    self.error(tag, "duplicate section 'Since:'");
                }
                *complete = true;
            }
            Beginning::Section(kind, rest) => {
                self.at += 1;
                let part = match kind {
                    SectionKind::Example => Part::Example,
                    // Releases that do not require indentation do not have this tag.
                    SectionKind::Errors => Part::Description,
                    _ => Part::Section,
                };
                let text = self.text(rest, part, format_args!("{}", tag(kind)));
                let length = line.text.find(':').map_or(0, |colon| colon + 1);
                let text_span = self.text_span(line, rest);
                doc.sections.push(Section { kind, span: line.part(0, length), text, text_span });
                *complete = true;
            }
            Beginning::Heading => {
                let message = "the documentation of a definition cannot contain a heading";
                self.report.push(
                    Diagnostic::warning(line.span(), message)
                        .help("QEMU up to 10.0 rejects it, and later releases treat it as text")
                        .by(Rule::DocTag),
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

    /// Parses a paragraph without a tag, either of the overview or between sections.
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
        self.rest_of_paragraph(text, overview);
        self.warn_of_tags(first + 1);
    }

    /// Warns of descriptions and tags inside a paragraph, which old releases recognize at the
    /// beginning of any line.
    fn warn_of_tags(&mut self, first: usize) {
        for line in self.lines.iter().take(self.at).skip(first) {
            let tag = match line.beginning() {
                Beginning::Description(name, _) if is_one_word(name) => format!("@{name}:"),
                Beginning::Since(_) => String::from("Since:"),
                Beginning::Section(kind, _) => tag(kind).to_owned(),
                _ => continue,
            };
            let message = format!("'{tag}' inside a paragraph is treated as text");
            self.report.push(
                Diagnostic::warning(line.part(0, tag.len()), message)
                    .help("QEMU up to 8.2 treats it as a tag; put a blank line before it")
                    .by(Rule::DocTag),
            );
        }
    }

    fn features(&mut self, heading: &Line<'_>, doc: &mut Doc) {
        if !doc.features.is_empty() {
            self.error(heading.span(), "duplicate section 'Features:'");
        }
        if !self.descriptions(true, &mut doc.features) {
            let warning = Diagnostic::warning(heading.span(), "'Features:' without a description");
            let help = "remove it; QEMU 9.0 and later reject it";
            self.report.push(warning.help(help).by(Rule::DocSection));
        }
    }

    /// Parses consecutive descriptions. Returns whether there are any.
    fn descriptions(&mut self, of_features: bool, descriptions: &mut Vec<Description>) -> bool {
        let mut found = false;
        while let Some(line) = self.skip_blank() {
            let Beginning::Description(name, rest) = line.beginning() else { break };
            if !is_one_word(name) {
                break;
            }
            found = true;
            self.at += 1;
            let text = self.text(rest, Part::Description, format_args!("@{name}:"));
            let span = line.part(1, name.len());
            let seen = if of_features { &mut self.features } else { &mut self.members };
            if name.is_empty() {
                self.error(line.part(0, 1), "missing name after '@'");
            } else if let Some(first) = seen.insert(name, span) {
                let message = format!("duplicate description of '{name}'");
                self.broken = true;
                self.report
                    .push(Diagnostic::error(span, message).related(*first, "first described here"));
            } else {
                if text.is_empty() {
                    self.error(span, format!("missing text after '@{name}:'"));
                }
                let name = Name { text: name.to_owned(), span };
                let text_span = self.text_span(line, rest);
                descriptions.push(Description { name, text, text_span });
            }
        }
        found
    }

    /// Parses the text of a description or section: the rest of its line and the lines below.
    fn text(&mut self, rest: &str, part: Part, tag: fmt::Arguments<'_>) -> String {
        let can_be_unindented = rest.is_empty() || part == Part::Description;
        let unindented = if can_be_unindented { self.unindented(rest, part, tag) } else { None };
        unindented.unwrap_or_else(|| self.indented(rest))
    }

    /// Returns the source of a text that was just read: `rest` of the line with the tag, and the
    /// lines below it.
    fn text_span(&self, tag_line: &Line<'_>, rest: &str) -> Span {
        let mut lines = self.lines.iter().take(self.at).rev();
        let last = lines.find(|line| !line.is_blank()).unwrap_or(tag_line);
        let start = tag_line.part(tag_line.text.len() - rest.len(), rest.len());
        Span { end: last.span().end, ..start }
    }

    /// Parses the indented lines below a tag, whose line ends with `rest`.
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
        let tag_line = tag.checked_sub(1).and_then(|at| self.lines.get(at));
        let column = tag_line.map_or(0, |line| line.text.len() - rest.len());
        let text_of = TextOf { indent, first: self.at, column, bare: rest.is_empty() };
        while let Some(line) = self.peek() {
            let own = line.indent();
            if !line.is_blank() && own < indent && self.ends(line, &text_of) {
                break;
            }
            push_line(&mut text, line.text.get(indent.min(own)..).unwrap_or_default());
            self.at += 1;
        }
        trimmed(text)
    }

    /// Whether a line ends a text because it is indented less than the text.
    fn ends(&mut self, line: &Line<'_>, text: &TextOf) -> bool {
        let TextOf { indent, first, column, bare } = *text;
        let beginning = line.beginning();
        let before = self.at.checked_sub(1).and_then(|at| self.lines.get(at));
        if matches!(beginning, Beginning::Description(..))
            || (line.indent() == 0 && before.is_some_and(Line::is_blank))
        {
            return true;
        }
        let is_tag = matches!(beginning, Beginning::Since(_) | Beginning::Section(..));
        let message = format!("expected an indentation of at least {indent} spaces");
        // QEMU 9.0 and later only check the second line of a text.
        let is_second = self.at == first + 1;
        let help = match (is_tag, is_second) {
            (true, true) => "QEMU 9.0 and later reject it; put a blank line before it",
            (true, false) => return true,
            (false, true) if bare => "QEMU 9.0 and later reject it",
            // QEMU up to 8.0 requires the column in which the text begins beside its tag.
            (false, true) if line.indent() >= column => "QEMU 8.1 and later reject it",
            (false, true) => {
                self.broken = true;
                self.report.push(Diagnostic::error(line.span(), message).by(Rule::DocIndentation));
                return false;
            }
            (false, false) if bare => "QEMU 9.0 and later begin a new paragraph",
            (false, false) => "QEMU up to 8.2 rejects it, and later releases begin a new paragraph",
        };
        let warning = Diagnostic::warning(line.span(), message).help(help);
        self.report.push(warning.by(Rule::DocIndentation));
        // QEMU 7.2 accepts any indentation below a line that is only a tag.
        let is_beside = is_second && line.indent() >= column;
        is_tag || !(bare || is_beside)
    }

    /// Appends the rest of a paragraph to a text. `overview` is whether the text is the overview.
    fn rest_of_paragraph(&mut self, text: &mut String, overview: bool) {
        let first = self.at;
        while let Some(line) = self.peek().filter(|line| !line.is_blank()) {
            if overview && self.at > first && self.begins_features(line) {
                let message = "'Features:' is not at the beginning of a paragraph";
                let help = "put a blank line before it; QEMU 9.0 and later treat it as text";
                let warning = Diagnostic::warning(line.span(), message).help(help);
                self.report.push(warning.by(Rule::DocTag));
                return;
            }
            push_line(text, line.text);
            self.at += 1;
        }
    }

    /// Whether the line is `Features:` with a description directly below it.
    fn begins_features(&self, line: &Line<'_>) -> bool {
        let below = self.lines.get(self.at + 1).map(Line::beginning);
        matches!(line.beginning(), Beginning::Features)
            && matches!(below, Some(Beginning::Description(name, _)) if is_one_word(name))
    }

    fn check_sections(&mut self, doc: &Doc) {
        let mut seen = Vec::new();
        for section in doc.sections.iter().filter(|section| section.kind != SectionKind::Plain) {
            let tag = tag(section.kind);
            if section.text.is_empty() {
                self.section_error(section.span, format!("missing text after '{tag}'"));
            }
            if matches!(section.kind, SectionKind::Returns | SectionKind::Errors) {
                if section.kind == SectionKind::Errors && seen.contains(&section.kind) {
                    let warning =
                        Diagnostic::warning(section.span, format!("duplicate section '{tag}'"));
                    let help = "QEMU 9.0 and later reject it";
                    self.report.push(warning.help(help).by(Rule::DocSection));
                } else if seen.contains(&section.kind) {
                    self.section_error(section.span, format!("duplicate section '{tag}'"));
                }
                seen.push(section.kind);
            }
        }
    }

    fn section_error(&mut self, span: Span, message: String) {
        self.broken = true;
        self.report.push(Diagnostic::error(span, message).by(Rule::DocSection));
    }

    /// Warns of a description whose name contains blanks.
    fn warn_of_blank(&mut self, line: &Line<'_>, name: &str) {
        let message = format!("'@{name}:' is treated as text, not as a description");
        self.report.push(
            Diagnostic::warning(line.part(1, name.len()), message)
                .help("QEMU 9.0 and later reject it, because a name cannot contain blanks"),
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

/// The text of a tag, which is being read.
struct TextOf {
    /// The indentation of its first line below the tag.
    indent: usize,
    /// The index of that line.
    first: usize,
    /// The column in which the text beside the tag begins.
    column: usize,
    /// Whether nothing is beside the tag.
    bare: bool,
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// Removes leading and trailing blank lines. The first line keeps its indentation, which is markup.
fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    let start = text.len() - text.trim_start_matches('\n').len();
    text.drain(..start);
    text
}
