//! Errors and warnings about a schema: what is wrong, where, and by which rule.

mod human;
#[cfg(feature = "tools")]
mod json;
mod rule;
#[cfg(feature = "tools")]
mod sarif;

use crate::source::{Sources, Span};

pub use human::render;
pub use rule::Rule;

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Severity {
    /// The schema cannot be used.
    Error,
    /// The schema can be used.
    Warning,
}

/// An error in a schema, or a warning about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Whether the schema can still be used.
    pub severity: Severity,
    /// The problem, in one sentence without a final period.
    pub message: String,
    /// The location of the problem; `None` if it has none, such as a root that cannot be read.
    pub span: Option<Span>,
    /// The definition that contains the location, such as `command 'query-status'`.
    pub within: Option<String>,
    /// A hint on how to solve the problem.
    pub help: Option<String>,
    /// Other locations that explain the problem, each with a note.
    pub related: Vec<(Span, String)>,
    /// Whether the problem is in documentation, so that it does not affect types.
    pub is_documentation: bool,
    /// The rule, once it is known.
    pub(crate) rule: Option<Rule>,
}

impl Diagnostic {
    /// Creates an error at a location.
    ///
    /// ```
    /// use qmp_codegen::diagnostic::{Diagnostic, Severity};
    /// use qmp_codegen::source::{FileId, Span};
    ///
    /// let span = Span { file: FileId(0), start: 0, end: 1 };
    /// let error = Diagnostic::error(span, "the garage is closed").help("come back tomorrow");
    /// assert_eq!(error.severity, Severity::Error);
    /// ```
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: Some(span),
            within: None,
            help: None,
            related: Vec::new(),
            is_documentation: false,
            rule: None,
        }
    }

    /// Creates a warning at a location.
    ///
    /// ```
    /// use qmp_codegen::diagnostic::{Diagnostic, Severity};
    /// use qmp_codegen::source::{FileId, Span};
    ///
    /// let span = Span { file: FileId(0), start: 0, end: 1 };
    /// let warning = Diagnostic::warning(span, "the garage closes soon");
    /// assert_eq!(warning.severity, Severity::Warning);
    /// ```
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Returns the rule that the schema breaks.
    ///
    /// ```
    /// use qmp_codegen::diagnostic::Rule;
    /// use qmp_codegen::{Root, load};
    ///
    /// let text = "{ 'command': 'park', 'data': { 'plate': 'string' } }";
    /// let error = load([Root::Text { name: "garage.json".into(), text: text.into() }]).unwrap_err();
    /// assert_eq!(error.diagnostics[0].rule(), Rule::UnknownType);
    /// ```
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule.unwrap_or(Rule::Syntax)
    }

    /// Sets the rule, unless the pass that finds the problem has the same.
    pub(crate) fn by(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Sets the hint on how to solve the problem.
    ///
    /// ```
    /// use qmp_codegen::diagnostic::Diagnostic;
    /// use qmp_codegen::source::{FileId, Span};
    ///
    /// let span = Span { file: FileId(0), start: 0, end: 1 };
    /// let error = Diagnostic::error(span, "the garage is closed").help("come back tomorrow");
    /// assert_eq!(error.help.as_deref(), Some("come back tomorrow"));
    /// ```
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another location that explains the problem.
    ///
    /// ```
    /// use qmp_codegen::diagnostic::Diagnostic;
    /// use qmp_codegen::source::{FileId, Span};
    ///
    /// let span = |start| Span { file: FileId(0), start, end: start + 1 };
    /// let error = Diagnostic::error(span(40), "defined twice").related(span(0), "first defined here");
    /// assert_eq!(error.related.len(), 1);
    /// ```
    #[must_use]
    pub fn related(mut self, span: Span, note: impl Into<String>) -> Self {
        self.related.push((span, note.into()));
        self
    }
}

/// A form in which diagnostics are written.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Format {
    /// Text for people, as [`render`] returns it.
    #[default]
    Human,
    /// One line for each diagnostic, `file:line:column: severity: message [rule]`, for editors.
    Short,
    /// One JSON object in each line, for programs.
    ///
    /// | member | meaning |
    /// | --- | --- |
    /// | `severity` | `error` or `warning` |
    /// | `rule` | the name of the [`Rule`] |
    /// | `message` | the problem |
    /// | `documentation` | whether it is in documentation |
    /// | `file`, `line`, `column`, `end_line`, `end_column` | the location; all are absent if it has none |
    /// | `definition` | the definition that contains it, such as `command 'stop'`, if any |
    /// | `help` | a hint, if any |
    /// | `included_from` | the includes that lead to the file, those of the root first |
    /// | `related` | other locations, each with a `note` |
    ///
    /// Lines and columns are counted from 1, columns in characters. The end is the column after the
    /// last character. The elements of `included_from` and `related` have `file`, `line` and
    /// `column`.
    ///
    /// Needs the feature `tools`.
    #[cfg(feature = "tools")]
    Json,
    /// A log in SARIF 2.1.0, which code review systems read.
    ///
    /// Needs the feature `tools`.
    #[cfg(feature = "tools")]
    Sarif,
}

/// Formats diagnostics.
///
/// Characters that control a terminal or are invisible are replaced in every format.
///
/// ```
/// use qmp_codegen::diagnostic::{Format, render_as};
/// use qmp_codegen::{Root, load};
///
/// let text = "{ 'command': 'park', 'data': { 'plate': 'string' } }";
/// let error = load([Root::Text { name: "garage.json".into(), text: text.into() }]).unwrap_err();
/// let json = render_as(Format::Json, &error.sources, &error.diagnostics);
/// assert!(json.contains(r#""unknown-type""#), "{json}");
/// ```
#[must_use]
pub fn render_as(format: Format, sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    match format {
        Format::Human => render(sources, diagnostics),
        Format::Short => human::render_short(sources, diagnostics),
        #[cfg(feature = "tools")]
        Format::Json => json::render(sources, diagnostics),
        #[cfg(feature = "tools")]
        Format::Sarif => sarif::render(sources, diagnostics),
    }
}

impl Severity {
    /// Returns the word for the severity.
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Returns the includes that lead to the file of a location, those of the root first.
fn include_chain(sources: &Sources, span: Span) -> Vec<Span> {
    let mut chain = Vec::new();
    let mut next = sources.file(span.file).and_then(|file| file.included_from);
    while let Some(span) = next {
        chain.push(span);
        next = sources.file(span.file).and_then(|file| file.included_from);
    }
    chain.reverse();
    chain
}

/// Replaces a character that would control the terminal or be invisible.
fn printable(c: char) -> char {
    let is_hidden = matches!(
        c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    );
    if is_hidden || (c.is_control() && c != '\t') { char::REPLACEMENT_CHARACTER } else { c }
}

/// Returns a text with all its characters printable, in one line.
fn safe(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// The number of characters of a text from a peer that an error shows.
#[cfg(feature = "introspection")]
const MAX_QUOTED: usize = 300;

/// Returns the beginning of a text from a peer, as an error shows it.
#[cfg(feature = "introspection")]
pub(crate) fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let mut quoted: String = chars.by_ref().take(MAX_QUOTED).map(printable).collect();
    if chars.next().is_some() {
        quoted.push_str("...");
    }
    quoted
}
