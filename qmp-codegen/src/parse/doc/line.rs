//! The lines of a documentation comment, and what can begin with one.

use crate::lexer::Comment;
use crate::schema::SectionKind;
use crate::source::Span;

/// A line without `# `, and without space at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'s> {
    pub(super) text: &'s str,
    /// The whole comment.
    comment: Span,
    /// How many bytes of the comment come before the text.
    offset: u32,
}

/// What a paragraph begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beginning<'s> {
    Features,
    /// `= Title`, which releases up to 10.0 took for a heading.
    Heading,
    /// `@name:`, and what follows on the line.
    Description(&'s str, &'s str),
    Since(&'s str),
    Section(SectionKind, &'s str),
    Plain,
}

impl<'s> Line<'s> {
    /// The line of a comment; nothing if it does not go on with a space behind its `#`.
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

    /// How far the text is indented, in bytes.
    pub(super) fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches([' ', '\t']).len()
    }

    /// The place of the text.
    pub(super) fn span(&self) -> Span {
        self.part(0, self.text.len())
    }

    /// The place of a part of the text, by its bytes.
    pub(super) fn part(&self, start: usize, length: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let start = self.comment.start + self.offset + narrow(start);
        Span { start, end: start + narrow(length), ..self.comment }
    }

    /// What begins with this line, if it is the first of a paragraph.
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

    /// `= Title`: a heading to releases up to 10.0. Later ones underline and overline theirs, with
    /// lines of nothing but `=` among others.
    pub(super) fn is_old_heading(&self) -> bool {
        self.text.starts_with('=') && self.text.contains(|c| c != '=')
    }
}
