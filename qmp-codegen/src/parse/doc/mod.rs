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
    let (lines, end) = match lines(lexer, start) {
        Ok(lines) => lines,
        Err(errors) => {
            errors.into_iter().for_each(|error| report.push(error));
            return Block::Broken;
        }
    };
    let mut reader = Reader::new(&lines, end, report);
    match lines.first() {
        Some(line) if line.text.starts_with('@') => Block::Definition(reader.definition(line)),
        _ => Block::FreeForm(reader.free_form()),
    }
}

/// The lines of a comment, and the place of the one that ends it. Where there are errors, all of
/// the comment is passed over.
fn lines<'s>(
    lexer: &mut Lexer<'s>,
    start: Comment<'s>,
) -> Result<(Vec<Line<'s>>, Span), Vec<Diagnostic>> {
    let mut lines = Vec::new();
    let mut errors = Vec::new();
    if start.text != "##" {
        let message = "a documentation comment begins with a line that is only '##'";
        errors.push(Diagnostic::error(start.span, message));
    }
    let end = loop {
        let Some(comment) = lexer.comment() else {
            if errors.is_empty() {
                let message = "the documentation comment above is not closed";
                let error = Diagnostic::error(lexer.here(), message)
                    .related(start.span, "it begins here")
                    .help("it ends with a line that is only '##'");
                errors.push(error);
            }
            return Err(errors);
        };
        if comment.text.starts_with("##") {
            if comment.text != "##" {
                let message = "a documentation comment ends with a line that is only '##'";
                errors.push(Diagnostic::error(comment.span, message));
            }
            break comment.span;
        }
        match Line::of(comment) {
            Some(line) => lines.push(line),
            None => errors.push(Diagnostic::error(comment.span, "a space is missing after '#'")),
        }
    };
    if errors.is_empty() { Ok((lines, end)) } else { Err(errors) }
}
