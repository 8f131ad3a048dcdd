//! Tests of which changes messages meet.

#![allow(clippy::unwrap_used)]

use qmp_codegen::diff::{Change, Scope, Usage, diff};
use qmp_codegen::schema::Schema;
use serde_json::{Value, json};

const TYPES: &str = "{ 'enum': 'Two', 'data': [ 'a', 'b' ] }
    { 'enum': 'Three', 'data': [ 'a', 'b', 'c' ] }
    { 'struct': 'Thing', 'data': { 'x': 'int', '*y': 'int' } }
    { 'struct': 'Bare', 'data': { 'x': 'int' } }
    { 'struct': 'Tree', 'data': { '*next': 'Tree', '*kind': 'Three' } }
    { 'alternate': 'IntOrBool', 'data': { 'i': 'int', 'b': 'bool' } }
    { 'alternate': 'ThingOrNull', 'data': { 's': 'Thing', 'n': 'null' } }
    { 'union': 'Wide', 'base': { 'kind': 'Three', '*name': 'str' }, 'discriminator': 'kind',
      'data': { 'a': 'Thing', 'c': 'Thing' } }
    { 'union': 'Slim', 'base': { 'kind': 'Two' }, 'discriminator': 'kind',
      'data': { 'a': 'Bare', 'b': 'Named' } }
    { 'struct': 'Named', 'data': { '*name': 'str' } }
";

fn schema(text: &str) -> Schema {
    let text = format!("{TYPES}{text}");
    let root = qmp_codegen::Root::Text { name: String::from("test.json"), text };
    qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema
}

/// Formats changes without what they have in common; those that break clients are marked with `!`.
fn lines(changes: &[Change], common: &str) -> Vec<String> {
    let line = |change: &Change| {
        let sign = if change.breaking { "! " } else { "  " };
        format!("{sign}{}", change.to_string().replacen(common, "", 1))
    };
    changes.iter().map(line).collect()
}

/// Compares a member of two types, for a message with this data.
fn met(old: &str, new: &str, data: &Value) -> (Vec<String>, Vec<String>) {
    let command = |data: &str| schema(&format!("{{ 'command': 'c', 'data': {{ {data} }} }}"));
    let event = |data: &str| schema(&format!("{{ 'event': 'E', 'data': {{ {data} }} }}"));
    let (old_command, new_command) = (command(old), command(new));
    let mut usage = Usage::new(&old_command, &new_command, Scope::Schema);
    let sent = lines(&usage.command("c", data, false).unwrap(), "command c: argument ");
    let (old_event, new_event) = (event(old), event(new));
    let mut usage = Usage::new(&old_event, &new_event, Scope::Schema);
    (sent, lines(&usage.event("E", data).unwrap(), "event E: data."))
}

#[track_caller]
fn assert_met(old: &str, new: &str, data: &Value, sent: &[&str], received: &[&str]) {
    let (found_sent, found_received) = met(old, new, data);
    assert_eq!(found_sent, sent, "sent: {old} -> {new}: {data}");
    assert_eq!(found_received, received, "received: {old} -> {new}: {data}");
}

#[test]
fn members_are_met_by_messages_that_have_or_lack_them() {
    let (with, without) = (json!({"m": 1}), json!({}));
    let removed = "m: removed, was optional";
    let (breaks, other) = (format!("! {removed}"), format!("  {removed}"));
    assert_met("'*m': 'int'", "", &with, &[&breaks], &[&other]);
    assert_met("'*m': 'int'", "", &without, &[], &[]);
    let breaks = "! m: removed, was mandatory";
    assert_met("'m': 'int'", "", &with, &[breaks], &[breaks]);
    assert_met("'*m': 'int'", "'m': 'int'", &with, &[], &[]);
    assert_met("'*m': 'int'", "'m': 'int'", &without, &["! m: is now mandatory"], &[]);
    assert_met("'m': 'int'", "'*m': 'int'", &with, &[], &["! m: is now optional"]);
    assert_met("", "'m': 'int'", &without, &["! m: added, mandatory"], &[]);
    assert_met("", "'*m': 'int'", &without, &[], &[]);
    // A client that knew better has sent it already.
    assert_met("", "'m': 'int'", &with, &[], &[]);
}

