//! Parses definitions: the keys of each kind and their values.

use super::parts::Parts;
use super::value::{Node, Value};
use crate::ast::{Base, Body, Command, Data, Definition, Doc, Item, Kind, Name};
use crate::diagnostic::{Diagnostic, Rule};
use crate::report::Report;
use crate::similar::did_you_mean;
use crate::source::Span;

/// Parses a definition from the members of its object.
pub(super) fn parse(
    members: Vec<(Name, Node)>,
    span: Span,
    doc: Option<Doc>,
    root: usize,
    report: &mut Report,
) -> Item {
    let mut found = None;
    for (key, _) in &members {
        let Some(kind) = Kind::of_word(&key.text) else { continue };
        if let Some(other) = found.replace(kind) {
            let message = format!(
                "a definition cannot have both key '{}' and key '{}'",
                other.word(),
                kind.word()
            );
            report.error(span, message);
            return Item::Broken(None);
        }
    }
    let Some(kind) = found else { return unknown_kind(&members, span, report) };
    let mut fields = Fields { members };
    let Some(node) = fields.take(kind.word()) else { return Item::Broken(None) };
    let Value::String(text) = node.value else {
        let name = format!("the name of {}", article(kind));
        report.error(node.span, format!("{name} must be a string, not {}", node.describe()));
        return Item::Broken(None);
    };
    let name = Name { text, span: node.span };
    let mut parts = Parts { report, kind, name: name.text.clone(), broken: false };
    parts.check_keys(&fields.members, keys(kind), &|| format!("{} definition", article(kind)));
    let condition = fields.take("if").and_then(|node| parts.condition(node));
    let features = match fields.take("features") {
        Some(node) => parts.features(node),
        None => Vec::new(),
    };
    let body = body(kind, &mut fields, &mut parts, span);
    match body {
        Some(body) if !parts.broken => {
            Item::Definition(Box::new(Definition { name, body, condition, features, doc, root }))
        }
        _ => Item::Broken(Some(name.text)),
    }
}

fn unknown_kind(members: &[(Name, Node)], span: Span, report: &mut Report) -> Item {
    let words = Kind::ALL.map(Kind::word);
    let guess = members.iter().find_map(|(key, _)| {
        did_you_mean(&key.text, words.into_iter().chain(["include", "pragma"]))
    });
    let list = words.join("', '");
    let error = Diagnostic::error(span, "this object is neither a definition nor a directive")
        .help(guess.unwrap_or_else(|| format!("a definition has one of the keys '{list}'")));
    report.unknown(error.by(Rule::UnknownKey));
    Item::Broken(None)
}

/// The keys of a definition that have not been read yet.
struct Fields {
    members: Vec<(Name, Node)>,
}

impl Fields {
    fn take(&mut self, key: &str) -> Option<Node> {
        let at = self.members.iter().position(|(name, _)| name.text == key)?;
        Some(self.members.remove(at).1)
    }

    /// Takes a key, and reports an error if it is missing.
    fn require(&mut self, key: &str, parts: &mut Parts<'_>, span: Span) -> Option<Node> {
        let node = self.take(key);
        if node.is_none() {
            parts.error(span, format!("{} requires the key '{key}'", article(parts.kind)));
        }
        node
    }
}

/// Returns the keys that a definition can have in addition to that of its kind.
fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Enum => &["data", "prefix", "if", "features"],
        Kind::Struct => &["data", "base", "if", "features"],
        Kind::Union => &["base", "discriminator", "data", "if", "features"],
        Kind::Alternate => &["data", "if", "features"],
        Kind::Command => &[
            "data",
            "returns",
            "boxed",
            "gen",
            "success-response",
            "allow-oob",
            "allow-preconfig",
            "coroutine",
            "if",
            "features",
        ],
        Kind::Event => &["data", "boxed", "if", "features"],
    }
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Enum => "an enum",
        Kind::Struct => "a struct",
        Kind::Union => "a union",
        Kind::Alternate => "an alternate",
        Kind::Command => "a command",
        Kind::Event => "an event",
    }
}

