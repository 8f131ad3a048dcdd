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
    writeln!(out, "{}", diagnostic.message.chars().map(printable).collect::<String>())?;
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
    let Excerpt { text, before, marked } = Excerpt::of(line, position.column - 1, {
        let marked = sources.file(span.file).map(|file| &*file.text);
        marked.and_then(|text| text.get(span.start as usize..span.end as usize)).unwrap_or_default()
    });
    // Tabs stay tabs in front of the mark, so that it stands below what it marks.
    let indent: String =
        text.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    writeln!(out, " {number} | {text}")?;
    writeln!(out, " {gutter} | {indent}{}", "^".repeat(marked))
}

/// What is shown of a line: lines can be as long as files.
struct Excerpt {
    text: String,
    /// How many characters come before the mark.
    before: usize,
    marked: usize,
}

impl Excerpt {
    const WIDTH: usize = 160;
    const CUT: &str = "...";

    /// Of a line with `before` characters before what is marked.
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

/// What would do something to a terminal, or would not be seen, is replaced.
fn printable(c: char) -> char {
    let is_hidden = matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    if is_hidden || (c.is_control() && c != '\t') { char::REPLACEMENT_CHARACTER } else { c }
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
