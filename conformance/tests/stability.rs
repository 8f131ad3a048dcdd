//! A new schema changes only what STABILITY.md says: a program that was written for an old release
//! compiles unchanged with the code of a new one that adds to it, and the program of either release
//! understands the server of the other.

#![allow(clippy::unwrap_used)] // tests

macro_rules! release {
    ($name:ident = $vocabulary:literal) => {
        mod $name {
            mod vm {
                qmp_types::include_vocabulary!($vocabulary);
            }

            include!("stability/program.rs");
        }
    };
}

release!(old = "release_old");
release!(new = "release_new");

use qmp_codegen::schema::Schema;
use qmp_codegen::{Root, diff};
use serde_json::json;

fn schema(text: &str) -> Schema {
    let root = Root::Text { name: "fans.json".into(), text: text.into() };
    qmp_codegen::load([root]).unwrap().schema
}

const OLD: &str = include_str!("stability/old.json");
const NEW: &str = include_str!("stability/new.json");

#[test]
fn one_program_works_with_both_releases() {
    let command = json!({"id": "cpu", "speed": "low"});
    assert_eq!((old::command(), new::command()), (command.clone(), command));

    let reply = r#"{"kind": "axial", "speed": "low", "blades": 7}"#;
    assert_eq!(old::describe(reply), "7 blades, slow");
    assert_eq!(new::describe(reply), "7 blades, slow");

    let newer = r#"{"kind": "radial", "speed": "high", "vanes": 9, "noise": 30}"#;
    assert_eq!(old::describe(newer), "of a newer kind, at a newer speed");
    assert_eq!(new::describe(newer), "of a newer kind, at a newer speed");

    let stopped = r#"{"id": "cpu", "hours": 12}"#;
    assert_eq!(old::event("FAN_STOPPED", stopped), "cpu has stopped");
    assert_eq!(new::event("FAN_STOPPED", stopped), "cpu has stopped");
    assert_eq!(old::event("FAN_STARTED", r#"{"id": "cpu"}"#), "something else");
    assert_eq!(new::event("FAN_STARTED", r#"{"id": "cpu"}"#), "something else");
}

/// `qmp schema diff` says which changes of a schema ask for a minor release.
#[test]
fn changes_that_break_programs_are_named() {
    let additions = diff::diff(&schema(OLD), &schema(NEW));
    assert!(!additions.is_empty() && !additions.is_breaking(), "{additions}");

    let small = "{ 'struct': 'Fan', 'data': { 'blades': 'int', '*label': 'str' } }
                 { 'command': 'set-fan', 'data': { 'id': 'str', '*ramp': 'int' }, 'returns': 'Fan' }";
    for (was, is) in [
        ("'*ramp': 'int'", "'ramp': 'int'"),
        ("'id': 'str', ", ""),
        ("'id': 'str', ", "'id': 'int', "),
        ("'blades': 'int'", "'*blades': 'int'"),
        ("'blades': 'int'", "'blades': 'str'"),
        ("'set-fan'", "'fan-set'"),
    ] {
        let changed = small.replacen(was, is, 1);
        assert_ne!(changed, small, "{was}");
        let changes = diff::diff(&schema(small), &schema(&changed));
        assert!(changes.is_breaking(), "{was} -> {is}: {changes}");
    }
}