fn body(kind: Kind, fields: &mut Fields, parts: &mut Parts<'_>, span: Span) -> Option<Body> {
    match kind {
        Kind::Enum => {
            let data = fields.require("data", parts, span)?;
            let prefix = match fields.take("prefix") {
                Some(node) => Some(parts.string(node, &|| String::from("'prefix'"))?.text),
                None => None,
            };
            Some(Body::Enum { values: parts.values(data), prefix })
        }
        Kind::Struct => {
            let data = fields.require("data", parts, span)?;
            let base = match fields.take("base") {
                Some(node) => Some(parts.string(node, &|| String::from("the 'base' of a struct"))?),
                None => None,
            };
            Some(Body::Struct {
                base,
                members: parts.members(data, &|| String::from("the 'data' of a struct")),
            })
        }
        Kind::Union => union(fields, parts, span),
        Kind::Alternate => {
            let data = fields.require("data", parts, span)?;
            let data_span = data.span;
            let alternatives = parts.alternatives(data);
            if alternatives.is_empty() && !parts.broken {
                parts.error(data_span, "an alternate must have at least one alternative");
            }
            Some(Body::Alternate { alternatives })
        }
        Kind::Command => command(fields, parts),
        Kind::Event => Some(Body::Event { data: data(fields, parts)? }),
    }
}

fn union(fields: &mut Fields, parts: &mut Parts<'_>, span: Span) -> Option<Body> {
    let base = fields.require("base", parts, span);
    let discriminator = fields.require("discriminator", parts, span);
    let data = fields.require("data", parts, span);
    if base.is_none() && discriminator.is_none() {
        parts.report.note_old_language(span);
    }
    let base = base?;
    let base = match base.value {
        Value::String(text) => Base::Named(Name { text, span: base.span }),
        Value::Object(_) => Base::Inline(parts.members(base, &|| String::from("'base'"))),
        _ => {
            parts.error(
                base.span,
                format!("'base' must be the name of a type or an object, not {}", base.describe()),
            );
            return None;
        }
    };
    let discriminator = parts.string(discriminator?, &|| String::from("'discriminator'"))?;
    let branches = parts.branches(data?);
    Some(Body::Union { base, discriminator, branches })
}

fn command(fields: &mut Fields, parts: &mut Parts<'_>) -> Option<Body> {
    let data = data(fields, parts)?;
    let returns = match fields.take("returns") {
        Some(node) => Some(parts.type_name(node, &|| String::from("'returns'"))?),
        None => None,
    };
    Some(Body::Command(Command {
        data,
        returns,
        generated: !parts.flag(fields.take("gen"), "gen", false),
        success_response: !parts.flag(fields.take("success-response"), "success-response", false),
        allow_oob: parts.flag(fields.take("allow-oob"), "allow-oob", true),
        allow_preconfig: parts.flag(fields.take("allow-preconfig"), "allow-preconfig", true),
        coroutine: parts.flag(fields.take("coroutine"), "coroutine", true),
    }))
}

/// Parses the data of a command or event.
fn data(fields: &mut Fields, parts: &mut Parts<'_>) -> Option<Data> {
    let boxed_node = fields.take("boxed");
    let boxed_span = boxed_node.as_ref().map(|node| node.span);
    let boxed = parts.flag(boxed_node, "boxed", true);
    let Some(node) = fields.take("data") else {
        if let Some(span) = boxed_span {
            parts.error(span, "'boxed' requires 'data' with the name of a type");
        }
        return Some(Data::Inline(Vec::new()));
    };
    match node.value {
        Value::String(text) => Some(Data::Named { ty: Name { text, span: node.span }, boxed }),
        Value::Object(_) if !boxed => {
            Some(Data::Inline(parts.members(node, &|| String::from("'data'"))))
        }
        Value::Object(_) => {
            parts.error(node.span, "with 'boxed', 'data' must be the name of a type");
            None
        }
        _ => {
            parts.error(
                node.span,
                format!("'data' must be the name of a type or an object, not {}", node.describe()),
            );
            None
        }
    }
}
