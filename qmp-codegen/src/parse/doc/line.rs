//! Classifies the lines of a documentation comment.

use crate::lexer::Comment;
use crate::schema::SectionKind;
use crate::source::Span;

/// A line without `# ` and trailing space.
#[derive(Clone, Copy)]
pub(super) struct Line<'s> {
    pub(super) text: &'s str,
    /// The whole comment.
    comment: Span,
    /// The number of bytes of the comment before the text.
    offset: u32,
}

/// The meaning of the first line of a paragraph.
#[derive(Clone, Copy)]
pub(super) enum Beginning<'s> {
    Features,
    /// `= Title`, a heading up to QEMU 10.0.
    Heading,
    /// `@name:`, with the name and the rest of the line.
    Description(&'s str, &'s str),
    Since(&'s str),
    Section(SectionKind, &'s str),
    Plain,
}

impl<'s> Line<'s> {
    /// Returns the line of a comment, or `None` if `#` is not followed by a space.
    pub(super) fn of(comment: Comment<'s>) -> Option<Self> {
        let rest = comment.text.get(1..).unwrap_or_default();
        let (text, offset) = match rest.strip_prefix(' ') {
            Some(text) => (text.trim_end(), 2),
            None if rest.is_empty() => (rest, 1),
            None => return None,
        };
        Some(Self { text, comment: comment.span, offset })
    }

    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the indentation of the text in bytes.
    pub(super) fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches([' ', '\t']).len()
    }

    /// Returns the location of the text.
    pub(super) fn span(&self) -> Span {
        self.part(0, self.text.len())
    }

    /// Returns the location of a part of the text, given in bytes.
    pub(super) fn part(&self, start: usize, length: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let start = self.comment.start + self.offset + narrow(start);
        Span { start, end: start + narrow(length), ..self.comment }
    }

    /// Returns the meaning of the line if it is the first of a paragraph.
    pub(super) fn beginning(&self) -> Beginning<'s> {
        if self.text == "Features:" {
            return Beginning::Features;
        }
        if self.text.starts_with('=') {
            return Beginning::Heading;
        }
        let Some((tag, rest)) = self.text.split_once(':') else { return Beginning::Plain };
        if let Some(name) = tag.strip_prefix('@') {
            return Beginning::Description(name, rest.trim_start());
        }
        // `Note::` is markup.
        if rest.starts_with(':') {
            return Beginning::Plain;
        }
        let rest = rest.trim_start();
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

    /// Whether the line is `= Title`, a heading up to QEMU 10.0.
    ///
    /// Later releases write headings between lines that can consist of `=`.
    pub(super) fn is_old_heading(&self) -> bool {
        self.text.starts_with('=') && self.text.contains(|c| c != '=')
    }
}

/// Returns the tag with which a section begins.
pub(super) fn tag(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Plain => "",
        SectionKind::Returns => "Returns:",
        SectionKind::Errors => "Errors:",
        SectionKind::Note => "Note:",
        SectionKind::Example => "Example:",
        SectionKind::Todo => "TODO:",
    }
}

/// Whether a name does not contain blanks, so that `@name:` begins a description.
pub(super) fn is_one_word(name: &str) -> bool {
    !name.contains(char::is_whitespace)
}
