//! Annotations: documentation and other statements about values that do not constrain them.

use serde_json::{Value, json};

use super::Object;
use crate::description::Description;
use crate::markup;
use crate::schema::{Alternative, Command, Condition, Definition, EnumValue, Feature, Member};

/// Annotates a definition; `command` adds the properties of a command.
pub(super) fn definition(out: &mut Object, definition: &Definition, command: Option<&Command>) {
    out.insert("title".into(), definition.name.as_str().into());
    let mut doc = Description::new(&|_| None);
    doc.overview(definition, "");
    doc.sections(definition);
    if let Some(command) = command {
        doc.flags(command);
    }
    if let Some(since) = &definition.doc.since {
        doc.paragraph(&format!("Available since {}.", markup::line(since)));
        out.insert("x-since".into(), markup::plain(since).into());
    }
    finish(out, doc, &definition.features, &definition.condition);
}

pub(super) fn member(out: &mut Object, member: &Member) {
    if member.secret {
        out.insert("writeOnly".into(), true.into());
    }
    finish(out, text(&member.doc), &member.features, &member.condition);
}

pub(super) fn value(out: &mut Object, value: &EnumValue) {
    finish(out, text(&value.doc), &value.features, &value.condition);
}

pub(super) fn alternative(out: &mut Object, alternative: &Alternative) {
    finish(out, text(&alternative.doc), &[], &alternative.condition);
}

fn text(text: &str) -> Description<'static> {
    let mut doc = Description::new(&|_| None);
    doc.text(text, "");
    doc
}

fn finish(
    out: &mut Object,
    mut doc: Description<'_>,
    features: &[Feature],
    condition: &Option<Condition>,
) {
    doc.condition(condition);
    for (name, title, keyword) in [
        ("unstable", "**Unstable:**", "x-unstable"),
        ("deprecated", "**Deprecated:**", "deprecated"),
    ] {
        if Feature::named(features, name).is_some() {
            doc.special(features, name, title);
            out.insert(keyword.into(), true.into());
        }
    }
    let others = features.iter().filter(|feature| !feature.is_special());
    let others: Vec<&str> = others.map(|feature| feature.name.as_str()).collect();
    if !others.is_empty() {
        out.insert("x-features".into(), others.into());
    }
    if let Some(condition) = condition {
        out.insert("x-if".into(), notation(condition));
    }
    let description = doc.finish();
    if !description.is_empty() {
        out.insert("description".into(), description.into());
    }
}

/// Returns a condition in the notation of the schema.
fn notation(condition: &Condition) -> Value {
    let all = |conditions: &[Condition]| conditions.iter().map(notation).collect::<Value>();
    match condition {
        Condition::Symbol(symbol) => symbol.as_str().into(),
        Condition::All(conditions) => json!({"all": all(conditions)}),
        Condition::Any(conditions) => json!({"any": all(conditions)}),
        Condition::Not(condition) => json!({"not": notation(condition)}),
    }
}
