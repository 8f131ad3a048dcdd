//! Documentation comments.
//!
//! ```text
//! ##                       a block: from `##` to `##`
//! # @name:                 what it documents; without this line, it is free-form
//! #
//! # Paragraphs.            the overview
//! #
//! # @member: Text          descriptions, their further lines indented
//! #     goes on.
//! #
//! # Features:
//! # @feature: Text
//! #
//! # Returns: Text          sections, each with a tag
//! ##
//! ```
//!
//! A description or section begins with the first line of a paragraph, nowhere else.

use crate::ast::{Description, Doc, Name, Section};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Comment, Lexer};
use crate::report::Report;
use crate::schema::SectionKind;
use crate::source::Span;

/// A documentation comment.
pub(super) enum Block {
    /// Of a definition.
    Definition(Doc),
    /// Of nothing in particular.
    FreeForm(String),
}

/// Reads the comment that begins with `start`.
///
/// Fails where it cannot be told where the comment ends; what is wrong inside is only reported.
pub(super) fn parse(
    lexer: &mut Lexer<'_>,
    start: Comment<'_>,
    report: &mut Report,
) -> Result<Block, Diagnostic> {
    if start.text != "##" {
        let message = "a documentation comment begins with a line that is only '##'";
        return Err(Diagnostic::error(start.span, message));
    }
    let mut lines = Vec::new();
    loop {
        let Some(comment) = lexer.comment() else {
            let error = Diagnostic::error(start.span, "this documentation comment is not closed");
            return Err(error.help("it ends with a line that is only '##'"));
        };
        if comment.text.starts_with("##") {
            if comment.text == "##" {
                break;
            }
            let message = "a documentation comment ends with a line that is only '##'";
            return Err(Diagnostic::error(comment.span, message));
        }
        let text = comment.text.get(1..).unwrap_or_default();
        match text.strip_prefix(' ') {
            Some(text) => lines.push(Line { text, span: comment.span, offset: 2 }),
            None if text.is_empty() => lines.push(Line { text, span: comment.span, offset: 1 }),
            None => return Err(Diagnostic::error(comment.span, "a space is missing after '#'")),
        }
    }
    let mut reader = Reader { lines: &lines, at: 0, report, broken: false };
    match lines.first() {
        Some(line) if line.text.starts_with('@') => Ok(Block::Definition(reader.definition(line))),
        _ => Ok(Block::FreeForm(reader.free_form())),
    }
}

/// A line without `# `.
#[derive(Clone, Copy, Debug)]
struct Line<'s> {
    text: &'s str,
    /// The whole comment.
    span: Span,
    /// How many bytes of the comment come before the text.
    offset: u32,
}

impl Line<'_> {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    /// A part of the line, by its bytes.
    fn part(&self, start: usize, length: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let start = self.span.start + self.offset + narrow(start);
        Span { start, end: start + narrow(length), ..self.span }
    }

    /// What begins with this line, if it is the first of a paragraph.
    fn beginning(&self) -> Beginning {
        if self.text == "Features:" {
            return Beginning::Features;
        }
        if self.text.starts_with('=') {
            return Beginning::Heading;
        }
        if let Some((name, rest)) = self.text.strip_prefix('@').and_then(|t| t.split_once(':')) {
            let name = Name { text: name.to_owned(), span: self.part(1, name.len()) };
            return Beginning::Description(name, rest.trim().to_owned());
        }
        let Some((tag, rest)) = self.text.split_once(':') else { return Beginning::Plain };
        // `Note::` is markup.
        if rest.starts_with(':') {
            return Beginning::Plain;
        }
        let rest = rest.trim().to_owned();
        match tag {
            "Since" => Beginning::Since(rest),
            "Returns" => Beginning::Section(SectionKind::Returns, rest),
            "Errors" => Beginning::Section(SectionKind::Errors, rest),
            "Note" | "Notes" => Beginning::Section(SectionKind::Note, rest),
            "Example" | "Examples" => Beginning::Section(SectionKind::Example, rest),
            "TODO" => Beginning::Section(SectionKind::Todo, rest),
            _ => Beginning::Plain,
        }
    }
}

/// What a paragraph begins.
enum Beginning {
    Features,
    Heading,
    Description(Name, String),
    Since(String),
    Section(SectionKind, String),
    Plain,
}

struct Reader<'s, 'r> {
    lines: &'s [Line<'s>],
    at: usize,
    report: &'r mut Report,
    broken: bool,
}

