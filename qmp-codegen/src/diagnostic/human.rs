//! Formats diagnostics as compilers do, for people.

use std::fmt::{self, Write as _};

use super::{Diagnostic, include_chain, printable, safe};
use crate::source::{Sources, Span};

/// Formats diagnostics as compilers do: the chain of includes, `file:line:col: error: message`, and
/// the line with the location marked.
///
/// ```
/// use qmp_codegen::{Root, diagnostic, load};
///
/// let text = "{ 'command': 'park', 'data': { 'plate': 'string' } }";
/// let error = load([Root::Text { name: "garage.json".into(), text: text.into() }]).unwrap_err();
/// let rendered = diagnostic::render(&error.sources, &error.diagnostics);
/// assert!(rendered.starts_with("garage.json:1:41: error: "), "{rendered}");
/// ```
#[must_use]
pub fn render(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        // Writing to a string cannot fail.
        let _ = render_one(sources, diagnostic, &mut out);
    }
    out
}

fn render_one(sources: &Sources, diagnostic: &Diagnostic, out: &mut String) -> fmt::Result {
    if let Some(span) = diagnostic.span {
        for include in include_chain(sources, span) {
            writeln!(out, "in file included from {}:", location(sources, include))?;
        }
    }
    headline(sources, diagnostic, out)?;
    out.push('\n');
    if let Some(span) = diagnostic.span {
        render_line(sources, span, out)?;
    }
    for (span, note) in &diagnostic.related {
        writeln!(out, "{}: note: {}", location(sources, *span), safe(note))?;
        render_line(sources, *span, out)?;
    }
    if let Some(help) = &diagnostic.help {
        writeln!(out, "help: {}", safe(help))?;
    }
    Ok(())
}

fn render_line(sources: &Sources, span: Span, out: &mut String) -> fmt::Result {
    let line = sources.line_and_offset(span);
    let (Some((line, before)), Some(position)) = (line, sources.position(span)) else {
        return Ok(());
    };
    let Excerpt { text, before, marked } = Excerpt::of(line, before, span.end - span.start);
    // Tabs before the mark stay tabs, so that the mark is aligned with the text above.
    let mut indent = String::new();
    for c in text.chars().take(before) {
        indent.push(if c == '\t' { '\t' } else { ' ' });
    }
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

    /// Cuts a part out of a line, with the mark, which has `marked` bytes after the first `before`.
    fn of(line: &str, before: usize, marked: u32) -> Self {
        let (head, tail) = line.split_at_checked(before).unwrap_or((line, ""));
        let is_long = line.len() > Self::WIDTH && line.chars().nth(Self::WIDTH).is_some();
        let kept = if is_long { Self::WIDTH / 2 } else { Self::WIDTH };
        let start = head.char_indices().rev().take(kept).last().map_or(head.len(), |(at, _)| at);
        let mut text = String::from(if start > 0 { Self::CUT } else { "" });
        let skipped = text.len();
        let before = skipped + head[start..].chars().count();
        let mut rest = line[start..].chars();
        text.extend(rest.by_ref().take(Self::WIDTH).map(printable));
        let shown = text.chars().count().saturating_sub(before);
        // The mark ends in this line.
        let marked = usize::try_from(marked).unwrap_or(usize::MAX);
        let ends = |(at, _): &(usize, char)| *at < marked;
        let marked = tail.char_indices().take(shown).take_while(ends).count().max(1);
        if rest.next().is_some() {
            text.push_str(Self::CUT);
        }
        Self { text, before, marked }
    }
}

/// Formats each diagnostic as one line.
pub(super) fn render_short(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().fold(String::new(), |mut out, diagnostic| {
        let _ = headline(sources, diagnostic, &mut out)
            .and_then(|()| writeln!(out, " [{}]", diagnostic.rule().name()));
        out
    })
}

/// Writes the location, the severity, and the message.
fn headline(sources: &Sources, diagnostic: &Diagnostic, out: &mut String) -> fmt::Result {
    if let Some(span) = diagnostic.span {
        write!(out, "{}: ", location(sources, span))?;
    }
    write!(out, "{}: ", diagnostic.severity.word())?;
    if let Some(within) = &diagnostic.within {
        write!(out, "in {}: ", safe(within))?;
    }
    out.write_str(&safe(&diagnostic.message))
}

fn location(sources: &Sources, span: Span) -> String {
    let path = sources
        .file(span.file)
        .map_or_else(|| String::from("?"), |file| safe(&file.path.display().to_string()));
    match sources.position(span) {
        Some(position) => format!("{path}:{}:{}", position.line, position.column),
        None => path,
    }
}
