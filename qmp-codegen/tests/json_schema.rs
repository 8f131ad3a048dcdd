//! Validates replies, events, and commands with exported JSON Schemas.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use jsonschema::Validator;
use qmp_codegen::Root;
use qmp_codegen::json_schema::{Role, export};
use qmp_codegen::schema::Schema;
use serde_json::{Value, json};

/// A JSON Schema that validates an object with a value for the name of a definition.
struct Document {
    json: Value,
    validator: Validator,
}

impl Document {
    fn new(schema: &Schema, role: Role) -> Self {
        let json = export(schema, role);
        jsonschema::meta::validate(&json).unwrap();
        let mut all = json.clone();
        let names = json["$defs"].as_object().unwrap().keys();
        let references =
            names.map(|name| (name.clone(), json!({"$ref": format!("#/$defs/{name}")})));
        all["properties"] = Value::Object(references.collect());
        all["additionalProperties"] = false.into();
        all.as_object_mut().unwrap().remove("anyOf");
        Self { json, validator: jsonschema::draft202012::new(&all).unwrap() }
    }

    /// Returns the errors of a value, each with its place.
    fn errors(&self, definition: &str, value: &Value) -> Vec<String> {
        assert!(self.json["$defs"].get(definition).is_some(), "{definition}");
        let value = json!({definition: value});
        let errors = self.validator.iter_errors(&value);
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
    }
}

fn both(schema: &Schema) -> [Document; 2] {
    [Role::Client, Role::Server].map(|role| Document::new(schema, role))
}

fn vocabulary() -> Schema {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema");
    let roots = ["qmp-spec.json", "qmp-events.json"].map(|root| Root::File(directory.join(root)));
    qmp_codegen::load(roots).unwrap().schema
}

