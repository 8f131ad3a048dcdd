//! Tests of the comparison of schemas, and of which changes break clients.

#![allow(clippy::unwrap_used)]

use qmp_codegen::diff::{Scope, diff, diff_within};
use qmp_codegen::schema::Schema;

fn schema(text: &str) -> Schema {
    let root = qmp_codegen::Root::Text { name: String::from("test.json"), text: text.to_owned() };
    qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema
}

/// Compares two schemas, and checks the changes. Breaking changes are marked with `!`.
fn assert_changes(old: &str, new: &str, expected: &[&str]) {
    let difference = diff(&schema(old), &schema(new));
    let line = |change: &qmp_codegen::diff::Change| {
        format!("{}{change}", if change.breaking { "! " } else { "  " })
    };
    let found: Vec<String> = difference.changes.iter().map(line).collect();
    assert_eq!(found, expected, "\n{old}\n{new}");
    assert_eq!(difference.is_breaking(), expected.iter().any(|line| line.starts_with('!')));
}

/// Checks a change of a member, both as an argument and as data of an event.
fn assert_member(old: &str, new: &str, sent: &str, received: &str) {
    let types = "{ 'enum': 'Two', 'data': [ 'a', 'b' ] }
                 { 'enum': 'Three', 'data': [ 'a', 'b', 'c' ] }
                 { 'struct': 'Thing', 'data': { 'x': 'int' } }
                 { 'alternate': 'BoolOrInt', 'data': { 'i': 'int', 'b': 'bool' } }
                 { 'alternate': 'ThingOrNull', 'data': { 's': 'Thing', 'n': 'null' } }";
    let command = |data: &str| format!("{types} {{ 'command': 'c', 'data': {{ {data} }} }}");
    let event = |data: &str| format!("{types} {{ 'event': 'E', 'data': {{ {data} }} }}");
    let line = |line: &str, place: &str| format!("{} {place}{}", &line[..1], &line[2..]);
    assert_changes(&command(old), &command(new), &[&line(sent, "command c: argument m")]);
    assert_changes(&event(old), &event(new), &[&line(received, "event E: data.m")]);
}

#[test]
fn members_added_removed_and_changed() {
    assert_member("", "'*m': 'int'", "  : added, optional", "  : added, optional");
    assert_member("", "'m': 'int'", "! : added, mandatory", "  : added, mandatory");
    assert_member("'*m': 'int'", "", "! : removed, was optional", "  : removed, was optional");
    assert_member("'m': 'int'", "", "! : removed, was mandatory", "! : removed, was mandatory");
    assert_member("'m': 'int'", "'*m': 'int'", "  : is now optional", "! : is now optional");
    assert_member("'*m': 'int'", "'m': 'int'", "! : is now mandatory", "  : is now mandatory");
}

#[test]
fn types_widened_narrowed_and_changed() {
    for (old, new, sent, received, change) in [
        ("Two", "Three", ' ', ' ', "value 'c' added"),
        ("Three", "Two", '!', ' ', "value 'c' removed"),
        ("Two", "str", ' ', '!', "type is now str, was enum"),
        ("str", "Two", '!', ' ', "type is now enum, was str"),
        ("int", "BoolOrInt", ' ', '!', "type is now int or bool, was int"),
        ("BoolOrInt", "bool", '!', ' ', "type is now bool, was int or bool"),
        ("Thing", "ThingOrNull", ' ', '!', "type is now object or null, was object"),
        ("ThingOrNull", "int", '!', '!', "type is now int, was object or null"),
        ("uint8", "uint32", ' ', '!', "type is now uint32, was uint8"),
        ("int64", "int32", '!', ' ', "type is now int32, was int64"),
        ("int", "number", ' ', '!', "type is now number, was int"),
        ("str", "int", '!', '!', "type is now int, was str"),
        ("Thing", "any", ' ', '!', "type is now any, was object"),
        ("bool", "Thing", '!', '!', "type is now object, was bool"),
    ] {
        let (old, new) = (format!("'m': '{old}'"), format!("'m': '{new}'"));
        let line = |mark: char| format!("{mark} : {change}");
        assert_member(&old, &new, &line(sent), &line(received));
    }
    assert_member(
        "'m': ['str']",
        "'m': ['int']",
        "! []: type is now int, was str",
        "! []: type is now int, was str",
    );
    assert_member(
        "'m': ['str']",
        "'m': 'str'",
        "! : type is now str, was [str]",
        "! : type is now str, was [str]",
    );
}

