//! Reads text that is not indented below its tag.
//!
//! Releases before 9.0 have it: below a line that is only a tag, they accept any indentation. The
//! text of a section then extends to the next tag.

use std::fmt;

use super::{Reader, push_line, trimmed};
use crate::diagnostic::{Diagnostic, Rule};
use crate::parse::doc::line::{Beginning, Line, is_one_word};
use crate::schema::SectionKind;

/// The part of a comment that a text without indentation belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// The text begins directly below the tag, and extends to the next tag or to a paragraph that
    /// is not indented.
    Description,
    /// Like a description, but the text can follow blank lines.
    Since,
    /// The text can follow blank lines, and extends to the next tag.
    Section,
    /// A section that was common without indentation, which therefore causes no warning.
    Example,
}

impl Reader<'_, '_> {
    /// Parses the text below a tag, whose line ends with `rest`. Returns `None` if the text is
    /// indented or missing.
    pub(super) fn unindented(
        &mut self,
        rest: &str,
        part: Part,
        tag: fmt::Arguments<'_>,
    ) -> Option<String> {
        let is_below = self.peek().is_some_and(|line| !line.is_blank());
        let first = match part {
            Part::Description => self.peek()?,
            Part::Since | Part::Section | Part::Example => self.skip_blank()?,
        };
        // Before QEMU 9.0, `Errors:` is text, and so are a name with blanks, and `Features:` directly
        // below a tag.
        let is_text = match first.beginning() {
            Beginning::Plain => true,
            Beginning::Description(name, _) => rest.is_empty() && !is_one_word(name),
            Beginning::Section(SectionKind::Errors, _) => rest.is_empty(),
            Beginning::Features => rest.is_empty() && is_below,
            _ => false,
        };
        if first.is_blank() || first.indent() > 0 || !is_text {
            return None;
        }
        let end = self.end_of_text(part);
        // Below a line with text, QEMU 9.0 and later begin a paragraph, after which they reject
        // descriptions. QEMU 8.1 and 8.2 continue the description.
        let next = self.lines.get(end).map(Line::beginning);
        let continues = matches!(next, Some(Beginning::Description(name, _)) if is_one_word(name));
        if !rest.is_empty() && !continues {
            return None;
        }
        if part != Part::Example {
            let message = format!("the text of '{tag}' is not indented");
            self.report.push(
                Diagnostic::warning(first.span(), message)
                    .help("indent it; QEMU 9.0 and later treat it as a separate paragraph")
                    .by(Rule::DocIndentation),
            );
        }
        let mut text = rest.to_owned();
        while let Some(line) = self.peek().filter(|_| self.at < end) {
            push_line(&mut text, line.text);
            self.at += 1;
        }
        Some(trimmed(text))
    }

    /// Returns the index of the line that ends a text without indentation, which begins here.
    fn end_of_text(&self, part: Part) -> usize {
        let is_limited = matches!(part, Part::Description | Part::Since);
        let mut blank_before = false;
        let ends = |line: &Line<'_>| {
            let is_paragraph = blank_before && !line.is_blank() && line.indent() == 0;
            let ends = (is_paragraph && is_limited) || begins_part(line, blank_before);
            blank_before = line.is_blank();
            ends
        };
        // The first line is text, whatever it looks like.
        let length = self.lines.iter().skip(self.at + 1).position(ends);
        length.map_or(self.lines.len(), |length| self.at + 1 + length)
    }
}

/// Whether a line begins another part of the comment. The releases that do not require indentation
/// recognize most tags at the beginning of any line.
fn begins_part(line: &Line<'_>, blank_before: bool) -> bool {
    match line.beginning() {
        Beginning::Description(name, _) => is_one_word(name),
        Beginning::Since(_) | Beginning::Section(..) => true,
        Beginning::Features | Beginning::Heading => blank_before,
        Beginning::Plain => false,
    }
}
