//! Formats diagnostics as a log in SARIF 2.1.0, the Static Analysis Results Interchange Format.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{Diagnostic, Rule, include_chain, safe};
use crate::source::{Sources, Span};

/// Formats diagnostics as one log.
pub(super) fn render(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    let rules: Vec<Value> = Rule::ALL
        .iter()
        .map(|rule| json!({ "id": rule.name(), "shortDescription": text(rule.description()) }))
        .collect();
    let results: Vec<Value> = diagnostics.iter().map(|one| result(sources, one)).collect();
    let driver = json!({
        "name": "qmp-schema",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn result(sources: &Sources, diagnostic: &Diagnostic) -> Value {
    let rule = diagnostic.rule();
    let mut message = safe(&diagnostic.message);
    if let Some(help) = &diagnostic.help {
        // Writing to a string cannot fail.
        let _ = write!(message, "; {}", safe(help));
    }
    let mut result = json!({
        "ruleId": rule.name(),
        "ruleIndex": Rule::ALL.iter().position(|one| *one == rule),
        "level": diagnostic.severity.word(),
        "message": text(&message),
        "locations": [],
    });
    let mut location = json!({});
    if let Some(physical) = diagnostic.span.and_then(|span| physical(sources, span)) {
        location["physicalLocation"] = physical;
    }
    if let Some(within) = &diagnostic.within {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": safe(within) }]);
    }
    if location != json!({}) {
        result["locations"] = json!([location]);
    }
    let includes = diagnostic.span.into_iter().flat_map(|span| include_chain(sources, span));
    let includes = includes.map(|span| (span, "the file is included here"));
    let others = diagnostic.related.iter().map(|(span, note)| (*span, note.as_str()));
    let related: Vec<Value> = includes
        .chain(others)
        .filter_map(|(span, note)| {
            let physical = physical(sources, span)?;
            Some(json!({ "physicalLocation": physical, "message": text(&safe(note)) }))
        })
        .collect();
    if !related.is_empty() {
        result["relatedLocations"] = related.into();
    }
    result
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

fn physical(sources: &Sources, span: Span) -> Option<Value> {
    let (file, start) = (sources.file(span.file)?, sources.position(span)?);
    let mut region = json!({ "startLine": start.line, "startColumn": start.column });
    if let Some(end) = sources.position(Span { start: span.end, ..span }) {
        region["endLine"] = end.line.into();
        region["endColumn"] = end.column.into();
    }
    Some(json!({ "artifactLocation": { "uri": uri(&file.path) }, "region": region }))
}

/// Returns a path as a URI reference: relative, unless the path is absolute.
fn uri(path: &Path) -> String {
    let path = path.display().to_string().replace('\\', "/");
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        // A colon in the first segment would end a scheme.
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
