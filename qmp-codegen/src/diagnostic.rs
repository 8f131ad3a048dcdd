//! What is wrong with a schema, and where.

use std::fmt::{self, Write as _};

use crate::source::{Sources, Span};

/// Whether a schema can be used in spite of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can.
    Warning,
}

/// One thing that is wrong with a schema.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where; nothing when no file could be read at all.
    pub span: Option<Span>,
    /// The definition that it is in, such as `command 'query-status'`.
    pub within: Option<String>,
    /// What would help.
    pub help: Option<String>,
    /// Other places that matter, each with a word on why.
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: Some(span),
            within: None,
            help: None,
            related: Vec::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Adds what would help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place that matters.
    #[must_use]
    pub fn related(mut self, span: Span, note: impl Into<String>) -> Self {
        self.related.push((span, note.into()));
        self
    }
}

/// Draws diagnostics as compilers do: `file:line:col: error: message`, the definition, the
/// include chain, the line with the place marked.
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
        write!(out, "{}: ", place(sources, span))?;
    }
    write!(out, "{severity}: ")?;
    if let Some(within) = &diagnostic.within {
        write!(out, "in {within}: ")?;
    }
    writeln!(out, "{}", diagnostic.message)?;
    if let Some(span) = diagnostic.span {
        render_line(sources, span, out)?;
    }
    for (span, note) in &diagnostic.related {
        writeln!(out, "{}: note: {note}", place(sources, *span))?;
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
    chain
        .into_iter()
        .rev()
        .try_for_each(|include| writeln!(out, "in file included from {}:", place(sources, include)))
}

fn render_line(sources: &Sources, span: Span, out: &mut String) -> fmt::Result {
    let (Some(line), Some(position)) = (sources.line(span), sources.position(span)) else {
        return Ok(());
    };
    // Tabs stay tabs in front of the mark, so that it stands below what it marks.
    let indent: String = line
        .chars()
        .take(position.column - 1)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let marked = sources
        .file(span.file)
        .and_then(|file| file.text.get(span.start as usize..span.end as usize))
        .and_then(|text| text.lines().next())
        .map_or(1, |text| text.chars().count().max(1));
    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    writeln!(out, " {number} | {line}")?;
    writeln!(out, " {gutter} | {indent}{}", "^".repeat(marked))
}

fn place(sources: &Sources, span: Span) -> String {
    let path = sources
        .file(span.file)
        .map_or_else(|| String::from("?"), |file| file.path.display().to_string());
    match sources.position(span) {
        Some(position) => format!("{path}:{}:{}", position.line, position.column),
        None => path,
    }
}