/// Replies and events that QEMU has sent, recorded by the tests of `conformance`.
fn recorded() -> [(&'static str, Value); 3] {
    ["7.2", "10.0", "11.1"].map(|release| {
        let path = format!("{}/tests/data/replies/{release}.json", env!("CARGO_MANIFEST_DIR"));
        (release, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    })
}

#[test]
fn recorded_replies_and_events_are_valid() {
    let [client, server] = both(&vocabulary());
    for (release, recorded) in recorded() {
        let (replies, events) =
            (recorded["replies"].as_object().unwrap(), recorded["events"].as_array().unwrap());
        assert!(replies.len() > 70 && events.len() > 1, "{release}");
        for document in [&client, &server] {
            for (command, value) in replies {
                let errors = document.errors(&format!("{command}:returns"), value);
                assert!(errors.is_empty(), "{release}: {command}: {errors:?}");
            }
            for event in events {
                let errors = document.errors("message:event", event);
                assert!(errors.is_empty(), "{release}: {event}: {errors:?}");
            }
        }
        println!("{release}: {} replies and {} events are valid", replies.len(), events.len());
    }
}

/// The programs for which a value is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    /// For both: a client would not accept it either.
    Both,
    /// For a server only: a client takes it for what a later release sends.
    Server,
}

#[test]
fn wrong_values_are_invalid() {
    use Wrong::{Both, Server};
    let [client, server] = both(&vocabulary());
    let time = json!({"seconds": 1, "microseconds": 2});
    let command = "message:command";
    for (definition, right, wrong, who) in [
        (
            "query-status:returns",
            json!({"running": true, "status": "paused"}),
            json!({"status": "paused"}),
            Both,
        ),
        (
            "query-status:returns",
            json!({"running": true, "status": "paused"}),
            json!({"running": 1, "status": "paused"}),
            Both,
        ),
        ("query-status:returns", json!({"running": true, "status": "paused"}), json!([]), Both),
        (
            "query-status:returns",
            json!({"running": true, "status": "paused"}),
            json!({"running": true, "status": "asleep"}),
            Server,
        ),
        (
            "query-status:returns",
            json!({"running": true, "status": "paused"}),
            json!({"running": true, "status": "paused", "x": 1}),
            Server,
        ),
        ("query-name:returns", json!({}), json!({"name": null}), Both),
        ("stop:returns", json!({}), json!(null), Both),
        ("stop:returns", json!({}), json!({"x": 1}), Server),
        ("query-iothreads:returns", json!([]), json!([{}]), Both),
        ("query-uuid:returns", json!({"UUID": "x"}), json!({"UUID": 7}), Both),
        // A union, its branch, and its base.
        ("query-block-jobs:returns", json!([]), json!({}), Both),
        ("query-memory-devices:returns", json!([]), json!([{"type": "dimm"}]), Both),
        ("query-memory-devices:returns", json!([]), json!([{"type": "new", "data": {}}]), Server),
        // Numbers have ranges.
        ("query-balloon:returns", json!({"actual": 1}), json!({"actual": 1.5}), Both),
        ("query-balloon:returns", json!({"actual": 1}), json!({"actual": 1_u64 << 63}), Both),
        // Commands are closed for both.
        (command, json!({"execute": "stop"}), json!({"execute": "stpo"}), Both),
        (command, json!({"execute": "stop", "id": [1]}), json!({"execute": "stop", "x": 1}), Both),
        (
            command,
            json!({"execute": "stop", "arguments": {}}),
            json!({"execute": "stop", "arguments": {"x": 1}}),
            Both,
        ),
        (
            command,
            json!({"execute": "eject", "arguments": {"id": "cd0"}}),
            json!({"execute": "eject", "arguments": {"id": 7}}),
            Both,
        ),
        (
            command,
            json!({"execute": "blockdev-del", "arguments": {"node-name": "a"}}),
            json!({"execute": "blockdev-del"}),
            Both,
        ),
        (command, json!({"exec-oob": "migrate-pause"}), json!({"exec-oob": "stop"}), Both),
        (
            command,
            json!({"exec-oob": "migrate-pause"}),
            json!({"exec-oob": "migrate-pause", "execute": "stop"}),
            Both,
        ),
        // `device_add` accepts the properties of any device.
        (
            command,
            json!({"execute": "device_add", "arguments": {"driver": "e1000", "mac": "x"}}),
            json!({"execute": "device_add", "arguments": {"mac": "x"}}),
            Both,
        ),
        (
            "BlockdevOptions",
            json!({"driver": "null-co", "size": 1}),
            json!({"driver": "null-co", "filename": "x"}),
            Both,
        ),
        ("BlockdevOptions", json!({"driver": "raw", "file": "a"}), json!({"driver": "raw"}), Both),
        (
            "BlockdevOptions",
            json!({"driver": "raw", "file": "a"}),
            json!({"driver": "rwa", "file": "a"}),
            Both,
        ),
        (
            "BlockdevOptions",
            json!({"driver": "raw", "file": {"driver": "file", "filename": "b"}}),
            json!({"driver": "raw", "file": {"driver": "file"}}),
            Both,
        ),
        (
            "BlockdevOptions",
            json!({"driver": "raw", "file": "a", "offset": 0}),
            json!({"driver": "raw", "file": "a", "offset": "0"}),
            Both,
        ),
        (
            "message:event",
            json!({"event": "STOP", "timestamp": time}),
            json!({"event": "STOP"}),
            Both,
        ),
        (
            "message:event",
            json!({"event": "STOP", "timestamp": time}),
            json!({"event": "HALT", "timestamp": time}),
            Server,
        ),
        (
            "message:event",
            json!({"event": "SHUTDOWN", "timestamp": time, "data": {"guest": true, "reason": "guest-reset"}}),
            json!({"event": "SHUTDOWN", "timestamp": time, "data": {"guest": true}}),
            Both,
        ),
        (
            "message:event",
            json!({"event": "STOP", "timestamp": time}),
            json!({"event": "SHUTDOWN", "timestamp": time}),
            Both,
        ),
        ("message:reply", json!({"return": 1, "id": 2}), json!({"id": 2}), Both),
        (
            "message:reply",
            json!({"error": {"class": "X", "desc": "y"}}),
            json!({"error": {"class": "X"}}),
            Both,
        ),
        (
            "message:reply",
            json!({"return": 1}),
            json!({"return": 1, "error": {"class": "X", "desc": "y"}}),
            Both,
        ),
        (
            "message:greeting",
            json!({"QMP": {"version": {}, "capabilities": ["oob"]}}),
            json!({"QMP": {}}),
            Both,
        ),
    ] {
        for document in [&client, &server] {
            let errors = document.errors(definition, &right);
            assert!(errors.is_empty(), "{definition}: {right}: {errors:?}");
        }
        assert!(!server.errors(definition, &wrong).is_empty(), "{definition}: {wrong}");
        let accepted = client.errors(definition, &wrong).is_empty();
        assert_eq!(accepted, who == Server, "{definition}: {wrong}");
    }
}

/// Members that are missing or of another type anywhere in a reply are found.
#[test]
fn recorded_replies_that_are_damaged_are_invalid() {
    let [client, _] = both(&vocabulary());
    for (release, recorded) in recorded() {
        for (command, member) in [
            ("query-block", "device"),
            ("query-chardev", "filename"),
            ("query-cpus-fast", "cpu-index"),
            ("query-machines", "cpu-max"),
            ("query-named-block-nodes", "iops"),
            ("query-pci", "devices"),
            ("query-version", "qemu"),
            ("query-command-line-options", "parameters"),
        ] {
            let definition = format!("{command}:returns");
            let reply = &recorded["replies"][command];
            assert!(client.errors(&definition, reply).is_empty(), "{release}: {command}");
            for damage in [None, Some(json!({"x": [null]}))] {
                let damaged = damaged(reply, member, damage.as_ref());
                assert_ne!(&damaged, reply, "{release}: {command}");
                assert!(!client.errors(&definition, &damaged).is_empty(), "{release}: {damaged}");
            }
        }
    }
}

/// Replaces or removes a member, wherever it is.
fn damaged(value: &Value, member: &str, by: Option<&Value>) -> Value {
    match value {
        Value::Array(elements) => elements.iter().map(|e| damaged(e, member, by)).collect(),
        Value::Object(members) => members
            .iter()
            .filter_map(|(name, value)| match (name == member, by) {
                (true, by) => Some((name.clone(), by?.clone())),
                (false, _) => Some((name.clone(), damaged(value, member, by))),
            })
            .collect(),
        _ => value.clone(),
    }
}

const EVERYTHING: &str = r#"
{ 'pragma': { 'command-returns-exceptions': [ 'count' ], 'member-name-exceptions': [ 'All' ] } }
##
# @Color:
#
# A color.
#
# @red: like blood
#
# @blue: like the sky
#
# Features:
#
# @deprecated: Use red.
#
# Since: 1.0
##
{ 'enum': 'Color',
  'data': [ 'red', { 'name': 'blue', 'features': [ 'deprecated' ], 'if': 'CONFIG_BLUE' } ] }
{ 'struct': 'Base', 'data': { 'color': 'Color' } }
{ 'struct': 'Tree', 'base': 'Base', 'data': { '*left': 'Tree', '*right': 'Tree' } }
{ 'struct': 'Unused', 'data': { 'what': 'QType' } }
{ 'union': 'Paint', 'base': 'Base', 'discriminator': 'color', 'data': { 'red': 'Inner' } }
{ 'union': 'Inner', 'base': { 'shade': 'Color' }, 'discriminator': 'shade', 'data': { 'red': 'Deep' } }
{ 'struct': 'Deep', 'data': { 'depth': 'uint8' } }
{ 'alternate': 'Either', 'data': { 'tree': 'Tree', 'name': 'str', 'none': 'null', 'many': [ 'int' ] } }
{ 'struct': 'All',
  'data': { 'i8': 'int8', 'u64': 'uint64', 'size': 'size', 'number': 'number', 'any': 'any',
            'null': 'null', 'bool': 'bool', 'lists': [ 'Color' ], 'either': 'Either' } }
{ 'command': 'count', 'returns': 'int', 'data': 'Base' }
{ 'command': 'paint', 'data': 'Paint', 'boxed': true, 'returns': 'Paint',
  'features': [ 'unstable', 'quick' ] }
{ 'command': 'plant', 'data': 'Tree', 'returns': [ 'Tree' ], 'allow-oob': true }
{ 'command': 'all', 'data': 'All', 'if': { 'all': [ 'CONFIG_A', { 'not': 'CONFIG_B' } ] } }
{ 'command': 'free', 'data': { 'kind': 'Color' }, 'gen': false }
{ 'command': 'die', 'success-response': false }
{ 'event': 'GROWN', 'data': 'Tree' }
"#;

#[test]
fn every_kind_of_type_is_described() {
    let schema = support::schema(EVERYTHING);
    let [client, server] = both(&schema);
    let all = |member: &str, value: Value| {
        let mut all = json!({
            "i8": -128, "u64": u64::MAX, "size": 0, "number": 0.5, "any": {"x": []}, "null": null,
            "bool": true, "lists": ["red"], "either": [1],
        });
        all[member] = value;
        all
    };
    for (definition, right, wrong) in [
        ("All", all("i8", json!(127)), all("i8", json!(128))),
        ("All", all("u64", json!(0)), all("u64", json!(-1))),
        ("All", all("size", json!(u64::MAX)), all("size", json!("1K"))),
        ("All", all("number", json!(1)), all("number", json!("1"))),
        ("All", all("any", json!(null)), all("x", json!(null))),
        ("All", all("null", json!(null)), all("null", json!(0))),
        ("All", all("lists", json!([])), all("lists", json!(["green"]))),
        ("All", all("either", json!(null)), all("either", json!(1))),
        ("All", all("either", json!({"color": "red"})), all("either", json!({}))),
        (
            "Tree",
            json!({"color": "red", "left": {"color": "blue"}}),
            json!({"color": "red", "left": {}}),
        ),
        ("Tree", json!({"color": "red"}), json!({"color": "red", "up": {}})),
        ("Base", json!({"color": "red"}), json!({"color": "red", "left": {"color": "red"}})),
        (
            "Paint",
            json!({"color": "red", "shade": "red", "depth": 1}),
            json!({"color": "red", "shade": "blue", "depth": 1}),
        ),
        ("Paint", json!({"color": "blue"}), json!({"color": "blue", "shade": "red", "depth": 1})),
        ("Paint", json!({"color": "red", "shade": "blue"}), json!({"color": "red"})),
        ("Unused", json!({"what": "qnum"}), json!({"what": "number"})),
        ("plant:arguments", json!({"color": "red"}), json!({"color": "red", "x": 1})),
        ("free:arguments", json!({"kind": "red", "x": 1}), json!({"x": 1})),
        ("free:arguments", json!({"kind": "red"}), json!({"kind": "green", "x": 1})),
        (
            "message:command",
            json!({"exec-oob": "plant", "arguments": {"color": "red"}}),
            json!({"exec-oob": "plant", "arguments": {}}),
        ),
        (
            "message:command",
            json!({"execute": "count", "arguments": {"color": "red"}}),
            json!({"exec-oob": "count"}),
        ),
    ] {
        for document in [&client, &server] {
            let errors = document.errors(definition, &right);
            assert!(errors.is_empty(), "{definition}: {right}: {errors:?}");
            assert!(!document.errors(definition, &wrong).is_empty(), "{definition}: {wrong}");
        }
    }
    // Nothing is a reply to a command that does not reply on success.
    assert!(!client.errors("die:returns", &json!({})).is_empty());
    // What a client receives is open at every depth.
    let later = json!([{"color": "green", "x": 1, "left": {"color": "mauve", "y": []}}]);
    assert!(client.errors("plant:returns", &later).is_empty());
    assert!(!server.errors("plant:returns", &later).is_empty());
}

#[test]
fn annotations_say_what_the_schema_says() {
    let document = export(&support::schema(EVERYTHING), Role::Client);
    let definitions = &document["$defs"];
    let color = &definitions["Color"];
    assert_eq!(color["title"], "Color");
    assert_eq!(color["description"], "A color.\n\nAvailable since 1.0.");
    assert_eq!(color["x-since"], "1.0");
    assert_eq!(
        color["anyOf"][1],
        json!({
            "const": "blue", "deprecated": true, "x-if": "CONFIG_BLUE",
            "description":
                "like the sky\n\nAvailable if `CONFIG_BLUE`.\n\n**Deprecated:** Use red.",
        })
    );
    let paint = &definitions["paint:arguments"];
    assert_eq!((&paint["x-unstable"], &paint["x-features"]), (&json!(true), &json!(["quick"])));
    let all = &definitions["all:arguments"]["x-if"];
    assert_eq!(*all, json!({"all": ["CONFIG_A", {"not": "CONFIG_B"}]}));
    let secret = "{ 'pragma': { 'secret-members': [ 'log-in.password' ] } }
                  { 'command': 'log-in', 'data': { 'password': 'str' } }";
    let document = export(&support::schema(secret), Role::Client);
    let password = &document["$defs"]["log-in:arguments"]["properties"]["password"];
    assert_eq!(*password, json!({"type": "string", "writeOnly": true}));
}

/// Documentation can come from anyone, and the document may be shown on a terminal.
#[test]
fn documentation_has_no_characters_that_control_a_terminal() {
    let hostile = "##\n# @Color:\n#\n# \u{1b}[2J \u{202e}red\n#\n# @a: \u{1b}]0;\n#\n\
                   # Since: 1.0 \u{202e}\u{9b}1\n##\n{ 'enum': 'Color', 'data': [ 'a' ] }\n";
    let text = export(&support::schema(hostile), Role::Server).to_string();
    assert!(text.contains("x-since") && text.contains("red"));
    assert!(
        !text.contains(['\u{1b}', '\u{202e}', '\u{9b}']) && !text.contains("\\u001b"),
        "{text}"
    );
}

/// With symbols, the document has only what a server with them has.
#[test]
fn conditions_can_be_resolved() {
    let schema = support::schema(EVERYTHING);
    let document = export(&schema.resolved(&|symbol| symbol == "CONFIG_B"), Role::Server);
    let definitions = document["$defs"].as_object().unwrap();
    assert!(!definitions.contains_key("all:arguments"));
    assert!(both(&schema)[1].json["$defs"].get("all:arguments").is_some());
    assert_eq!(definitions["Color"]["anyOf"].as_array().unwrap().len(), 1);
    // A schema from which everything is left out is valid, too.
    let nothing = support::schema(
        "{ 'enum': 'Empty', 'data': [ { 'name': 'a', 'if': 'A' } ] }
         { 'alternate': 'Alt', 'data': { 'n': { 'type': 'int', 'if': 'A' } } }
         { 'command': 'c', 'data': { 'e': 'Empty', 'a': 'Alt' }, 'if': 'A' }",
    );
    for schema in [&nothing, &Schema::default()] {
        let document = export(&schema.resolved(&|_| false), Role::Server);
        jsonschema::meta::validate(&document).unwrap();
        let validator = jsonschema::draft202012::new(&document).unwrap();
        assert!(!validator.is_valid(&json!({"execute": "c"})));
        assert!(validator.is_valid(&json!({"return": {}})));
    }
}

/// Every schema in the tests, and the introspection of releases, has a JSON Schema.
#[test]
fn any_schema_has_a_valid_json_schema() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut schemas = Vec::new();
    for file in std::fs::read_dir(golden).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            schemas.push(qmp_codegen::load_file(&path).unwrap().schema);
        }
    }
    assert!(schemas.len() > 5);
    for (_, text) in support::replies() {
        let names = qmp_codegen::introspection::Names::none();
        schemas.push(qmp_codegen::introspection::import(&text, &names).unwrap());
    }
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/qga-spec.json");
    schemas.push(qmp_codegen::load_file(agent).unwrap().schema);
    for schema in &schemas {
        both(schema);
    }
}
