//! Introspection, imported and exported.

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
fn exports_what_was_imported() {
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
            // A name that ends in `List` would be that of an array.
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
fn names_come_from_a_table_as_far_as_it_goes() {
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
fn a_table_survives_its_own_json() {
    let names = Names::from_schema(&shelf());
    assert_eq!(Names::from_json(&names.to_json().to_string()), Ok(names));
}

#[test]
fn a_table_cannot_give_names_that_types_cannot_have() {
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
fn arguments_stay_in_place_unless_they_are_shared_or_a_union() {
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
fn a_definition_knows_where_it_was_in_the_text() {
    let schema = shelf();
    for definition in schema.commands.iter().map(|command| &command.definition) {
        let span = definition.span.unwrap();
        let entry: Value =
            serde_json::from_str(&SHELF[span.start as usize..span.end as usize]).unwrap();
        assert_eq!(entry["name"], definition.name.as_str());
    }
}

#[test]
fn a_whole_reply_is_read_too() {
    let reply = format!(r#"{{"return": {SHELF}, "id": 7}}"#);
    let schema = import(&reply, &Names::none()).unwrap();
    assert_eq!(type_names(&schema), type_names(&shelf()));
    let span = schema.events[0].definition.span.unwrap();
    assert!(reply[span.start as usize..].starts_with(r#"{"name": "SHELF_FULL""#));
}

#[test]
fn types_that_nothing_leads_to_are_left_out() {
    let text = SHELF.replacen(
        '[',
        r#"[{"name": "99", "meta-type": "enum", "members": [{"name": "a"}]},"#,
        1,
    );
    assert_eq!(type_names(&import(&text, &Names::none()).unwrap()), type_names(&shelf()));
}

#[test]
fn enumerations_before_features_of_values() {
    let text = r#"[
        {"name": "FULL", "meta-type": "event", "arg-type": "0"},
        {"name": "0", "meta-type": "object", "members": [{"name": "a", "type": "1"}]},
        {"name": "1", "meta-type": "enum", "values": ["x", "y"]}]"#;
    let schema = import(text, &Names::none()).unwrap();
    let TypeKind::Enum(values) = kind(&schema, "FullA") else { panic!() };
    assert_eq!(values.values.len(), 2);
}

#[test]
fn errors_say_where() {
    let entry = |entry: &str| {
        format!(
            r#"[{{"name": "0", "meta-type": "object", "members": []}},
                {{"name": "e", "meta-type": "enum", "members": [{{"name": "a"}}]}}, {entry}]"#
        )
    };
    let cases = [
        (String::from("nonsense"), "not JSON: expected ident at line 1 column 2"),
        (String::from("17"), "expected an array of entries, or a reply with one"),
        (String::from("{}"), "member 'return' is missing"),
        (
            String::from(r#"{"error": {"class": "CommandNotFound", "desc": "No such command"}}"#),
            "the server answered with an error: No such command",
        ),
        (entry("{}"), "[2]: member 'name' is missing"),
        (entry("[]"), "[2]: expected an object"),
        (
            entry(r#"{"name": "0", "meta-type": "event", "arg-type": "0"}"#),
            "[2]: '0' is there twice",
        ),
        (entry(r#"{"name": "x", "meta-type": "thing"}"#), "[2].meta-type: expected a meta-type"),
        (
            entry(r#"{"name": "X", "meta-type": "event", "arg-type": "7"}"#),
            "[2].arg-type: there is no type '7'",
        ),
        (
            entry(r#"{"name": "X", "meta-type": "event", "arg-type": "e"}"#),
            "[2].arg-type: type 'e' is used where only an object type can stand",
        ),
        (
            entry(r#"{"name": "a b", "meta-type": "event", "arg-type": "0"}"#),
            "[2].name: expected a name of letters, digits, '-' and '_'",
        ),
        (
            entry(r#"{"name": "[1]", "meta-type": "array", "element-type": "[1]"}"#),
            "[2].element-type: type '[1]' is used where only a type that is no array can stand",
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
            "[2].tag: expected the name of a mandatory member that is an enumeration",
        ),
        (
            entry(
                r#"{"name": "1", "meta-type": "object", "tag": "t", "members":
                    [{"name": "t", "type": "e"}], "variants": [{"case": "b", "type": "0"}]}"#,
            ),
            "[2].variants[0].case: expected a value of the tag's enumeration",
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
fn no_truncation_and_no_wrong_byte_is_a_panic() {
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

/// Each type of a long chain would have a longer name than the one before it, and a longer path.
#[test]
fn a_long_chain_of_types_costs_no_more_than_its_length() {
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
