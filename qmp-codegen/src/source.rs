//! The files of a schema, and locations in them.

use std::path::PathBuf;
use std::sync::Arc;

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
}

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
    pub fn add(&mut self, file: File) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(file);
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
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        let before = self.file(span.file)?.text.get(..span.start as usize)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }

    /// Returns the line in which a span begins, without its line ending.
    #[must_use]
    pub fn line(&self, span: Span) -> Option<&str> {
        let text = &self.file(span.file)?.text;
        let before = text.get(..span.start as usize)?;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        text[start..].lines().next()
    }
}
