#![allow(clippy::unwrap_used)]

use super::example::{commands, means};
use super::*;
use crate::reference::{AGENT, Kind, MONITOR, Reference};
use crate::shell::types::{Builtin, BuiltinAgent, Schema};

#[test]
fn help_explains_a_command() {
    let text = help(Some("blockdev-mirror"), &Builtin, 80).unwrap();
    for part in [
        "blockdev-mirror (command, since QEMU 2.6)",
        "  sync=MirrorSyncMode\n",
        "One of ",
        "  [speed=int]\n",
        "  blockdev-mirror device=disk0 job-id=move0 sync=full target=disk0-new\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let text = help(Some("STOP"), &Builtin, 80).unwrap();
    assert!(text.starts_with("STOP (event, since QEMU"), "{text}");
    let text = help(Some("RunState"), &Builtin, 80).unwrap();
    assert!(text.contains("  running\n      The guest runs.\n"), "{text}");
    let text = help(Some("block-job-pause"), &Builtin, 80).unwrap();
    assert!(text.contains("Deprecated"), "{text}");
    let error = help(Some("blockdev-miror"), &Builtin, 80).unwrap_err();
    assert_eq!(error.similar.as_deref(), Some("blockdev-mirror"));
}

/// A terminal of 80 columns breaks no line of the overviews and lists.
#[test]
fn help_fits_the_terminal() {
    for types in [&Builtin as &dyn Types, &BuiltinAgent] {
        for topic in [None, Some("commands"), Some("events"), Some("types")] {
            let text = help(topic, types, 80).unwrap();
            let long = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(long, None, "{topic:?}");
        }
    }
}

/// An agent's shell has its own statements, and none that need a monitor.
#[test]
fn help_of_an_agent_is_about_the_agent() {
    let text = help(None, &BuiltinAgent, 80).unwrap();
    for statement in ["exec", "cat", "get", "put", "fsinfo"] {
        assert!(text.contains(&format!("\n  {statement} ")), "{text}");
        assert!(help(Some(statement), &BuiltinAgent, 80).is_ok(), "{statement}");
        assert!(help(Some(statement), &Builtin, 80).is_err(), "{statement}");
    }
    for absent in ["transaction", "hmp", "block_resize", "SHUTDOWN"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    let examples = text.lines().filter(|line| line.starts_with("  guest-"));
    for line in examples.clone() {
        let parsed = crate::shell::syntax::parse(line.trim(), &BuiltinAgent);
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
    }
    assert_eq!(examples.count(), 3);
}

#[test]
fn help_says_under_which_condition_something_exists() {
    let text = "{ 'enum': 'Mode', 'data': [ 'a', { 'name': 'b', 'if': 'CONFIG_B' } ] }\n\
        { 'struct': 'Data', 'data': { 'm': { 'type': 'Mode', 'if': { 'not': 'CONFIG_X' } } } }";
    let root = qmp_codegen::Root::Text { name: String::from("x"), text: text.to_owned() };
    let reference = Reference::of(&qmp_codegen::load([root]).unwrap().schema);
    let shown = |name: &str| page(&reference.find(name).unwrap(), &reference, None, 80);
    assert!(shown("Mode").contains("  b\n      Available if `CONFIG_B`.\n"), "{}", shown("Mode"));
    assert!(shown("Data").contains("Available if not `CONFIG_X`."), "{}", shown("Data"));
}

#[test]
fn help_says_what_the_machine_lacks() {
    let schema = r#"[
        {"name": "query-status", "meta-type": "command", "arg-type": "0", "ret-type": "0"},
        {"name": "x-new", "meta-type": "command", "arg-type": "1", "ret-type": "0"},
        {"name": "0", "meta-type": "object", "members": []},
        {"name": "1", "meta-type": "object", "members": [{"name": "a", "type": "str"}]},
        {"name": "str", "meta-type": "builtin", "json-type": "string"}]"#;
    let schema = Schema::live(qmp_types::decode(schema).unwrap());
    let text = help(Some("stop"), &schema, 80).unwrap();
    assert!(text.contains("The connected machine does not have it."), "{text}");
    let text = help(Some("query-status"), &schema, 80).unwrap();
    assert!(!text.contains("does not have it"), "{text}");
    let text = help(Some("x-new"), &schema, 80).unwrap();
    assert!(text.contains("  a=str\n"), "{text}");
}

#[test]
fn each_topic_has_help_with_an_example_that_is_valid() {
    let check = |reference: &Reference, types: &dyn Types| {
        for name in reference.names() {
            let definition = reference.find(name).unwrap();
            let text = help(Some(name), types, 80).unwrap();
            assert!(!text.contains("``") && !text.contains(".. "), "{text}");
            if definition.kind == Kind::Command {
                let line = text.lines().last().unwrap().trim();
                let parsed = crate::shell::syntax::parse(line, types);
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
                assert!(line.split(' ').next() == Some(name), "{line}");
            }
        }
    };
    check(&MONITOR, &Builtin);
    check(&AGENT, &BuiltinAgent);
}

/// The examples of the documentation as lines of the shell mean what they mean as JSON.
#[test]
fn each_documented_command_can_be_written_as_a_line() {
    let mut count = 0;
    for name in MONITOR.names() {
        for (command, arguments) in commands(&MONITOR.find(name).unwrap()) {
            let line = crate::shell::syntax::write::command(&command, &arguments);
            assert!(means(&line, &command, &arguments), "{line}\n{arguments}");
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}
