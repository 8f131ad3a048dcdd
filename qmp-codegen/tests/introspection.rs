//! Tests of the import and export of introspection.

#![allow(clippy::unwrap_used)]

use qmp_codegen::introspection::{ImportErrorKind, Names, Naming, export, import};
use qmp_codegen::schema::{Arguments, Schema, TypeKind};
use serde_json::{Value, json};

const SHELF: &str = include_str!("data/introspection.json");

fn shelf() -> Schema {
    import(SHELF, &Names::none()).unwrap()
}

fn type_names(schema: &Schema) -> Vec<&str> {
    schema.types.iter().map(|ty| ty.definition.name.as_str()).collect()
}

fn kind<'a>(schema: &'a Schema, name: &str) -> &'a TypeKind {
    &schema.types.iter().find(|ty| ty.definition.name == name).unwrap().kind
}

#[test]
fn imported_introspection_exports_unchanged() {
    let expected: Value = serde_json::from_str(SHELF).unwrap();
    assert_eq!(export(&shelf(), Naming::Masked, &|_| true), expected);
}

#[test]
fn types_are_named_after_the_path_to_them() {
    assert_eq!(
        type_names(&shelf()),
        [
            "QueryShelfReturn",
            "ShelfAddArguments",
            // The ending `List` is reserved for arrays.
            "QueryShelfReturnPickListType",
            "ShelfAddKind",
            "ShelfAddBook",
            "ShelfAddBox",
            "ShelfFullReason",
            "ShelfAddBookPlace",
            "ShelfAddBookPlaceObject",
        ]
    );
}

#[test]
fn names_come_from_the_table_if_it_contains_them() {
    let names = Names::from_json(
        r#"{
            "query-shelf": {"(returns)": "Shelf"},
            "shelf_add": {"(arguments)": "Thing"},
            "SHELF_FULL": {"reason": "FullReason"},
            "Thing": {"kind": "ThingKind", "(case box)": "Box"},
            "Box": {"place": "Place"},
            "Place": {"(object)": "Coordinates", "(string)": "str"}
        }"#,
    )
    .unwrap();
    let schema = import(SHELF, &names).unwrap();
    assert_eq!(
        type_names(&schema),
        [
            "Shelf",
            "Thing",
            "ShelfPickListType",
            "ThingKind",
            "ThingBook",
            "Box",
            "FullReason",
            "Place",
            "Coordinates",
        ]
    );
    assert_eq!(
        import(SHELF, &Names::from_schema(&schema)).map(|s| format!("{s:?}")),
        Ok(format!("{schema:?}"))
    );
}

#[test]
fn table_survives_conversion_to_json() {
    let names = Names::from_schema(&shelf());
    assert_eq!(Names::from_json(&names.to_json().to_string()), Ok(names));
}

#[test]
fn table_with_invalid_type_names_is_rejected() {
    for name in ["ThingList", "X", "Thing_Two", ""] {
        let table = json!({"query-shelf": {"(returns)": name}}).to_string();
        assert!(Names::from_json(&table).is_err(), "{name}");
    }
}

#[test]
fn unmasked_types_keep_their_names() {
    let schema = shelf();
    let unmasked = export(&schema, Naming::Unmasked, &|_| true);
    let names: Vec<&str> =
        unmasked.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"q_empty"));
    assert!(names.contains(&"q_obj_SHELF_FULL-arg"));
    assert!(names.contains(&"[QueryShelfReturn]"));
    let again = import(&unmasked.to_string(), &Names::none()).unwrap();
    assert_eq!(type_names(&again), type_names(&schema));
    assert_eq!(export(&again, Naming::Unmasked, &|_| true), unmasked);
}

#[test]
fn arguments_are_inline_unless_shared_or_a_union() {
    let schema = shelf();
    let arguments = |index: usize| &schema.commands[index].arguments;
    assert!(matches!(arguments(0), Arguments::Inline(members) if members.is_empty()));
    assert!(matches!(arguments(1), Arguments::Named { boxed: true, .. }));
    assert!(matches!(arguments(2), Arguments::Inline(members) if members.len() == 1));
    assert!(schema.commands[1].allow_oob);
    assert_eq!(schema.commands[1].returns, None);
}

#[test]
fn values_without_members_have_no_branch() {
    let TypeKind::Union(union) = kind(&shelf(), "ShelfAddArguments").clone() else { panic!() };
    let branches: Vec<&str> = union.branches.iter().map(|branch| branch.name.as_str()).collect();
    assert_eq!(branches, ["book", "box"]);
}

#[test]
fn definitions_have_locations_in_the_text() {
    let schema = shelf();
    for definition in schema.commands.iter().map(|command| &command.definition) {
        let span = definition.span.unwrap();
        let entry: Value =
            serde_json::from_str(&SHELF[span.start as usize..span.end as usize]).unwrap();
        assert_eq!(entry["name"], definition.name.as_str());
    }
}

