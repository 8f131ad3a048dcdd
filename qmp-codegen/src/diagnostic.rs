//! Errors and warnings about a schema, and their locations.

use std::fmt::{self, Write as _};

use crate::source::{Sources, Span};

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
}

impl Diagnostic {
    /// Creates an error at a location.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: Some(span),
            within: None,
            help: None,
            related: Vec::new(),
            is_documentation: false,
        }
    }

    /// Creates a warning at a location.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Sets the hint on how to solve the problem.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another location that explains the problem.
    #[must_use]
    pub fn related(mut self, span: Span, note: impl Into<String>) -> Self {
        self.related.push((span, note.into()));
        self
    }
}

/// Formats diagnostics as compilers do: the chain of includes, `file:line:col: error: message`, and
/// the line with the location marked.
#[must_use]
pub fn render(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().fold(String::new(), |mut out, diagnostic| {
        // Writing to a string cannot fail.
        let _ = render_one(sources, diagnostic, &mut out);
        out
    })
}

fn render_one(sources: &Sources, diagnostic: &Diagnostic, out: &mut String) -> fmt::Result {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    if let Some(span) = diagnostic.span {
        render_include_chain(sources, span, out)?;
        write!(out, "{}: ", location(sources, span))?;
    }
    write!(out, "{severity}: ")?;
    if let Some(within) = &diagnostic.within {
        write!(out, "in {within}: ")?;
    }
    writeln!(out, "{}", diagnostic.message.chars().map(printable).collect::<String>())?;
    if let Some(span) = diagnostic.span {
        render_line(sources, span, out)?;
    }
    for (span, note) in &diagnostic.related {
        writeln!(out, "{}: note: {note}", location(sources, *span))?;
        render_line(sources, *span, out)?;
    }
    if let Some(help) = &diagnostic.help {
        writeln!(out, "help: {help}")?;
    }
    Ok(())
}

fn render_include_chain(sources: &Sources, span: Span, out: &mut String) -> fmt::Result {
    let mut chain = Vec::new();
    let mut from = sources.file(span.file).and_then(|file| file.included_from);
    while let Some(include) = from {
        chain.push(include);
        from = sources.file(include.file).and_then(|file| file.included_from);
    }
    chain.into_iter().rev().try_for_each(|include| {
        writeln!(out, "in file included from {}:", location(sources, include))
    })
}

fn render_line(sources: &Sources, span: Span, out: &mut String) -> fmt::Result {
    let (Some(line), Some(position)) = (sources.line(span), sources.position(span)) else {
        return Ok(());
    };
    let Excerpt { text, before, marked } = Excerpt::of(line, position.column - 1, {
        let marked = sources.file(span.file).map(|file| &*file.text);
        marked.and_then(|text| text.get(span.start as usize..span.end as usize)).unwrap_or_default()
    });
    // Tabs before the mark stay tabs, so that the mark is aligned with the text above.
    let indent: String =
        text.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    writeln!(out, " {number} | {text}")?;
    writeln!(out, " {gutter} | {indent}{}", "^".repeat(marked))
}

/// The part of a line that is shown. A line can be as long as a file.
struct Excerpt {
    text: String,
    /// The number of characters before the mark.
    before: usize,
    marked: usize,
}

impl Excerpt {
    const WIDTH: usize = 160;
    const CUT: &str = "...";

    /// Cuts the part around `marked` out of a line with `before` characters before it.
    fn of(line: &str, before: usize, marked: &str) -> Self {
        let is_long = line.chars().nth(Self::WIDTH).is_some();
        let skipped = if is_long { before.saturating_sub(Self::WIDTH / 2) } else { 0 };
        let mut text = String::from(if skipped > 0 { Self::CUT } else { "" });
        let before = before - skipped + text.len();
        let mut rest = line.chars().skip(skipped);
        text.extend(rest.by_ref().take(Self::WIDTH).map(printable));
        let marked = marked.lines().next().map_or(0, |marked| marked.chars().count());
        let marked = marked.min(text.chars().count().saturating_sub(before)).max(1);
        if rest.next().is_some() {
            text.push_str(Self::CUT);
        }
        Self { text, before, marked }
    }
}

/// Replaces a character that would control the terminal or be invisible.
fn printable(c: char) -> char {
    let is_hidden = matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    if is_hidden || (c.is_control() && c != '\t') { char::REPLACEMENT_CHARACTER } else { c }
}

fn location(sources: &Sources, span: Span) -> String {
    let path = sources
        .file(span.file)
        .map_or_else(|| String::from("?"), |file| file.path.display().to_string());
    match sources.position(span) {
        Some(position) => format!("{path}:{}:{}", position.line, position.column),
        None => path,
    }
}
