//! The files of a schema, and locations in them.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A location in a file of a schema: the bytes from `start` to `end`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// Returns a number that is larger for each later place.
    pub(crate) fn place(self) -> u128 {
        let Self { file, start, end } = self;
        (u128::from(file.0) << 64) | (u128::from(start) << 32) | u128::from(end)
    }
}

/// The index of a [`File`] in its [`Sources`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FileId(pub u32);

/// A file of a schema, as it was read.
#[derive(Clone, Debug)]
pub struct File {
    /// The path as it was opened, which diagnostics show.
    pub path: PathBuf,
    /// The text of the file.
    pub text: Arc<str>,
    /// The `include` that the file was read for; `None` for a root.
    pub included_from: Option<Span>,
}

/// Every file of a schema, both roots and included files.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<File>,
    /// The marks of each file, once a position in it is asked for.
    marks: Vec<OnceLock<Vec<Mark>>>,
}

/// A place in a file whose position is known, so that no position takes long to find. Each line
/// begins with one, and a long line has more.
#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: usize,
    line: usize,
    /// The number of characters of the line before the mark.
    before: usize,
}

/// The distance of marks in a line, in bytes.
const DISTANCE: usize = 4096;

/// A line and a column, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Sources {
    /// Adds a file and returns its id.
    ///
    /// ```
    /// use qmp_codegen::source::{File, Sources};
    ///
    /// let mut sources = Sources::default();
    /// let text = "{ 'command': 'park' }".into();
    /// let id = sources.add(File { path: "garage.json".into(), text, included_from: None });
    /// assert_eq!(sources.file(id).map(|file| file.text.len()), Some(21));
    /// ```
    pub fn add(&mut self, file: File) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(file);
        self.marks.push(OnceLock::new());
        id
    }

    /// Returns a file, or `None` if the id belongs to other sources.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0 as usize)
    }

    /// Returns the files in the order in which they were read.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Returns the position at which a span begins.
    ///
    /// ```
    /// use qmp_codegen::source::{File, Position, Sources, Span};
    ///
    /// let mut sources = Sources::default();
    /// let text = "{\n  'command': 'park' }".into();
    /// let file = sources.add(File { path: "garage.json".into(), text, included_from: None });
    /// let span = Span { file, start: 4, end: 13 };
    /// assert_eq!(sources.position(span), Some(Position { line: 2, column: 3 }));
    /// assert_eq!(sources.line(span), Some("  'command': 'park' }"));
    /// ```
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        let (mark, before) = (self.mark(span)?, span.start as usize);
        let between = self.file(span.file)?.text.get(mark.offset..before)?;
        Some(Position { line: mark.line, column: mark.before + between.chars().count() + 1 })
    }

    /// Returns the line in which a span begins, without its line ending.
    ///
    /// ```
    /// use qmp_codegen::source::{File, Sources, Span};
    ///
    /// let mut sources = Sources::default();
    /// let text = "{\n  'command': 'park' }".into();
    /// let file = sources.add(File { path: "garage.json".into(), text, included_from: None });
    /// let line = sources.line(Span { file, start: 4, end: 13 });
    /// assert_eq!(line, Some("  'command': 'park' }"));
    /// ```
    #[must_use]
    pub fn line(&self, span: Span) -> Option<&str> {
        self.line_and_offset(span).map(|(line, _)| line)
    }

    /// Returns the line in which a span begins, without its line ending, and the number of its bytes
    /// before the span.
    pub(crate) fn line_and_offset(&self, span: Span) -> Option<(&str, usize)> {
        let (mark, text) = (self.mark(span)?, &self.file(span.file)?.text);
        let marks = self.marks_of(span)?;
        let start = marks.partition_point(|other| other.line < mark.line);
        let end = marks.partition_point(|other| other.line <= mark.line);
        let start = marks.get(start)?.offset;
        let end = marks.get(end).map_or(text.len(), |next| next.offset);
        let line = text.get(start..end)?;
        let line = match line.strip_suffix('\n') {
            Some(line) => line.strip_suffix('\r').unwrap_or(line),
            None => line,
        };
        Some((line, span.start as usize - start))
    }

    /// Returns the last mark that is not after the beginning of a span.
    fn mark(&self, span: Span) -> Option<Mark> {
        let marks = self.marks_of(span)?;
        let after = marks.partition_point(|mark| mark.offset <= span.start as usize);
        marks.get(after.checked_sub(1)?).copied()
    }

    fn marks_of(&self, span: Span) -> Option<&[Mark]> {
        let (file, marks) = (self.file(span.file)?, self.marks.get(span.file.0 as usize)?);
        Some(marks.get_or_init(|| marks_in(&file.text)))
    }
}

fn marks_in(text: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut offset = 0;
    for (index, mut rest) in text.split_inclusive('\n').enumerate() {
        let mut mark = Mark { offset, line: index + 1, before: 0 };
        offset += rest.len();
        marks.push(mark);
        while rest.len() > DISTANCE {
            let end = (DISTANCE..rest.len()).find(|at| rest.is_char_boundary(*at));
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            mark.offset += part.len();
            mark.before += part.chars().count();
            marks.push(mark);
            rest = after;
        }
    }
    if text.is_empty() || text.ends_with('\n') {
        let line = marks.last().map_or(1, |mark| mark.line + 1);
        marks.push(Mark { offset, line, before: 0 });
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::default();
        let path = PathBuf::from("test.json");
        sources.add(File { path, text: Arc::from(text), included_from: None });
        sources
    }

    /// Positions are those that counting from the beginning finds.
    #[test]
    fn positions_and_lines() {
        let long = "\u{e4}b".repeat(DISTANCE);
        for text in ["", "a", "a\n", "\n\nab\r\n\u{e4}c", &format!("x\n{long}\n{long}"), &long] {
            let sources = sources(text);
            let boundaries = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
            for at in boundaries.step_by(if text.len() > 100 { 37 } else { 1 }) {
                let start = u32::try_from(at).unwrap_or_default();
                let span = Span { file: FileId(0), start, end: start };
                let before = &text[..at];
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                let position = Position {
                    line: before.matches('\n').count() + 1,
                    column: before[line_start..].chars().count() + 1,
                };
                assert_eq!(sources.position(span), Some(position), "{at}");
                let line = text[line_start..].lines().next().unwrap_or_default();
                assert_eq!(sources.line_and_offset(span), Some((line, at - line_start)), "{at}");
            }
        }
        let beyond = Span { file: FileId(0), start: 9, end: 9 };
        assert_eq!(sources("a").position(beyond), None);
        assert_eq!(sources("a").position(Span { file: FileId(1), ..beyond }), None);
    }
}