#[test]
fn types_are_met_by_values_that_no_longer_fit() {
    let narrowed = "! m: type is now enum, was str";
    assert_met("'m': 'str'", "'m': 'Two'", &json!({"m": "a"}), &[], &[]);
    assert_met("'m': 'str'", "'m': 'Two'", &json!({"m": "z"}), &[narrowed], &[]);
    let narrowed = "! m: type is now int8, was int";
    assert_met("'m': 'int'", "'m': 'int8'", &json!({"m": -128}), &[], &[]);
    assert_met("'m': 'int'", "'m': 'int8'", &json!({"m": 128}), &[narrowed], &[]);
    let changed = "! m: type is now str, was int";
    assert_met("'m': 'int'", "'m': 'str'", &json!({"m": 1}), &[changed], &[changed]);
    let widened = "! m: type is now str, was enum";
    assert_met("'m': 'Two'", "'m': 'str'", &json!({"m": "a"}), &[], &[widened]);
    // A reader of objects does not expect null.
    let widened = "! m: type is now object or null, was object";
    assert_met("'m': 'Thing'", "'m': 'ThingOrNull'", &json!({"m": {"x": 1}}), &[], &[widened]);
    let bare = json!({"m": {"x": 1}});
    assert_met("'m': 'ThingOrNull'", "'m': 'Thing'", &bare, &[], &[]);
    let removed = "! m: type is now object, was object or null";
    assert_met("'m': 'ThingOrNull'", "'m': 'Thing'", &json!({"m": null}), &[removed], &[]);
    // What was masked has lost its type.
    assert_met("'m': 'int'", "'m': 'Two'", &json!({"m": "<secret>"}), &[], &[]);
}

/// A member of any type becomes one of a type: what the value contains decides.
#[test]
fn values_of_any_type_are_compared_with_all_that_they_contain() {
    let broken = |new: &str, value: Value| {
        let (sent, received) = met("'m': 'any'", &format!("'m': {new}"), &json!({ "m": value }));
        assert_eq!(received, [] as [&str; 0], "{new}: {value}");
        assert!(sent.iter().all(|line| line.starts_with("! m: type is now")), "{sent:?}");
        !sent.is_empty()
    };
    for (new, value, is_broken) in [
        ("'Thing'", json!({"x": 1}), false),
        ("'Thing'", json!({"x": 1, "y": "<secret>"}), false),
        ("'Thing'", json!({}), true),
        ("'Thing'", json!({"x": "1"}), true),
        ("'Thing'", json!({"x": 1, "z": 1}), true),
        ("[ 'int' ]", json!([1, 2]), false),
        ("[ 'int' ]", json!([1, "2"]), true),
        ("'Wide'", json!({"kind": "a", "x": 1, "name": "n"}), false),
        ("'Wide'", json!({"kind": "b", "x": 1}), true),
        ("'Wide'", json!({"kind": "c"}), true),
        ("'ThingOrNull'", json!(null), false),
        ("'ThingOrNull'", json!({"y": 1}), true),
        ("'Tree'", json!({"next": {"next": {"kind": "c"}}}), false),
        ("'Tree'", json!({"next": {"next": {"kind": "d"}}}), true),
    ] {
        assert_eq!(broken(new, value.clone()), is_broken, "{new}: {value}");
    }
}

#[test]
fn values_and_branches_are_met_by_those_that_use_them() {
    let (breaks, other) = ("! m: value 'c' removed", "  m: value 'c' removed");
    assert_met("'m': 'Three'", "'m': 'Two'", &json!({"m": "a"}), &[], &[]);
    assert_met("'m': 'Three'", "'m': 'Two'", &json!({"m": "c"}), &[breaks], &[other]);
    // The branch is not reported in addition to the value.
    let (breaks, other) = ("! m.kind: value 'c' removed", "  m.kind: value 'c' removed");
    let used = json!({"m": {"kind": "c", "x": 1}});
    assert_met("'m': 'Wide'", "'m': 'Slim'", &used, &[breaks], &[other]);
    let used = json!({"m": {"kind": "a", "x": 1, "y": 2}});
    let (breaks, other) =
        ("! m(kind=a).y: removed, was optional", "  m(kind=a).y: removed, was optional");
    assert_met("'m': 'Wide'", "'m': 'Slim'", &used, &[breaks], &[other]);
    assert_met("'m': 'Wide'", "'m': 'Slim'", &json!({"m": {"kind": "a", "x": 1}}), &[], &[]);
    // A member of the base is now only in one branch.
    let narrowed = "m.name: is now only in branch 'b'";
    let (breaks, other) = (format!("! {narrowed}"), format!("  {narrowed}"));
    let used = json!({"m": {"kind": "a", "x": 1, "name": "n"}});
    assert_met("'m': 'Wide'", "'m': 'Slim'", &used, &[&breaks], &[&other]);
    assert_met("'m': 'Wide'", "'m': 'Slim'", &json!({"m": {"kind": "b", "name": "n"}}), &[], &[]);
}

