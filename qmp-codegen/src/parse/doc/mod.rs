//! Parses documentation comments.
//!
//! ```text
//! ##                       a comment extends from `##` to `##`
//! # @name:                 the definition; without this line, the comment is free-form
//! #
//! # Paragraphs.            the overview
//! #
//! # @member: Text          descriptions, with further lines indented
//! #     continues.
//! #
//! # Features:
//! # @feature: Text
//! #
//! # Returns: Text          sections, each with a tag
//! ##
//! ```
//!
//! A description or section can only begin at the first line of a paragraph.

mod line;
mod reader;
#[cfg(test)]
mod tests;

use crate::ast::Doc;
use crate::diagnostic::Diagnostic;
use crate::lexer::{Comment, Lexer};
use crate::report::Report;
use crate::source::Span;

use line::Line;
use reader::Reader;

/// A documentation comment.
pub(super) enum Block {
    /// Documentation of a definition.
    Definition(Doc),
    /// Documentation without a definition.
    FreeForm(String),
    /// Documentation with an error that has been reported.
    Broken,
}

/// Parses the comment that begins with `start`, and reports its errors.
pub(super) fn parse<'s>(lexer: &mut Lexer<'s>, start: Comment<'s>, report: &mut Report) -> Block {
    let comment = Comments::read(lexer, start);
    let broken = !comment.errors.is_empty();
    comment.errors.into_iter().for_each(|error| report.push(error));
    let lines = &comment.lines;
    let mut reader = Reader::new(lines, report);
    let block = match lines.first() {
        Some(line) if line.text.starts_with('@') => Block::Definition(reader.definition(line)),
        _ => Block::FreeForm(reader.free_form()),
    };
    if broken { Block::Broken } else { block }
}

/// The number of lines that most comments do not exceed.
const LINES: usize = 32;

/// The lines of a documentation comment.
struct Comments<'s> {
    lines: Vec<Line<'s>>,
    errors: Vec<Diagnostic>,
}

impl<'s> Comments<'s> {
    fn read(lexer: &mut Lexer<'s>, start: Comment<'s>) -> Self {
        let (lines, errors) = (Vec::with_capacity(LINES), Vec::new());
        let mut comments = Self { lines, errors };
        if start.text != "##" {
            let message = "the first line of a documentation comment must be only '##'";
            comments.error(start.span, message);
        }
        while let Some(comment) = lexer.comment() {
            if comment.text.starts_with("##") {
                if comment.text != "##" {
                    let message = "the last line of a documentation comment must be only '##'";
                    comments.error(comment.span, message);
                }
                return comments;
            }
            match Line::of(comment) {
                Some(line) => comments.lines.push(line),
                None => comments.error(comment.span, "missing space after '#'"),
            }
        }
        if comments.errors.is_empty() {
            let error = Diagnostic::error(lexer.here(), "unterminated documentation comment")
                .related(start.span, "the comment begins here")
                .help("end the comment with a line that is only '##'");
            comments.errors.push(error);
        }
        comments
    }

    fn error(&mut self, span: Span, message: &str) {
        self.errors.push(Diagnostic::error(span, message));
    }
}
