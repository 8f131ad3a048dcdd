//! Where passes put what they find.

use crate::ast::Definition;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Span;

/// More than this is no help to anybody, and hostile input could give any number.
const MAX_DIAGNOSTICS: usize = 200;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// A part of the schema could not be read: what seems to be missing may be in it.
    pub(crate) incomplete: bool,
    errors: usize,
}

impl Report {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(span, message));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
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
}

impl Diagnostic {
    /// Names the definition that it is in.
    pub(crate) fn within(mut self, kind: crate::ast::Kind, name: &str) -> Self {
        self.within = Some(format!("{} '{name}'", kind.word()));
        self
    }
}