#[test]
fn whole_reply_is_accepted() {
    let reply = format!(r#"{{"return": {SHELF}, "id": 7}}"#);
    let schema = import(&reply, &Names::none()).unwrap();
    assert_eq!(type_names(&schema), type_names(&shelf()));
    let span = schema.events[0].definition.span.unwrap();
    assert!(reply[span.start as usize..].starts_with(r#"{"name": "SHELF_FULL""#));
}

#[test]
fn unreachable_types_are_omitted() {
    let text = SHELF.replacen(
        '[',
        r#"[{"name": "99", "meta-type": "enum", "members": [{"name": "a"}]},"#,
        1,
    );
    assert_eq!(type_names(&import(&text, &Names::none()).unwrap()), type_names(&shelf()));
}

#[test]
fn enumerations_without_members_have_values() {
    let text = r#"[
        {"name": "FULL", "meta-type": "event", "arg-type": "0"},
        {"name": "0", "meta-type": "object", "members": [{"name": "a", "type": "1"}]},
        {"name": "1", "meta-type": "enum", "values": ["x", "y"]}]"#;
    let schema = import(text, &Names::none()).unwrap();
    let TypeKind::Enum(values) = kind(&schema, "FullA") else { panic!() };
    assert_eq!(values.values.len(), 2);
}

#[test]
fn errors_have_paths_and_messages() {
    let entry = |entry: &str| {
        format!(
            r#"[{{"name": "0", "meta-type": "object", "members": []}},
                {{"name": "e", "meta-type": "enum", "members": [{{"name": "a"}}]}}, {entry}]"#
        )
    };
    let cases = [
        (String::from("nonsense"), "invalid JSON: expected ident at line 1 column 2"),
        (String::from("17"), "expected an array of entries, or a reply that contains one"),
        (String::from("{}"), "missing member 'return'"),
        (
            String::from(r#"{"error": {"class": "CommandNotFound", "desc": "No such command"}}"#),
            "the server replied with an error: No such command",
        ),
        (entry("{}"), "[2]: missing member 'name'"),
        (entry("[]"), "[2]: expected an object"),
        (
            entry(r#"{"name": "0", "meta-type": "event", "arg-type": "0"}"#),
            "[2]: duplicate name '0'",
        ),
        (entry(r#"{"name": "x", "meta-type": "thing"}"#), "[2].meta-type: expected a meta-type"),
        (
            entry(r#"{"name": "X", "meta-type": "event", "arg-type": "7"}"#),
            "[2].arg-type: unknown type '7'",
        ),
        (
            entry(r#"{"name": "X", "meta-type": "event", "arg-type": "e"}"#),
            "[2].arg-type: expected an object type, found type 'e'",
        ),
        (
            entry(r#"{"name": "a b", "meta-type": "event", "arg-type": "0"}"#),
            "[2].name: expected a name of letters, digits, '-', '_', and '.'",
        ),
        (
            entry(r#"{"name": "[1]", "meta-type": "array", "element-type": "[1]"}"#),
            "[2].element-type: expected a type other than an array, found type '[1]'",
        ),
        (
            entry(r#"{"name": "1", "meta-type": "object", "members": [{"name": "a", "type": 3}]}"#),
            "[2].members[0].type: expected a string",
        ),
        (
            entry(
                r#"{"name": "1", "meta-type": "object", "tag": "t", "members":
                    [{"name": "t", "type": "e", "default": null}], "variants": []}"#,
            ),
            "[2].tag: expected the name of a mandatory member of an enum type",
        ),
        (
            entry(
                r#"{"name": "1", "meta-type": "object", "tag": "t", "members":
                    [{"name": "t", "type": "e"}], "variants": [{"case": "b", "type": "0"}]}"#,
            ),
            "[2].variants[0].case: expected a value of the tag's enum type",
        ),
        (
            entry(
                r#"{"name": "1", "meta-type": "object", "tag": "t", "members":
                    [{"name": "t", "type": "e"}], "variants": [{"case": "a", "type": "1"}]}"#,
            ),
            "[2]: type '1' contains itself",
        ),
    ];
    for (text, expected) in cases {
        let error = import(&text, &Names::none()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn errors_have_parts() {
    let error = import(r#"[{"name": "a"}]"#, &Names::none()).unwrap_err();
    assert_eq!(error.path(), "[0]");
    assert_eq!(*error.kind(), ImportErrorKind::Missing("meta-type"));
}

#[test]
fn truncated_and_corrupted_input_does_not_panic() {
    for end in 0..SHELF.len() {
        let _ = import(&SHELF[..end], &Names::none());
    }
    for at in 0..SHELF.len() {
        for byte in ["0", "\""] {
            let mut text = SHELF.to_owned();
            text.replace_range(at..=at, byte);
            if let Ok(schema) = import(&text, &Names::none()) {
                let _ = export(&schema, Naming::Masked, &|_| true);
                let _ = qmp_codegen::text::write(&schema);
                let _ = qmp_codegen::diff::diff(&schema, &schema);
            }
        }
    }
    assert!(import(&"[".repeat(100_000), &Names::none()).is_err());
}

/// Without a limit, each type in a long chain would have a longer name and path than the one before.
#[test]
fn names_and_paths_of_a_long_chain_are_limited() {
    let chain = |last: &str| {
        let mut entries =
            vec![json!({"name": "go", "meta-type": "command", "arg-type": "0", "ret-type": "1"})];
        entries.push(json!({"name": "0", "meta-type": "object", "members": []}));
        entries.push(json!({"name": "str", "meta-type": "builtin", "json-type": "string"}));
        for number in 1..10_000 {
            let next = (number + 1).to_string();
            let members = json!([{"name": "onwards", "type": next}]);
            entries.push(
                json!({"name": number.to_string(), "meta-type": "object", "members": members}),
            );
        }
        let members = json!([{"name": last, "type": "str"}]);
        entries.push(json!({"name": "10000", "meta-type": "object", "members": members}));
        import(&Value::from(entries).to_string(), &Names::none()).unwrap()
    };
    let (old, new) = (chain("end"), chain("goal"));
    assert!(old.types.iter().all(|ty| ty.definition.name.len() < 120));
    let difference = qmp_codegen::diff::diff(&old, &new);
    assert_eq!(difference.changes.len(), 2);
    assert!(difference.changes.iter().all(|change| change.path.len() < 300), "{difference}");
}
