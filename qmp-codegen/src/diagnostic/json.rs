//! Formats diagnostics as lines of JSON.

use serde_json::{Map, Value, json};

use super::{Diagnostic, include_chain, safe};
use crate::source::{Sources, Span};

/// Formats each diagnostic as an object in a line of its own.
pub(super) fn render(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{}\n", object(sources, diagnostic))).collect()
}

fn object(sources: &Sources, diagnostic: &Diagnostic) -> Value {
    let mut members = Map::new();
    let mut add = |key: &str, value: Value| _ = members.insert(key.to_owned(), value);
    add("severity", diagnostic.severity.word().into());
    add("rule", diagnostic.rule().name().into());
    add("message", safe(&diagnostic.message).into());
    add("documentation", diagnostic.is_documentation.into());
    if let Some(span) = diagnostic.span {
        place(sources, span).into_iter().for_each(|(key, value)| add(&key, value));
        let end = Span { start: span.end, ..span };
        if let Some(end) = sources.position(end) {
            add("end_line", end.line.into());
            add("end_column", end.column.into());
        }
        let chain = include_chain(sources, span).into_iter();
        add("included_from", chain.map(|span| Value::Object(place(sources, span))).collect());
    }
    if let Some(within) = &diagnostic.within {
        add("definition", safe(within).into());
    }
    if let Some(help) = &diagnostic.help {
        add("help", safe(help).into());
    }
    let related = diagnostic.related.iter().map(|(span, note)| {
        let mut members = place(sources, *span);
        members.insert(String::from("note"), safe(note).into());
        Value::Object(members)
    });
    add("related", related.collect());
    Value::Object(members)
}

fn place(sources: &Sources, span: Span) -> Map<String, Value> {
    let mut members = Map::new();
    if let Some(file) = sources.file(span.file) {
        members.insert(String::from("file"), json!(safe(&file.path.display().to_string())));
    }
    if let Some(position) = sources.position(span) {
        members.insert(String::from("line"), json!(position.line));
        members.insert(String::from("column"), json!(position.column));
    }
    members
}
