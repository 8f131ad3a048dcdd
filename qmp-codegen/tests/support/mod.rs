//! Helpers for tests of introspection.

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use qmp_codegen::Root;
use qmp_codegen::schema::{Module, Schema};
use serde_json::{Map, Value};

/// Returns introspection as if the build contained the whole schema.
///
/// QEMU numbers types before it leaves out what is not in its build. Therefore, numbers have gaps,
/// the order of types can depend on references that were left out, and some types are unreachable.
/// Here, types are numbered and ordered as they are reached.
pub(crate) fn canonical(reply: &Value) -> Value {
    let entries: HashMap<&str, &Value> =
        reply.as_array().unwrap().iter().map(|e| (e["name"].as_str().unwrap(), e)).collect();
    let is_root = |e: &&Value| e["meta-type"] == "command" || e["meta-type"] == "event";
    let roots = reply.as_array().unwrap().iter().filter(is_root);
    let mut queue: Vec<&Value> = roots.collect();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut masked = 0;
    let mut canonical = Vec::new();
    let mut next = 0;
    while let Some(&entry) = queue.get(next) {
        let mut rename = |name: &str| {
            if !names.contains_key(name) {
                queue.push(entries[name]);
                let element = name.trim_matches(['[', ']']);
                if element != name && !names.contains_key(element) {
                    queue.push(entries[element]);
                    names.insert(element.to_owned(), numbered(element, &mut masked));
                }
                let new = match names.get(element) {
                    Some(element) => format!("[{element}]"),
                    None => numbered(element, &mut masked),
                };
                names.insert(name.to_owned(), new);
            }
            names[name].clone()
        };
        canonical.push(renamed(entry, &mut rename));
        next += 1;
    }
    canonical.into()
}

fn numbered(name: &str, masked: &mut usize) -> String {
    if !name.bytes().all(|c| c.is_ascii_digit()) {
        return name.to_owned();
    }
    *masked += 1;
    (*masked - 1).to_string()
}

fn renamed(entry: &Value, rename: &mut dyn FnMut(&str) -> String) -> Value {
    // Arguments come before return types, and common members before variants.
    const REFERENCES: [&str; 4] = ["arg-type", "ret-type", "type", "element-type"];
    match entry {
        Value::Array(elements) => elements.iter().map(|e| renamed(e, rename)).collect(),
        Value::Object(members) => {
            let mut new = Map::new();
            for (key, value) in members {
                new.insert(
                    key.clone(),
                    match value {
                        Value::String(name) if REFERENCES.contains(&key.as_str()) => {
                            rename(name).into()
                        }
                        Value::String(name) if key == "name" && is_type(members) => {
                            rename(name).into()
                        }
                        _ => renamed(value, rename),
                    },
                );
            }
            new.into()
        }
        _ => entry.clone(),
    }
}

fn is_type(entry: &Map<String, Value>) -> bool {
    entry.get("meta-type").is_some_and(|meta| meta != "command" && meta != "event")
}

/// Compares introspection entry by entry.
pub(crate) fn assert_same(what: &str, expected: &Value, found: &Value) {
    let (expected, found) = (expected.as_array().unwrap(), found.as_array().unwrap());
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        assert_eq!(expected, found, "{what}, entry {index}");
    }
    assert_eq!(expected.len(), found.len(), "{what}");
}

/// Returns replies of QEMU to `query-qmp-schema`, with their releases.
pub(crate) fn replies() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/tests/releases");
    let reply = |release: &str| {
        let path = directory.join(format!("{release}.json"));
        (release.to_owned(), std::fs::read_to_string(path).unwrap())
    };
    ["7.2", "10.0", "11.1"].map(reply).into()
}

/// Reads a schema from a text.
pub(crate) fn schema(text: &str) -> Schema {
    let root = Root::Text { name: String::from("test.json"), text: text.to_owned() };
    qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema
}

/// Compares schemas without the locations of definitions.
pub(crate) fn assert_equal_schemas(what: &str, expected: &Schema, found: &Schema) {
    let (expected, found) = (without_locations(expected), without_locations(found));
    let pairs = |a: &str, b: &str| assert_eq!(a, b, "{what}");
    for (a, b) in expected.types.iter().zip(&found.types) {
        pairs(&format!("{a:#?}"), &format!("{b:#?}"));
    }
    for (a, b) in expected.commands.iter().zip(&found.commands) {
        pairs(&format!("{a:#?}"), &format!("{b:#?}"));
    }
    for (a, b) in expected.events.iter().zip(&found.events) {
        pairs(&format!("{a:#?}"), &format!("{b:#?}"));
    }
    pairs(&format!("{expected:?}"), &format!("{found:?}"));
}

fn without_locations(schema: &Schema) -> Schema {
    let mut schema = schema.clone();
    let introduction = schema.modules.drain(..).flat_map(|module| module.introduction).collect();
    schema.modules.push(Module { path: String::new(), introduction });
    let types = schema.types.iter_mut().map(|ty| &mut ty.definition);
    let commands = schema.commands.iter_mut().map(|command| &mut command.definition);
    let events = schema.events.iter_mut().map(|event| &mut event.definition);
    for definition in types.chain(commands).chain(events) {
        definition.module = None;
        definition.span = None;
    }
    schema
}