impl<'s> Reader<'s, '_> {
    fn error(&mut self, span: Span, message: impl Into<String>) {
        self.broken = true;
        self.report.error(span, message);
    }

    fn peek(&self) -> Option<&'s Line<'s>> {
        self.lines.get(self.at)
    }

    fn skip_blank(&mut self) -> Option<&'s Line<'s>> {
        while self.peek().is_some_and(|line| line.text.is_empty()) {
            self.at += 1;
        }
        self.peek()
    }

    fn free_form(&mut self) -> String {
        let mut text = String::new();
        while let Some(line) = self.peek() {
            if let Beginning::Description(name, _) = line.beginning() {
                let message = format!("'@{}:' has no place in free-form documentation", name.text);
                self.error(name.span, message);
            }
            if line.text.starts_with('=') && !text.trim().is_empty() {
                self.error(
                    line.part(0, line.text.len()),
                    "a heading must come first in its comment",
                );
            }
            push_line(&mut text, line.text);
            self.at += 1;
        }
        trimmed(text)
    }

    fn definition(&mut self, first: &Line<'_>) -> Doc {
        let symbol = first.text.get(1..).unwrap_or_default();
        let (name, colon) = match symbol.strip_suffix(':') {
            Some(name) => (name, true),
            None => (symbol, false),
        };
        let span = first.part(1, name.len());
        if !colon {
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

    fn paragraph(&mut self, line: &'s Line<'s>, doc: &mut Doc, closed: &mut bool) {
        match line.beginning() {
            Beginning::Features => {
                self.at += 1;
                self.features(line, doc);
                *closed = true;
            }
            Beginning::Description(name, rest) if is_one_word(&name) => {
                if *closed {
                    let message =
                        format!("the description of '{}' comes after a section", name.text);
                    self.error(name.span, message);
                }
                self.at += 1;
                let text = self.indented(&rest);
                self.describe(&mut doc.members, name, text);
            }
            Beginning::Since(rest) => {
                self.at += 1;
                let text = self.indented(&rest);
                if text.is_empty() {
                    self.error(line.part(0, 6), "a release is missing after 'Since:'");
                } else if doc.since.replace(text).is_some() {
                    self.error(line.part(0, 6), "there is another 'Since:' before");
                }
                *closed = true;
            }
            Beginning::Section(kind, rest) => {
                self.at += 1;
                let text = match kind {
                    SectionKind::Example if rest.is_empty() => self.example(),
                    _ => self.indented(&rest),
                };
                let tag = line.text.find(':').unwrap_or_default();
                doc.sections.push(Section { kind, span: line.part(0, tag), text });
                *closed = true;
            }
            Beginning::Heading => {
                let span = line.part(0, line.text.len());
                self.error(span, "a heading has no place in the documentation of a definition");
                self.at += 1;
            }
            Beginning::Description(name, _) => {
                let message = format!("'@{}:' is taken for text, not for a description", name.text);
                self.report.push(
                    Diagnostic::warning(name.span, message)
                        .help("QEMU 8.2 and later refuse it: a name is followed by ':' at once"),
                );
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
                let span = first.part(0, first.text.len());
                let kind = SectionKind::Plain;
                doc.sections.push(Section { kind, span, text: String::new() });
            }
            match doc.sections.last_mut() {
                Some(section) => &mut section.text,
                None => return,
            }
        };
        if !text.is_empty() {
            text.push('\n');
        }
        while let Some(line) = self.lines.get(self.at).filter(|line| !line.text.is_empty()) {
            push_line(text, line.text);
            self.at += 1;
        }
    }

    fn features(&mut self, heading: &Line<'_>, doc: &mut Doc) {
        if !doc.features.is_empty() {
            self.error(heading.part(0, heading.text.len()), "there is another 'Features:' before");
        }
        let before = doc.features.len();
        while let Some(line) = self.skip_blank() {
            match line.beginning() {
                Beginning::Description(name, rest) if is_one_word(&name) => {
                    self.at += 1;
                    let text = self.indented(&rest);
                    self.describe(&mut doc.features, name, text);
                }
                _ => break,
            }
        }
        if doc.features.len() == before {
            let span = heading.part(0, heading.text.len());
            self.error(span, "descriptions of features are missing below 'Features:'");
        }
    }

    fn describe(&mut self, descriptions: &mut Vec<Description>, name: Name, text: String) {
        if name.text.is_empty() {
            self.error(
                Span { end: name.span.start + 1, ..name.span },
                "a name is missing after '@'",
            );
        } else if let Some(first) = descriptions.iter().find(|other| other.name.text == name.text) {
            let message = format!("'{}' is described twice", name.text);
            let error =
                Diagnostic::error(name.span, message).related(first.name.span, "here first");
            self.broken = true;
            self.report.push(error);
        } else {
            descriptions.push(Description { name, text });
        }
    }

    /// The rest of a description or section: further lines, as far as they are indented.
    fn indented(&mut self, first: &str) -> String {
        let mut text = first.to_owned();
        let start = self.at;
        let Some(line) = self.skip_blank() else { return trimmed(text) };
        let indent = line.indent();
        if indent == 0 {
            return trimmed(text);
        }
        text.extend(std::iter::repeat_n('\n', self.at - start));
        let mut blank_before = false;
        while let Some(line) = self.peek() {
            let is_blank = line.text.is_empty();
            if !is_blank && line.indent() < indent {
                let begins = matches!(line.beginning(), Beginning::Description(..));
                if line.indent() == 0 && (blank_before || begins) {
                    break;
                }
                let message = format!("this is less indented than the {indent} spaces before it");
                self.error(line.part(0, line.text.len()), message);
            }
            push_line(&mut text, line.text.get(indent..).unwrap_or(line.text.trim_start()));
            blank_before = is_blank;
            self.at += 1;
        }
        trimmed(text)
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
            blank_before = line.text.is_empty();
            self.at += 1;
        }
        trimmed(text)
    }

    fn check_sections(&mut self, doc: &Doc) {
        for (index, section) in doc.sections.iter().enumerate() {
            let tag = match section.kind {
                SectionKind::Returns => "Returns:",
                SectionKind::Errors => "Errors:",
                SectionKind::Note => "Note:",
                SectionKind::Example => "Example:",
                SectionKind::Plain | SectionKind::Todo => continue,
            };
            if section.text.is_empty() {
                self.error(section.span, format!("text is missing after '{tag}'"));
            }
            let once = matches!(section.kind, SectionKind::Returns | SectionKind::Errors);
            let mut before = doc.sections.iter().take(index);
            if once && before.any(|other| other.kind == section.kind) {
                self.error(section.span, format!("there is another '{tag}' before"));
            }
        }
    }
}

/// Descriptions have names without blanks; `@name :` is text to some releases, an error to others.
fn is_one_word(name: &Name) -> bool {
    !name.text.contains(char::is_whitespace)
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