#[test]
fn changes_that_are_not_on_the_wire_are_ignored() {
    assert_changes(
        "{ 'struct': 'Base', 'data': { 'a': 'int' } }
         { 'struct': 'Whole', 'base': 'Base', 'data': { 'b': 'Letter' } }
         { 'enum': 'Letter', 'data': [ 'x', 'y' ] }
         { 'command': 'c', 'data': 'Whole', 'returns': 'Whole', 'coroutine': true }",
        "{ 'enum': 'Renamed', 'data': [ 'y', 'x' ] }
         { 'command': 'c', 'data': { 'b': 'Renamed', 'a': 'int64' }, 'returns': 'Both' }
         { 'struct': 'Both', 'data': { 'b': 'Renamed', 'a': 'int' } }
         { 'struct': 'Unused', 'data': {} }",
        &[],
    );
}

#[test]
fn commands_and_events_added_and_removed() {
    assert_changes(
        "{ 'command': 'a', 'features': [ 'deprecated' ] } { 'command': 'b' } { 'event': 'A' }",
        "{ 'command': 'b' } { 'command': 'c', 'features': [ 'unstable' ] } { 'event': 'B' }",
        &[
            "! command a: removed (was deprecated)",
            "  command c: added (unstable)",
            "! event A: removed",
            "  event B: added",
        ],
    );
}

#[test]
fn flags_and_features() {
    assert_changes(
        "{ 'command': 'a', 'allow-oob': true, 'gen': false }
         { 'command': 'b', 'features': [ 'fast' ] }
         { 'enum': 'Letters', 'data': [ 'x' ] } { 'event': 'E', 'data': { 'l': 'Letters' } }",
        "{ 'command': 'a', 'success-response': false, 'allow-preconfig': true }
         { 'command': 'b', 'features': [ 'deprecated' ] }
         { 'enum': 'Letters', 'data': [ { 'name': 'x', 'features': [ 'unstable' ] } ] }
         { 'event': 'E', 'data': { 'l': { 'type': 'Letters', 'features': [ 'deprecated' ] } } }",
        &[
            "! command a: 'allow-oob' is now false",
            "! command a: 'success-response' is now false",
            "! command a: 'gen' is now true",
            "  command a: 'allow-preconfig' is now true",
            "  command b: feature 'fast' removed",
            "  command b: feature 'deprecated' added",
            "  event E: data.l: feature 'deprecated' added",
            "  event E: data.l=x: feature 'unstable' added",
        ],
    );
}

const UNION: &str = "
{ 'enum': 'Driver', 'data': [ 'file', 'raw', 'null' ] }
{ 'struct': 'File', 'data': { 'path': 'str', '*lock': 'bool' } }
{ 'struct': 'Raw', 'data': { 'path': 'str' } }
{ 'union': 'Options', 'base': { 'driver': 'Driver', '*ro': 'bool' }, 'discriminator': 'driver',
  'data': { 'file': 'File', 'raw': 'Raw' } }
{ 'command': 'add', 'data': 'Options', 'boxed': true }
{ 'command': 'query', 'returns': ['Options'] }";

#[test]
fn branches_added_and_removed() {
    let with = |old: &str, new: &str| UNION.replace(old, new);
    assert_changes(
        UNION,
        &with("'raw', 'null'", "'raw', 'null', 'new'"),
        &["  command add: argument driver: value 'new' added; also in command query"],
    );
    assert_changes(
        &with("'file': 'File', ", ""),
        UNION,
        &[
            "! command add: argument (driver=file).path: added, mandatory; also in command query",
            "  command add: argument (driver=file).lock: added, optional; also in command query",
        ],
    );
    let more = with("'raw', 'null'", "'raw', 'null', 'x'")
        .replace("'raw': 'Raw' }", "'raw': 'Raw', 'x': 'Raw' }");
    assert_changes(
        UNION,
        &more,
        &[
            "  command add: argument: branch 'x' added; also in command query",
            "  command add: argument driver: value 'x' added; also in command query",
        ],
    );
    assert_changes(
        &more,
        UNION,
        &[
            "! command add: argument: branch 'x' removed; also in command query",
            "! command add: argument driver: value 'x' removed; also in command query",
        ],
    );
}

