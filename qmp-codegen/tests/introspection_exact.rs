//! Imports and exports replies byte for byte.

#![allow(clippy::unwrap_used)]

mod support;

use qmp_codegen::introspection::{ImportErrorKind, Names, Record, import, import_exact};
use qmp_codegen::schema::Schema;
use serde_json::{Value, json};
use support::replies;

const SHELF: &str = include_str!("data/introspection.json");

/// Returns the small reply as one line, in QEMU's layout but with members in alphabetical order.
fn shelf() -> String {
    let value: Value = serde_json::from_str(SHELF).unwrap();
    // No string in it has a colon or a comma.
    value.to_string().replace(':', ": ").replace(',', ", ")
}

/// Returns the schema and record of a text, which an export must reproduce.
fn exact(text: &str) -> (Schema, Record) {
    let (schema, record) = import_exact(text, &Names::none()).unwrap();
    assert_eq!(record.export(&schema, &|_| true), text);
    let again = Record::from_json(&record.to_json().to_string()).unwrap();
    assert_eq!(again, record);
    // The schema is enough, without what an import knows: positions, and the order of types.
    let written = support::schema(&qmp_codegen::text::write(&schema));
    assert_eq!(again.export(&written, &|_| true), text);
    (schema, record)
}

/// Nothing but the schema and the record of its numbers is needed to write what QEMU has sent.
#[test]
fn replies_of_qemu_survive_byte_for_byte() {
    for (release, text) in replies() {
        let (schema, record) = exact(&text);
        assert!(record.is_regular(), "{release}: {:#}", record.to_json()["exceptions"]);
        // Types that nothing refers to are in the schema, too, and their number is as it was.
        let reachable = import(&text, &Names::none()).unwrap();
        let unreachable = record.to_json()["unreachable"].as_array().unwrap().len();
        assert!(schema.types.len() >= reachable.types.len() && unreachable > 0, "{release}");
        println!("{release}: {} bytes, {unreachable} unreachable types", text.len());
    }
}

/// QEMU sends one line, and with the option `pretty` an indented text with CR and LF.
#[test]
fn any_regular_layout_survives() {
    let (line, value) = (shelf(), serde_json::from_str::<Value>(SHELF).unwrap());
    let inside = &line[1..line.len() - 1];
    for text in [line.clone(), value.to_string(), format!("\n[ {inside} ]\n")] {
        exact(&text);
    }
    let indented = "[\r\n        {\r\n            \"name\": \"STOP\",\r\n            \
                    \"meta-type\": \"event\",\r\n            \"arg-type\": \"0\"\r\n        },\r\n        \
                    {\r\n            \"name\": \"0\",\r\n            \"members\": [\r\n            ],\r\n            \
                    \"meta-type\": \"object\"\r\n        }\r\n    ]";
    let (_, record) = exact(indented);
    assert!(record.is_regular());
}

#[test]
fn the_array_of_a_whole_reply_survives() {
    let array = shelf();
    let (schema, record) =
        import_exact(&format!("{{\"return\": {array}, \"id\": 7}}\r\n"), &Names::none()).unwrap();
    assert_eq!(record.export(&schema, &|_| true), array);
}

const STOP: &str = r#"{"name": "STOP", "meta-type": "event", "arg-type": "0"}"#;
const EMPTY: &str = r#"{"name": "0", "members": [], "meta-type": "object"}"#;
const GO: &str = r#"{"name": "go", "ret-type": "0", "meta-type": "command", "arg-type": "5"}"#;

