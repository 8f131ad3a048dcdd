//! Collects the diagnostics of all passes.

use crate::ast::Definition;
use crate::diagnostic::{Diagnostic, Rule, Severity};
use crate::order;
use crate::source::Span;

/// The number of errors and of warnings that are kept by default.
const MAX_DIAGNOSTICS: usize = 200;

/// The number of errors that have suggestions, for each of which all names are compared.
const MAX_SUGGESTIONS: usize = 50;

/// The length at which texts are cut, in bytes: names can be as long as files.
const MAX_TEXT: usize = 500;

/// The number of places in the language of an old release from which on they are one error. Fewer
/// may be mistakes in a new schema.
const OLD_PLACES: usize = 3;

/// The diagnostics so far.
pub(crate) struct Report {
    diagnostics: Vec<Diagnostic>,
    options: ReportOptions,
    /// The rule that diagnostics are about, unless they name another.
    pub(crate) rule: Rule,
    /// Whether a part of the schema could not be read, which may have what seems to be missing.
    pub(crate) incomplete: bool,
    errors: usize,
    warnings: usize,
    /// The first error whose cause is the language of a release before QEMU 6.2.
    first_old: Option<Span>,
    /// The number of these errors.
    old: usize,
    /// Whether one of them has no other explanation.
    certainly_old: bool,
}

/// The options of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportOptions {
    /// The number of errors and of warnings that are kept. More do not help people, and hostile
    /// input could cause any number.
    pub(crate) limit: usize,
    /// Whether keys, pragmas, and kinds of definitions that are unknown are only worth a warning.
    pub(crate) allow_unknown: bool,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { limit: MAX_DIAGNOSTICS, allow_unknown: false }
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new(ReportOptions::default())
    }
}

impl Report {
    pub(crate) fn new(options: ReportOptions) -> Self {
        Self {
            diagnostics: Vec::new(),
            options,
            rule: Rule::Syntax,
            incomplete: false,
            errors: 0,
            warnings: 0,
            first_old: None,
            old: 0,
            certainly_old: false,
        }
    }

    pub(crate) fn push(&mut self, mut diagnostic: Diagnostic) {
        let count = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= self.options.limit {
            let rule = *diagnostic.rule.get_or_insert(self.rule);
            diagnostic.is_documentation = rule.is_about_documentation();
            shorten(&mut diagnostic.message);
            diagnostic.within.iter_mut().for_each(shorten);
            diagnostic.help.iter_mut().for_each(shorten);
            self.diagnostics.push(diagnostic);
        }
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(span, message));
    }

    /// Adds an error about something unknown, or a warning if that is allowed. Returns whether it is
    /// an error.
    pub(crate) fn unknown(&mut self, mut error: Diagnostic) -> bool {
        if self.options.allow_unknown {
            error.severity = Severity::Warning;
        }
        self.push(error);
        !self.options.allow_unknown
    }

    /// Notes that an error has been reported whose cause is the language of a release before QEMU
    /// 6.2.
    pub(crate) fn note_old_language(&mut self, span: Span) {
        self.first_old.get_or_insert(span);
        self.old += 1;
    }

    /// Notes that an error has been reported whose cause can only be the language of a release
    /// before QEMU 6.2.
    pub(crate) fn note_certainly_old_language(&mut self, span: Span) {
        self.note_old_language(span);
        self.certainly_old = true;
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns whether the number of errors has reached the limit for suggestions.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= self.options.limit.min(MAX_SUGGESTIONS)
    }

    /// Returns all diagnostics by position, with files in the order in which they were read.
    ///
    /// A schema of an old release has hundreds of errors, so that a single one says why.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let is_old = self.certainly_old || self.old >= OLD_PLACES;
        if let Some(first) = self.first_old.filter(|_| is_old) {
            let others = match self.old - 1 {
                0 => String::new(),
                1 => String::from(" and in 1 more place"),
                more => format!(" and in {more} more places"),
            };
            let message =
                format!("the schema is in the language of a release before QEMU 6.2, here{others}");
            let help = "use the schema of a later release, in which no condition is an array or \
                        contains 'defined', and every union has a discriminator";
            return vec![Diagnostic::error(first, message).help(help).by(Rule::OldLanguage)];
        }
        let limit = self.options.limit;
        let mut diagnostics = self.diagnostics;
        order::sort_by_key(&mut diagnostics, |diagnostic| match diagnostic.span {
            Some(span) => span.place() + 1,
            None => 0,
        });
        let mut count = |severity, count: usize, what| {
            if count > limit {
                let message = format!("there are {} more {what}", count - limit);
                diagnostics.push(Diagnostic::nowhere(severity, message).by(Rule::Limit));
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

/// A report on one definition, which is named in every diagnostic.
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

    /// Returns whether the number of errors has reached the limit for suggestions.
    pub(crate) fn is_full(&self) -> bool {
        self.report.is_full()
    }
}

impl Diagnostic {
    /// Creates a diagnostic without a position.
    pub(crate) fn nowhere(severity: Severity, message: String) -> Self {
        let (within, help, related) = (None, None, Vec::new());
        let (is_documentation, rule) = (false, None);
        Self { severity, message, span: None, within, help, related, is_documentation, rule }
    }

    /// Names the definition that the diagnostic is in.
    pub(crate) fn within(mut self, kind: crate::ast::Kind, name: &str) -> Self {
        self.within = Some(format!("{} '{name}'", kind.word()));
        self
    }
}
