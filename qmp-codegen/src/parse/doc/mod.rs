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
    /// Of a definition.
    Definition(Doc),
    /// Of nothing in particular.
    FreeForm(String),
    /// It could not be read, which was reported.
    Broken,
}

/// Reads the comment that begins with `start`, and reports what is wrong with it.
pub(super) fn parse<'s>(lexer: &mut Lexer<'s>, start: Comment<'s>, report: &mut Report) -> Block {
    let comment = Comments::read(lexer, start);
    let broken = !comment.errors.is_empty();
    comment.errors.into_iter().for_each(|error| report.push(error));
    let lines = &comment.lines;
    let mut reader = Reader::new(lines, comment.end, report);
    let block = match lines.first() {
        Some(line) if line.text.starts_with('@') => Block::Definition(reader.definition(line)),
        _ => Block::FreeForm(reader.free_form()),
    };
    if broken { Block::Broken } else { block }
}

/// Most comments are not longer than this.
const LINES: usize = 32;

/// The comment lines that make a documentation comment.
struct Comments<'s> {
    lines: Vec<Line<'s>>,
    /// The line that ends it.
    end: Span,
    errors: Vec<Diagnostic>,
}

impl<'s> Comments<'s> {
    fn read(lexer: &mut Lexer<'s>, start: Comment<'s>) -> Self {
        let (lines, errors) = (Vec::with_capacity(LINES), Vec::new());
        let mut comments = Self { lines, end: start.span, errors };
        if start.text != "##" {
            let message = "a documentation comment begins with a line that is only '##'";
            comments.error(start.span, message);
        }
        while let Some(comment) = lexer.comment() {
            comments.end = comment.span;
            if comment.text.starts_with("##") {
                if comment.text != "##" {
                    let message = "a documentation comment ends with a line that is only '##'";
                    comments.error(comment.span, message);
                }
                return comments;
            }
            match Line::of(comment) {
                Some(line) => comments.lines.push(line),
                None => comments.error(comment.span, "a space is missing after '#'"),
            }
        }
        if comments.errors.is_empty() {
            let message = "the documentation comment above is not closed";
            let error = Diagnostic::error(lexer.here(), message)
                .related(start.span, "it begins here")
                .help("it ends with a line that is only '##'");
            comments.errors.push(error);
        }
        comments
    }

    fn error(&mut self, span: Span, message: &str) {
        self.errors.push(Diagnostic::error(span, message));
    }
}