/// Anything that a schema cannot express is kept as it was received.
#[test]
fn oddities_of_other_servers_survive() {
    for (what, odd) in [
        (
            "an unknown member",
            r#"{"name": "5", "x": {"b": 1, "a": [2]}, "members": [], "meta-type": "object"}"#,
        ),
        (
            "an unknown member of a member",
            r#"{"name": "5", "members": [{"name": "a", "type": "str", "since": "1.0"}], "meta-type": "object"}"#,
        ),
        (
            "another order",
            r#"{"meta-type": "object", "name": "5", "members": [{"type": "str", "name": "a"}]}"#,
        ),
        (
            "a default value",
            r#"{"name": "5", "members": [{"name": "a", "default": 7, "type": "str"}], "meta-type": "object"}"#,
        ),
        (
            "an empty list of features",
            r#"{"name": "5", "members": [], "meta-type": "object", "features": []}"#,
        ),
        (
            "a second name of a built-in type",
            r#"{"name": "5", "members": [{"name": "a", "type": "u8"}], "meta-type": "object"}, {"name": "u8", "json-type": "int", "meta-type": "builtin"}, {"name": "int", "json-type": "int", "meta-type": "builtin"}"#,
        ),
        (
            "a union without branches",
            r#"{"name": "5", "tag": "t", "variants": [{"case": "a", "type": "0"}], "members": [{"name": "t", "type": "6"}], "meta-type": "object"}, {"name": "6", "members": [{"name": "a"}], "meta-type": "enum", "values": ["a"]}"#,
        ),
        (
            "values without members",
            r#"{"name": "5", "members": [{"name": "a", "type": "6"}], "meta-type": "object"}, {"name": "6", "meta-type": "enum", "values": ["a"]}"#,
        ),
        (
            "members without values",
            r#"{"name": "5", "members": [{"name": "a", "type": "6"}], "meta-type": "object"}, {"name": "6", "members": [{"name": "a"}], "meta-type": "enum"}"#,
        ),
        (
            "escapes in a value",
            r#"{"name": "5", "members": [{"name": "\u0061", "type": "str"}], "meta-type": "object"}"#,
        ),
        (
            "a second empty object",
            r#"{"name": "5", "members": [], "meta-type": "object"}, {"name": "6", "members": [], "meta-type": "object"}"#,
        ),
        (
            "out-of-band stated as false",
            r#"{"name": "on", "ret-type": "0", "allow-oob": false, "meta-type": "command", "arg-type": "0"}, {"name": "5", "members": [{"name": "a", "type": "str"}], "meta-type": "object"}"#,
        ),
        (
            "an unreachable array",
            r#"{"name": "5", "members": [{"name": "a", "type": "str"}], "meta-type": "object"}, {"name": "[6]", "element-type": "6", "meta-type": "array"}, {"name": "6", "members": [{"name": "a"}], "meta-type": "enum", "values": ["a"]}"#,
        ),
    ] {
        let text = format!(
            r#"[{STOP}, {GO}, {EMPTY}, {{"name": "str", "json-type": "string", "meta-type": "builtin"}}, {odd}]"#
        );
        let result = import_exact(&text, &Names::none());
        let (schema, record) = result.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(record.export(&schema, &|_| true), text, "{what}");
        let stored = Record::from_json(&record.to_json().to_string()).unwrap();
        assert_eq!(stored.export(&schema, &|_| true), text, "{what}");
        assert_eq!(record.is_regular(), what == "an unreachable array", "{what}");
    }
}