/// The path is the one in the message, and many elements meet a change once.
#[test]
fn paths_are_those_of_the_message() {
    let old = schema("{ 'command': 'c', 'data': { 't': [ 'Tree' ] } }");
    let new = schema("{ 'command': 'c', 'data': { 't': [ 'Tree' ] } }");
    let mut small = new.clone();
    let three = small.types.iter_mut().find(|ty| ty.definition.name == "Three").unwrap();
    let qmp_codegen::schema::TypeKind::Enum(values) = &mut three.kind else { panic!() };
    values.values.pop();
    let mut usage = Usage::new(&old, &small, Scope::Schema);
    let tree = |kind: &str| json!({"next": {"kind": kind}, "kind": "a"});
    let used = json!({"t": [tree("a"), tree("c"), tree("c")]});
    let met = usage.command("c", &used, false).unwrap();
    assert_eq!(lines(&met, ""), ["! command c: argument t[].next.kind: value 'c' removed"]);
    // The comparison of schemas has the shortest path.
    let all = diff(&old, &small);
    assert_eq!(lines(&all.changes, ""), ["! command c: argument t[].kind: value 'c' removed"]);
    let mut same = Usage::new(&old, &new, Scope::Schema);
    assert_eq!(same.command("c", &used, false), Some(vec![]));
}

#[test]
fn commands_and_events_that_are_gone_deprecated_or_unknown() {
    let old = schema(
        "{ 'command': 'gone', 'returns': 'Thing' } { 'event': 'GONE' }
         { 'command': 'fast', 'allow-oob': true } { 'command': 'stays' }",
    );
    let new = schema(
        "{ 'command': 'fast' } { 'command': 'stays', 'features': [ 'deprecated', 'more' ] }",
    );
    let mut usage = Usage::new(&old, &new, Scope::Schema);
    let none = json!({});
    let mut command =
        |name: &str, oob: bool| usage.command(name, &none, oob).map(|changes| lines(&changes, ""));
    assert_eq!(command("gone", false).unwrap(), ["! command gone: removed"]);
    assert_eq!(command("fast", false).unwrap(), [""; 0]);
    assert_eq!(command("fast", true).unwrap(), ["! command fast: 'allow-oob' is now false"]);
    assert_eq!(command("stays", false).unwrap(), ["  command stays: feature 'deprecated' added"]);
    assert_eq!(command("other", false), None);
    assert_eq!(usage.reply("gone", &json!({"x": 1})), Some(vec![]));
    assert_eq!(lines(&usage.event("GONE", &none).unwrap(), ""), ["! event GONE: removed"]);
    assert_eq!(usage.event("OTHER", &none), None);
}

/// Messages that do not fit the schema are compared as far as they do.
#[test]
fn whatever_arrives_is_compared_without_panic() {
    let old =
        schema("{ 'command': 'c', 'data': { '*w': 'Wide', '*t': [ 'Tree' ], '*a': 'IntOrBool' } }");
    let new = schema("{ 'command': 'c', 'data': { '*w': 'Slim', '*t': [ 'Two' ], '*a': 'bool' } }");
    let mut usage = Usage::new(&old, &new, Scope::Schema);
    let values = [
        json!(null),
        json!([]),
        json!("c"),
        json!({"kind": 7, "x": "y"}),
        json!([[[{}]], {"kind": "c", "next": [1]}]),
        json!(1e300),
    ];
    for value in &values {
        for data in [value.clone(), json!({"w": value, "t": value, "a": value})] {
            usage.command("c", &data, true).unwrap();
            usage.reply("c", &data).unwrap();
        }
    }
}
