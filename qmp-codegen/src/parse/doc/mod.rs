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

use line::Line;
use reader::Reader;

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
    let end = loop {
        let Some(comment) = lexer.comment() else {
            let message = "the documentation comment above is not closed";
            return Err(Diagnostic::error(lexer.here(), message)
                .related(start.span, "it begins here")
                .help("it ends with a line that is only '##'"));
        };
        if comment.text == "##" {
            break comment.span;
        }
        if comment.text.starts_with("##") {
            let message = "a documentation comment ends with a line that is only '##'";
            return Err(Diagnostic::error(comment.span, message));
        }
        match Line::of(comment) {
            Some(line) => lines.push(line),
            None => return Err(Diagnostic::error(comment.span, "a space is missing after '#'")),
        }
    };
    let mut reader = Reader::new(&lines, end, report);
    match lines.first() {
        Some(line) if line.text.starts_with('@') => Ok(Block::Definition(reader.definition(line))),
        _ => Ok(Block::FreeForm(reader.free_form())),
    }
}