/// Any other text is an error that says so, at its entry.
#[test]
fn text_that_an_export_cannot_reproduce_is_an_error() {
    for (entry, kind) in [
        (r#"{"name":  "1", "members": [], "meta-type": "object"}"#, ImportErrorKind::Layout),
        (
            r#"{"name": "1", "members": [], "members": [], "meta-type": "object"}"#,
            ImportErrorKind::Layout,
        ),
        (r#"{"n\u0061me": "1", "members": [], "meta-type": "object"}"#, ImportErrorKind::Layout),
        (r#"{"name": "1", "meta-type": "module"}"#, ImportErrorKind::Expected("a meta-type")),
    ] {
        let text = format!("[{STOP}, {EMPTY}, {entry}]");
        let error = import_exact(&text, &Names::none()).unwrap_err();
        assert_eq!(*error.kind(), kind, "{entry}");
        assert!(error.path().starts_with("[2]"), "{entry}: {error}");
    }
    let uneven = format!(
        "[{STOP}, {EMPTY},  {{\"name\": \"1\", \"members\": [], \"meta-type\": \"object\"}}]"
    );
    assert!(import_exact(&uneven, &Names::none()).is_err());
}

/// A proxy that answers for a part of a server leaves all numbers as they are.
#[test]
fn numbers_stay_when_the_schema_is_changed() {
    let (_, text) = replies().remove(0);
    let (mut schema, record) = exact(&text);
    let wire = |exported: &str| -> Vec<String> {
        let entries: Vec<Value> = serde_json::from_str(exported).unwrap();
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    let before = wire(&text);

    schema.commands.retain(|command| command.definition.name != "query-block");
    let after = wire(&record.export(&schema, &|_| true));
    let gone: Vec<&String> = before.iter().filter(|name| !after.contains(name)).collect();
    assert!(gone.len() > 2 && gone.contains(&&String::from("query-block")), "{gone:?}");
    let kept: Vec<&String> = before.iter().filter(|name| !gone.contains(name)).collect();
    assert_eq!(kept, after.iter().collect::<Vec<_>>());

    let mut added = support::schema("{ 'command': 'x', 'data': { 'a': [ 'int' ] } }").commands;
    schema.commands.append(&mut added);
    let after = wire(&record.export(&schema, &|_| true));
    let numbers = before.iter().filter_map(|name| name.parse::<u32>().ok());
    let next = numbers.max().map(|number| (number + 1).to_string());
    assert_eq!(after.last(), next.as_ref());
    assert_eq!(after[after.len() - 2], "x");
}

#[test]
fn corrupted_input_does_not_panic() {
    let shelf = shelf();
    for at in (0..shelf.len()).step_by(3) {
        let _ = import_exact(&shelf[..at], &Names::none());
        for byte in ["0", "\""] {
            let mut text = shelf.clone();
            text.replace_range(at..=at, byte);
            if let Ok((schema, record)) = import_exact(&text, &Names::none()) {
                assert_eq!(record.export(&schema, &|_| true), text);
            }
        }
    }
}

/// Whitespace is repeated in each line of an indented text: a megabyte of it, in 10,000 lines.
#[test]
fn whitespace_is_limited() {
    let values: String = (0..10_000).map(|n| format!("\n{{\"name\": \"a{n}\"}},")).collect();
    let entry = format!(
        "{{\n\"name\": \"1\", \"meta-type\": \"enum\", \"members\": [{values} {{\"name\": \"z\"}}]}}"
    );
    let text = format!("[{}{entry}]", " ".repeat(1 << 20));
    let error = import_exact(&text, &Names::none()).unwrap_err();
    assert_eq!(*error.kind(), ImportErrorKind::Layout);

    let mut json = exact(&shelf()).1.to_json();
    json["style"] = Value::from(1 << 20);
    assert!(Record::from_json(&json.to_string()).is_err());
    json["style"] = Value::from(4);
    json["whitespace"][1] = " ".repeat(1 << 20).into();
    assert!(Record::from_json(&json.to_string()).is_err());
}

/// The texts of a record go into the export, which would not be JSON, or be far larger than the
/// record.
#[test]
fn a_record_that_lies_is_rejected() {
    let (schema, record) = exact(&shelf());
    let json = record.to_json();
    let entry = json["entries"][0].clone();
    let rejects = |change: &dyn Fn(&mut Value)| {
        let mut changed = json.clone();
        change(&mut changed);
        Record::from_json(&changed.to_string()).unwrap_err();
    };
    for text in ["", "\u{1b}[31m", "\"\u{1b}\"", "{}]", "{}, {}", " x"] {
        rejects(&|json| json["entries"][0] = json!({"name": "x", "verbatim": text}));
        rejects(&|json| json["exceptions"] = json!({"x": {"": [["a", text]]}}));
    }
    rejects(&|json| {
        json["exceptions"] = json!({"x": {"": [["members", null], ["members", null]]}})
    });
    rejects(&|json| json["entries"] = vec![entry.clone(); 2].into());

    // The largest number has no successor.
    let mut changed = json.clone();
    let slots = changed["entries"].as_array_mut().unwrap();
    let last = slots.iter_mut().rev().find(|slot| slot.is_array()).unwrap();
    last[0] = u64::MAX.to_string().into();
    let record = Record::from_json(&changed.to_string()).unwrap();
    let mut schema = schema;
    let mut added = support::schema(
        "{ 'command': 'x', 'data': { 'a': 'int' } } { 'command': 'y', 'data': { 'b': 'int' } }",
    );
    schema.commands.append(&mut added.commands);
    let entries: Vec<Value> = serde_json::from_str(&record.export(&schema, &|_| true)).unwrap();
    let mut names: Vec<&str> =
        entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_text_that_is_not_a_record_is_rejected() {
    let (_, record) = exact(&shelf());
    let json = record.to_json();
    for member in ["entries", "unreachable", "exceptions", "whitespace", "style"] {
        for bad in [Value::Null, Value::from(1_000_000), Value::from(vec![1]), Value::from("x")] {
            let mut changed = json.clone();
            changed[member] = bad;
            let error = Record::from_json(&changed.to_string()).unwrap_err();
            assert!(error.to_string().starts_with("invalid record: "), "{error}");
        }
    }
    let error = Record::from_json("[").unwrap_err();
    assert!(error.to_string().contains("EOF"), "{error}");
}
