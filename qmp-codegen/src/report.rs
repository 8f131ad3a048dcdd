//! Where passes put what they find.

use crate::ast::Definition;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Span;

/// More errors than this are no help to anybody, nor are more warnings, and hostile input could
/// give any number.
const MAX_DIAGNOSTICS: usize = 200;

/// Names can be as long as files.
const MAX_TEXT: usize = 500;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    diagnostics: Vec<Diagnostic>,
    /// A part of the schema could not be read: what seems to be missing may be in it.
    pub(crate) incomplete: bool,
    errors: usize,
    warnings: usize,
}

impl Report {
    pub(crate) fn push(&mut self, mut diagnostic: Diagnostic) {
        let count = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= MAX_DIAGNOSTICS {
            shorten(&mut diagnostic.message);
            diagnostic.within.iter_mut().for_each(shorten);
            diagnostic.help.iter_mut().for_each(shorten);
            self.diagnostics.push(diagnostic);
        }
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(span, message));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether further errors are only counted: nothing need be guessed for them.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= MAX_DIAGNOSTICS
    }

    /// All that was found, by place; where a file was read after another, in that order.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics;
        diagnostics.sort_by_key(|diagnostic| diagnostic.span);
        let mut count = |severity, count: usize, what| {
            if count > MAX_DIAGNOSTICS {
                let message = format!("there are {} more {what}", count - MAX_DIAGNOSTICS);
                diagnostics.push(Diagnostic::nowhere(severity, message));
            }
        };
        count(Severity::Warning, self.warnings, "warnings");
        count(Severity::Error, self.errors, "errors");
        diagnostics
    }
}

fn shorten(text: &mut String) {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
        text.push_str("...");
    }
}

/// A report on one definition, which every diagnostic then names.
#[derive(Debug)]
pub(crate) struct Scope<'r, 'd> {
    report: &'r mut Report,
    definition: &'d Definition,
}

impl<'r, 'd> Scope<'r, 'd> {
    pub(crate) fn of(report: &'r mut Report, definition: &'d Definition) -> Self {
        Self { report, definition }
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.report.push(diagnostic.within(self.definition.kind(), &self.definition.name.text));
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(span, message));
    }

    /// Whether further errors are only counted: nothing need be guessed for them.
    pub(crate) fn is_full(&self) -> bool {
        self.report.is_full()
    }
}

impl Diagnostic {
    /// One without a place.
    pub(crate) fn nowhere(severity: Severity, message: String) -> Self {
        let (within, help, related) = (None, None, Vec::new());
        Self { severity, message, span: None, within, help, related }
    }

    /// Names the definition that it is in.
    pub(crate) fn within(mut self, kind: crate::ast::Kind, name: &str) -> Self {
        self.within = Some(format!("{} '{name}'", kind.word()));
        self
    }
}
