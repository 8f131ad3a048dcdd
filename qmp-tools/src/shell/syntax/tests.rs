#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::shell::types::Builtin;

fn arguments(line: &str) -> Value {
    match parse(line, &Builtin).unwrap().unwrap() {
        Statement::Command(command) => command.arguments.unwrap_or(Value::Null),
        other => panic!("{other:?}"),
    }
}

fn error(line: &str) -> SyntaxError {
    parse(line, &Builtin).unwrap_err()
}

#[test]
fn values_of_unknown_commands_are_what_qmp_shell_takes_them_for() {
    for (line, expected) in [
        ("c", Value::Null),
        ("c a=1 b=True d=-5 e=x f=1e5", json!({"a": 1, "b": true, "d": -5, "e": "x", "f": "1e5"})),
        ("c id='123' text=\"4 5\"", json!({"id": "123", "text": "4 5"})),
        ("c l=[1, 2] o={\"a\": [3]}", json!({"l": [1, 2], "o": {"a": [3]}})),
        ("c a=b=c url=http://h/#x", json!({"a": "b=c", "url": "http://h/#x"})),
        ("c a=\"\\\"q\\\"\"", json!({"a": "\"q\""})),
        ("c a= # comment", json!({"a": ""})),
        ("c a:=1e5 b:='1' c:=None", json!({"a": 1e5, "b": "1", "c": null})),
        ("c {'a': 1}", json!({"a": 1})),
        ("c serial=12345678901234567890123", json!({"serial": "12345678901234567890123"})),
    ] {
        assert_eq!(arguments(line), expected, "{line}");
    }
}

#[test]
fn the_schema_decides_what_a_value_is() {
    for (line, expected) in [
        ("block_resize node-name=123 size=10", json!({"node-name": "123", "size": 10})),
        ("set_link name=true up=on", json!({"name": "true", "up": true})),
        (
            "blockdev-add file.filename=1e5 file.driver=file driver=qcow2 node-name=true",
            json!({
                "driver": "qcow2",
                "node-name": "true",
                "file": {"driver": "file", "filename": "1e5"},
            }),
        ),
        (
            "blockdev-add driver=qcow2 file=node0 backing=null",
            json!({"driver": "qcow2", "file": "node0", "backing": null}),
        ),
    ] {
        assert_eq!(arguments(line), expected, "{line}");
    }
}

#[test]
fn optional_members_are_recognized() {
    use crate::shell::types::{Shape, Types};
    let schema = Builtin.schema();
    let Shape::Object(object) = schema.shape(schema.arguments_of("device_add").unwrap()) else {
        panic!("device_add has arguments");
    };
    let members = schema.members(object, &|_| None);
    let optional: Vec<_> = members.iter().map(|member| (member.name, member.optional)).collect();
    assert!(optional.contains(&("driver", false)), "{optional:?}");
    assert!(optional.contains(&("id", true)), "{optional:?}");
}

#[test]
fn what_another_line_may_complete_is_incomplete() {
    for text in
        ["c a=[1", "{\"execute\": ", "transaction(", "transaction(\nblockdev-add", "c a={'x':\n"]
    {
        assert!(error(text).is_incomplete(), "{text}");
    }
    for text in ["c a='x", "{\"execute\": \"x", "{]", "c a", "c a=1 a=2", "c a=1 a.b=2"] {
        assert!(!error(text).is_incomplete(), "{text}");
    }
}

/// A simple generator of numbers, so that a failure can be repeated.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 40).unwrap()
}

/// Texts that look a little like statements.
fn any_text(state: &mut u64) -> String {
    const PARTS: [&str; 48] = [
        "blockdev-add",
        "transaction(",
        ")",
        "\n",
        " ",
        " ",
        " ",
        "=",
        ":=",
        ".",
        "{",
        "}",
        "[",
        "]",
        "'",
        "\"",
        "\\",
        "\\u",
        "d83d",
        ",",
        ":",
        "#",
        "driver",
        "qcow2",
        "file",
        "wait",
        "set",
        "help",
        "?",
        "STOP",
        "--timeout",
        "1e5",
        "-",
        "0x",
        "null",
        "é",
        "漢",
        "\u{feff}",
        "\u{1b}",
        "{\"execute\"",
        "password",
        "hmp",
        "device_add",
        "actions",
        "(",
        "json:{",
        "\t",
        "object-add",
    ];
    let count = random(state) % 12;
    (0..count).map(|_| PARTS[random(state) % PARTS.len()]).collect()
}

struct Nothing;

impl crate::shell::complete::Live for Nothing {
    fn candidates(
        &self,
        _: crate::shell::complete::Kind<'_>,
    ) -> Vec<crate::shell::complete::Candidate> {
        Vec::new()
    }
}

#[test]
fn no_text_causes_a_panic() {
    use crate::shell::complete::{complete, hint};
    use crate::shell::secrets::masked;
    let mut state = 7;
    for round in 0..10_000 {
        let text = if round % 2 == 0 {
            any_text(&mut state)
        } else {
            let length = random(&mut state) % 40;
            let bytes: Vec<u8> = (0..length).map(|_| (random(&mut state) % 256) as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        if let Err(error) = parse(&text, &Builtin) {
            let span = error.span();
            assert!(span.start <= span.end && span.end <= text.len(), "{text:?}: {error:?}");
            let _ = (error.pointer(&text), error.line(&text), error.to_string());
        }
        let _ = masked(&text);
        if round % 40 < 4 {
            let cursor = random(&mut state) % (text.len() + 1);
            let completion = complete(&text, cursor, &Builtin, &Nothing);
            assert!(text.get(completion.span).is_some(), "{text:?} {cursor}");
            let _ = hint(&text, &Builtin);
        }
    }
}
