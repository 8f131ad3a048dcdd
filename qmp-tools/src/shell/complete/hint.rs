//! Hints: which arguments are mandatory and missing.

use super::given::Given;
use super::place::{Place, object_of};
use crate::shell::syntax::transaction::action_type;
use crate::shell::syntax::words;
use crate::shell::syntax::{self};
use crate::shell::types::{Shape, Types};

/// The greatest number of optional arguments in a hint.
const MAX_OPTIONAL: usize = 3;

/// Returns the arguments that can follow: those that are mandatory and missing, then some of the others
/// in brackets, such as `driver= [bus=] [id=] ...`. Returns `None` in the middle of a word.
#[must_use]
pub fn hint(text: &str, types: &dyn Types) -> Option<String> {
    if !text.ends_with([' ', '\t']) {
        return None;
    }
    let start = syntax::start::start(text)?;
    let rest = text.get(start..)?;
    if rest.starts_with('{') {
        return None;
    }
    let schema = types.schema();
    let mut at = start;
    let transaction = rest.starts_with("transaction(");
    if transaction {
        at += "transaction(".len();
    }
    let mut line = words::line(text, at);
    while line.end < text.len() {
        line = words::line(text, line.end);
    }
    if line.open.is_some() || line.comment.is_some() {
        return None;
    }
    let mut words = line.words.as_slice();
    if let [first, rest @ ..] = words {
        if first.text == "exec-oob" {
            words = rest;
        }
    }
    let (first, words) = words.split_first()?;
    let root = match first.text {
        _ if transaction => action_type(schema, first.text),
        "wait" if words.is_empty() => return Some(String::from("EVENT [member=...] [--timeout=]")),
        command => schema.arguments_of(command),
    };
    let given = Given::new(text, words);
    let place = Place { command: first.text, root, given: &given };
    let (mut missing, mut optional) = (Vec::new(), Vec::new());
    collect(&place, types, &mut Vec::new(), &mut missing, &mut optional);
    let more = optional.len() > MAX_OPTIONAL;
    optional.truncate(MAX_OPTIONAL);
    missing.extend(optional.into_iter().map(|key| format!("[{key}]")));
    if more {
        missing.push(String::from("..."));
    }
    (!missing.is_empty()).then(|| missing.join(" "))
}

fn collect<'p>(
    place: &Place<'p>,
    types: &'p dyn Types,
    path: &mut Vec<&'p str>,
    missing: &mut Vec<String>,
    optional: &mut Vec<String>,
) {
    /// The greatest number of names in a key.
    const MAX_DEPTH: usize = 4;
    let schema = types.schema();
    let Some(object) = place.object(schema, path) else { return };
    for member in place.members(schema, object, path) {
        let is_begun = place.given.has_members(path, member.name);
        if place.given.has(path, member.name) && !is_begun {
            continue;
        }
        let is_object = matches!(schema.shape(member.ty), Shape::Object(_));
        let has_members = object_of(schema, member.ty).is_some();
        let is_union = object_of(schema, member.ty).is_some_and(|object| object.tag.is_some());
        if is_begun || is_object && !member.optional && !is_union && path.len() < MAX_DEPTH {
            if has_members && path.len() < MAX_DEPTH {
                path.push(member.name);
                collect(place, types, path, missing, &mut Vec::new());
                path.pop();
            }
            continue;
        }
        let mut key = path.join(".");
        if !path.is_empty() {
            key.push('.');
        }
        key.push_str(member.name);
        key.push_str(if is_object { "." } else { "=" });
        if member.optional { optional.push(key) } else { missing.push(key) }
    }
}