#[test]
fn members_moved_between_base_and_branches() {
    let in_base = UNION.replace("'*ro': 'bool'", "'*ro': 'bool', 'path': 'str'");
    let in_base =
        in_base.replace("{ 'path': 'str', '*lock'", "{ '*lock'").replace("{ 'path': 'str' }", "{}");
    assert_changes(
        UNION,
        &in_base,
        &[
            "! command add: argument path: was only in branches 'file', 'raw', is now in all, mandatory; \
         also in command query",
        ],
    );
    assert_changes(
        &in_base,
        UNION,
        &[
            "! command add: argument path: is now only in branches 'file', 'raw'; also in command query",
        ],
    );
    let all = |text: &str| text.replace(", 'null' ]", " ]");
    assert_changes(&all(UNION), &all(&in_base), &[]);
    assert_changes(&all(&in_base), &all(UNION), &[]);
}

#[test]
fn struct_replaced_by_union() {
    let plain = UNION.replace(
        "'data': 'Options', 'boxed': true",
        "'data': { 'driver': 'Driver', '*ro': 'bool' }",
    );
    assert_changes(
        &plain,
        UNION,
        &[
            "! command add: argument (driver=file).path: added, mandatory",
            "  command add: argument (driver=file).lock: added, optional",
            "! command add: argument (driver=raw).path: added, mandatory",
        ],
    );
}

#[test]
fn changes_of_shared_types_are_reported_once_and_recursion_ends() {
    let tree = |members: &str| {
        format!(
            "{{ 'struct': 'Tree', 'data': {{ {members} '*left': 'Tree', '*more': ['Tree'] }} }}
             {{ 'command': 'plant', 'data': {{ 'tree': 'Tree' }} }}
             {{ 'command': 'prune', 'data': 'Tree', 'returns': 'Tree' }}
             {{ 'event': 'FELLED', 'data': {{ 'tree': 'Tree' }} }}"
        )
    };
    assert_changes(
        &tree("'age': 'int', "),
        &tree(""),
        &[
            "! command prune: argument age: removed, was mandatory; also in command plant and 1 more",
        ],
    );
}

/// The change does not break clients in the direction in which the type is reached first.
#[test]
fn path_is_that_of_the_direction_that_breaks_clients() {
    assert_changes(
        "{ 'struct': 'Thing', 'data': { '*x': 'int' } } { 'command': 'c', 'returns': 'Thing' }
         { 'command': 'd', 'data': { 's': { 'type': 'Thing', 'features': [ 'unstable' ] } } }",
        "{ 'struct': 'Thing', 'data': { 'x': 'int' } } { 'command': 'c', 'returns': 'Thing' }
         { 'command': 'd', 'data': { 's': { 'type': 'Thing', 'features': [ 'unstable' ] } } }",
        &["! command d: argument s.x: is now mandatory; also in command c"],
    );
}

#[test]
fn scope_of_introspection_ignores_integer_types_and_flags() {
    let old = schema("{ 'command': 'c', 'data': { 'x': 'uint8' }, 'allow-preconfig': true }");
    let new = schema("{ 'command': 'c', 'data': { 'x': 'int' } }");
    assert_eq!(diff(&old, &new).changes.len(), 2);
    assert!(diff_within(&old, &new, Scope::Introspection).is_empty());
}

#[test]
fn text_and_json() {
    let old = schema("{ 'command': 'a' } { 'command': 'b', 'data': { 'x': 'int' } }");
    let new = schema("{ 'command': 'b', 'data': { '*x': 'int' } }");
    let difference = diff(&old, &new);
    assert_eq!(
        difference.to_string(),
        "Breaking changes (1):\n  command a: removed\n\
         Other changes (1):\n  command b: argument x: is now optional\n"
    );
    assert_eq!(
        difference.to_json(),
        serde_json::json!({
            "breaking": true,
            "changes": [
                {"command": "a", "change": "removed", "breaking": true, "directions": [],
                 "text": "command a: removed"},
                {"command": "b", "path": "argument x", "change": "made-optional",
                 "breaking": false, "directions": ["sent"],
                 "text": "command b: argument x: is now optional"},
            ]
        })
    );
    assert_eq!(diff(&new, &new).to_string(), "No changes.\n");
}
