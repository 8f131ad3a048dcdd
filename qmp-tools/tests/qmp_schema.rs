//! The subcommands of `qmp-schema`, and their diagnostics for invalid input.

#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use serde_json::Value;
use support::{Directory, SCHEMA, run, run_with};

const SMALL: &str = "\
{ 'enum': 'Color', 'data': [ 'red', { 'name': 'blue', 'if': 'CONFIG_BLUE' } ] }
{ 'struct': 'Paint', 'data': { 'color': 'Color', '*coats': 'uint8' } }
{ 'command': 'paint', 'data': 'Paint', 'returns': 'Paint' }
{ 'command': 'wash', 'data': { '*hard': 'bool' } }
{ 'event': 'DRY', 'data': { 'color': 'Color' } }
";

#[test]
fn check_accepts_the_schema_of_the_toolkit() {
    let ran = run(SCHEMA, &["check", qmp_schema::SPEC, qmp_schema::EVENTS]);
    assert_eq!((ran.status, &*ran.out, &*ran.err), (0, "", ""));
    run(SCHEMA, &["check", qmp_schema::QGA]).ok();
    run_with(SCHEMA, &["check", "-"], SMALL).ok();
}

/// A diagnostic has the position, the message, and the line with the place marked.
#[test]
fn check_shows_errors_in_their_context() {
    for (bad, drawn) in [
        (
            "{ 'command': 'x'\n  'data': {} }\n",
            "bad.json:2:3: error: expected ',' or '}', found string 'data'\n 2 |   'data': {} }\n   |   ^^^^^^",
        ),
        (
            "{ 'struct': 'Paint', 'data': {} }\n{ 'command': 'x', 'data': 'Pint' }\n",
            "bad.json:2:27: error: in command 'x': ",
        ),
        ("{ 'enum': 'A', 'data': [] }\n{ 'enum': 'A', 'data': [] }\n", "bad.json:2:11: error: "),
        (
            "{ 'enum': 'Kind', 'data': ['a'] }\n\
             { 'union': 'U', 'base': { 'kind': 'Kind' }, 'discriminator': 'kynd', 'data': {} }\n",
            "bad.json:2:62: error: in union 'U': ",
        ),
        ("{ 'include': 'missing.json' }\n", "bad.json:1:14: error: "),
    ] {
        let directory = Directory::new();
        let path = directory.write("bad.json", bad);
        let err = run(SCHEMA, &["check", &path]).failed(1);
        assert!(err.contains(drawn), "{drawn}\n{err}");
        let number = drawn.split(':').nth(1).unwrap();
        let line = bad.lines().nth(number.parse::<usize>().unwrap() - 1).unwrap();
        assert!(err.contains(&format!(" {number} | {line}\n")), "{err}");
        // No file is left after an error.
        let out = directory.path("out.rs");
        run(SCHEMA, &["generate", &path, "-o", &out]).failed(1);
        assert!(!std::path::Path::new(&out).exists());
        run(SCHEMA, &["export", &path]).failed(1);
        assert!(run(SCHEMA, &["diff", &path, "builtin"]).failed(2).contains(drawn));
    }
}

#[test]
fn check_shows_the_include_chain() {
    let directory = Directory::new();
    let root = directory.write("root.json", "{ 'include': 'part.json' }\n");
    directory.write("part.json", "{ 'command': 'x', 'data': 'Nope' }\n");
    let err = run(SCHEMA, &["check", &root]).failed(1);
    let (chain, rest) = err.split_once('\n').unwrap();
    assert!(chain.contains("root.json:1:"), "{err}");
    assert!(rest.contains("part.json:1:27: error"), "{err}");
}

#[test]
fn check_warns_of_style_on_request() {
    let directory = Directory::new();
    let documented = "##\n# @go:\n#\n# @far: how far\n##\n\
                      { 'command': 'go', 'data': { 'far': 'int' } }\n";
    let path = directory.write("style.json", documented);
    let ran = run(SCHEMA, &["check", &path]);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let ran = run(SCHEMA, &["check", "--prose", &path]);
    assert_eq!(ran.status, 0);
    assert!(ran.err.contains("style.json:4:9: warning: in command 'go': "), "{}", ran.err);
}

/// A schema with an error and a warning.
const QUESTIONABLE: &str = "\
##
# @dry:
#
# Returns: air
##
{ 'command': 'dry' }
";

#[test]
fn check_has_formats_for_programs() {
    let directory = Directory::new();
    let warns = directory.write("warns.json", QUESTIONABLE);
    let fails = directory.write("fails.json", &QUESTIONABLE.replace(" }", ", 'data': 'Ar' }"));
    for (path, status, lines) in [(&warns, 0, 1), (&fails, 1, 2)] {
        for format in ["short", "json"] {
            let ran = run(SCHEMA, &["check", "--format", format, path]);
            assert_eq!((ran.status, &*ran.err), (status, ""), "{ran:?}");
            assert_eq!(ran.out.lines().count(), lines, "{ran:?}");
            assert!(
                ran.out.lines().all(|line| line.contains(path) && line.contains("doc-section")
                    || line.contains("unknown-type"))
            );
            // Only errors.
            let quiet = run(SCHEMA, &["check", "--quiet", "--format", format, path]);
            assert_eq!((quiet.status, quiet.out.lines().count()), (status, lines - 1), "{quiet:?}");
        }
        let ran = run(SCHEMA, &["check", "--format", "sarif", path]);
        assert_eq!((ran.status, &*ran.err), (status, ""));
        let log: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), lines);
    }
    let ran = run(SCHEMA, &["check", "--quiet", &warns]);
    assert_eq!((ran.status, &*ran.out, &*ran.err), (0, "", ""));
    let ran = run(SCHEMA, &["check", "--deny-warnings", &warns]);
    assert_eq!((ran.status, &*ran.out), (1, ""));
    assert!(ran.err.contains("warning: in command 'dry'"), "{ran:?}");
    run(SCHEMA, &["check", "--format", "xml", &warns]).failed(2);
    // A file that cannot be read is in the format, too.
    let ran = run(SCHEMA, &["check", "--format", "json", &directory.path("missing.json")]);
    let object: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, &object["rule"]), (1, &Value::from("include")));
}

/// In a build, 200 warnings are enough; here, all are listed.
#[test]
fn check_lists_all_warnings() {
    let directory = Directory::new();
    let many: String =
        (0..300).map(|number| QUESTIONABLE.replace("dry", &format!("dry-{number}"))).collect();
    let path = directory.write("many.json", &many);
    let out = run(SCHEMA, &["check", "--format", "short", &path]).ok();
    assert_eq!(out.lines().count(), 300);
}

#[test]
fn a_fork_can_have_additions() {
    let directory = Directory::new();
    let path = directory.write("fork.json", "{ 'command': 'dry', 'x-audit': true }\n");
    run(SCHEMA, &["check", &path]).failed(1);
    run(SCHEMA, &["generate", &path]).failed(1);
    let ran = run(SCHEMA, &["check", "--allow-unknown", &path]);
    assert_eq!(ran.status, 0);
    assert!(ran.err.contains("warning: in command 'dry': unknown key 'x-audit'"), "{ran:?}");
    assert!(run(SCHEMA, &["generate", "--allow-unknown", &path]).ok().contains("pub struct Dry"));
    run(SCHEMA, &["export", &path]).failed(1);
    assert!(run(SCHEMA, &["export", "--allow-unknown", &path]).ok().contains("\"dry\""));
}

/// An old schema has hundreds of warnings, on which those who convert it have no influence.
#[test]
fn other_subcommands_count_warnings_about_documentation() {
    let directory = Directory::new();
    let path = directory.write("warns.json", QUESTIONABLE);
    for subcommand in ["generate", "export"] {
        let ran = run(SCHEMA, &[subcommand, &path]);
        assert_eq!(
            (ran.status, &*ran.err),
            (0, "warning: 1 warning about documentation, which `qmp-schema check` shows\n")
        );
    }
}

/// The description of a server's error was printed as it was received.
#[test]
fn errors_do_not_control_the_terminal() {
    let directory = Directory::new();
    let schema = directory.write("small.json", SMALL);
    let replies = [
        r#"{"error": {"desc": "\u001b]0;x\u0007\n\u202eend"}}"#,
        r#"[{"name": "\u001b[31m", "meta-type": "enum"}, {"name": "\u001b[31m", "meta-type": "enum"}]"#,
        r#"[{"name": "E", "meta-type": "event", "arg-type": "\u001b[31m\u202e"}]"#,
    ];
    let mut sources = vec![directory.path("a\u{1b}[31m\n\u{202e}b")];
    for (number, reply) in replies.iter().enumerate() {
        sources.push(directory.write(&format!("reply-{number}.json"), reply));
    }
    for source in &sources {
        for arguments in [
            &["import", source][..],
            &["generate", &schema, "--like", source],
            &["generate", &schema, "--config", source],
            &["export", &schema, "--record", source],
            &["diff", &schema, source],
            &["check", source],
            &["check", "--format", "short", source],
        ] {
            let ran = run(SCHEMA, arguments);
            assert_ne!(ran.status, 0, "{arguments:?}");
            let text = ran.out + &ran.err;
            let controls = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(controls), "{arguments:?}: {text:?}");
        }
    }
}

#[test]
fn a_build_or_a_binary_decides_about_conditions() {
    let directory = Directory::new();
    let path = directory.write("small.json", SMALL);
    let with = directory.write("with.h", "#define CONFIG_BLUE 1\n");
    let without = directory.write("without.h", "#define CONFIG_RED 1\n");
    let reply = directory.path("reply.json");
    let generate = |arguments: &[&str]| {
        run(SCHEMA, &[&["generate", &path], arguments].concat()).ok().contains("Blue")
    };
    assert!(generate(&[]) && generate(&["--config", &with]));
    assert!(!generate(&["--config", &without]));
    assert!(generate(&["--config", &without, "--config", &with]));
    for (header, exists) in [(&with, true), (&without, false)] {
        run(SCHEMA, &["export", &path, "--config", header, "-o", &reply]).ok();
        assert_eq!(generate(&["--like", &reply]), exists);
        let again = run(SCHEMA, &["export", &path, "--like", &reply]).ok();
        assert_eq!(again, std::fs::read_to_string(&reply).unwrap());
    }
    let err = run(SCHEMA, &["generate", &path, "--config", &path]).failed(1);
    assert!(err.contains("does not define any symbol"), "{err}");
    run(SCHEMA, &["generate", &path, "--config", &with, "--like", &reply]).failed(2);
}

/// Several files are one schema, with one namespace.
#[test]
fn files_are_one_schema() {
    let directory = Directory::new();
    let one = directory.write("one.json", SMALL);
    let other = directory.write("other.json", "{ 'command': 'x', 'returns': 'Paint' }\n");
    run(SCHEMA, &["check", &one, &other]).ok();
    run(SCHEMA, &["check", &other]).failed(1);
}

#[test]
fn generate_selects_commands() {
    let directory = Directory::new();
    let path = directory.write("small.json", SMALL);
    let all = run(SCHEMA, &["generate", &path]).ok();
    for item in ["pub struct Paint", "pub struct Wash", "pub struct Dry", "pub enum Color"] {
        assert!(all.contains(item), "{item}");
    }
    let some = run(SCHEMA, &["generate", &path, "--command", "wash"]).ok();
    assert!(some.contains("pub struct Wash") && !some.contains("Paint") && !some.contains("Dry"));

    let out = directory.path("out.rs");
    run(SCHEMA, &["generate", &path, "-o", &out]).ok();
    assert_eq!(std::fs::read_to_string(&out).unwrap(), all);
    // A file whose content would not change keeps its time stamp, so that nothing is rebuilt.
    let written = std::fs::metadata(&out).unwrap().modified().unwrap();
    run(SCHEMA, &["generate", &path, "-o", &out]).ok();
    assert_eq!(std::fs::metadata(&out).unwrap().modified().unwrap(), written);

    let err = run(SCHEMA, &["generate", &path, "--command", "wsh", "--event", "DRY"]).failed(1);
    assert!(err.contains("no command 'wsh'; did you mean 'wash'?"), "{err}");
}

#[test]
fn export_evaluates_conditions() {
    let directory = Directory::new();
    let path = directory.write("small.json", SMALL);
    let values = |arguments: &[&str]| {
        let out = run(SCHEMA, &[&["export", &path, "--unmask"], arguments].concat()).ok();
        let entries: Vec<Value> = serde_json::from_str(&out).unwrap();
        // One entry per line, between brackets.
        assert_eq!(out.lines().count(), entries.len() + 2);
        let color = entries.iter().find(|entry| entry["name"] == "Color").unwrap();
        color["members"].as_array().unwrap().len()
    };
    assert_eq!(values(&[]), 2);
    assert_eq!(values(&["--all-symbols"]), 2);
    assert_eq!(values(&["--symbol", "CONFIG_BLUE"]), 2);
    assert_eq!(values(&["--symbol", "CONFIG_RED"]), 1);
    assert_eq!(values(&["--no-symbols"]), 1);
    assert!(!run(SCHEMA, &["export", &path]).ok().contains("Paint"), "names are masked");
}

/// A round trip preserves the schema, and also the names if they are given.
#[test]
fn import_reads_the_output_of_export() {
    let directory = Directory::new();
    let path = directory.write("small.json", SMALL);
    let exported = directory.path("exported.json");
    run(SCHEMA, &["export", &path, "-o", &exported]).ok();

    let named = run(SCHEMA, &["import", &exported, "--names", &path]).ok();
    assert!(named.contains("{ 'struct': 'Paint'"), "{named}");
    let named = directory.write("named.json", &named);
    run(SCHEMA, &["check", &named]).ok();
    assert_eq!(run(SCHEMA, &["diff", &exported, &named]).ok(), "No changes.\n");

    let table = directory.write("table.json", r#"{"paint": {"(arguments)": "Lacquer"}}"#);
    let text = run(SCHEMA, &["import", &exported, "--names", &table]).ok();
    assert!(text.contains("'Lacquer'"), "{text}");
    let rust = run(SCHEMA, &["import", &exported, "--names", &table, "--rust"]).ok();
    assert!(rust.contains("pub struct Lacquer"), "{rust}");

    // A complete reply on standard input.
    let reply = format!("{{\"return\": {}}}", std::fs::read_to_string(&exported).unwrap());
    run_with(SCHEMA, &["import", "-", "--rust"], &reply).ok();
}

/// Types have QEMU's names even if `--names` is not given.
#[test]
fn import_knows_the_names_of_qemu() {
    let directory = Directory::new();
    let text = run(SCHEMA, &["import", "builtin"]).ok();
    assert!(text.contains("{ 'union': 'BlockdevOptions'"), "BlockdevOptions");
    let path = directory.write("builtin.json", &text);
    run(SCHEMA, &["check", &path]).ok();
    assert_eq!(run(SCHEMA, &["diff", "builtin", &path]).ok(), "No changes.\n");
    let empty = directory.write("empty.json", "{}");
    let text = run(SCHEMA, &["import", "builtin", "--names", &empty]).ok();
    assert!(!text.contains("'BlockdevOptions'") && text.contains("'QueryBlockReturn'"));
}

/// With a record, the introspection data comes back byte for byte, with numbers and unreachable
/// types.
#[test]
fn export_returns_what_import_has_recorded() {
    let directory = Directory::new();
    let text = "[{\"name\": \"STOP\", \"meta-type\": \"event\", \"arg-type\": \"17\"}, \
                {\"name\": \"17\", \"members\": [], \"meta-type\": \"object\"}, \
                {\"name\": \"18\", \"members\": [{\"name\": \"a\"}], \"meta-type\": \"enum\", \
                \"values\": [\"a\"]}]";
    let (schema, record) = (directory.path("vm.json"), directory.path("record.json"));
    run_with(SCHEMA, &["import", "-", "-o", &schema, "--record", &record], text).ok();
    assert_eq!(run(SCHEMA, &["export", &schema, "--record", &record]).ok(), text);
    let renumbered = run(SCHEMA, &["export", &schema]).ok();
    assert!(renumbered.contains("\"0\"") && !renumbered.contains("\"1\""), "{renumbered}");

    let err = run_with(SCHEMA, &["import", "-", "--record", &record], &text.replace(", ", ",  "));
    assert!(err.failed(1).contains("cannot be exported byte for byte"));
    let err = run(SCHEMA, &["export", &schema, "--record", &schema]).failed(1);
    assert!(err.contains("invalid record"), "{err}");
}

#[test]
fn export_writes_json_schema() {
    let directory = Directory::new();
    let path = directory.write("small.json", SMALL);
    let export = |arguments: &[&str]| -> Value {
        let arguments = [&["export", &path, "--format", "json-schema"], arguments].concat();
        serde_json::from_str(&run(SCHEMA, &arguments).ok()).unwrap()
    };
    let client = export(&[]);
    assert_eq!(client, export(&["--for", "client"]));
    assert_eq!(client["$defs"]["paint:returns"]["$ref"], "#/$defs/Paint:open");
    assert_eq!(client["$defs"]["Color"]["anyOf"].as_array().unwrap().len(), 2);
    let server = export(&["--for", "server", "--no-symbols"]);
    assert_eq!(server["$defs"]["paint:returns"]["$ref"], "#/$defs/Paint");
    assert_eq!(server["$defs"]["Color"]["anyOf"][0]["enum"], serde_json::json!(["red"]));

    for misplaced in [&["--for", "server"][..], &["--format", "json-schema", "--unmask"]] {
        let err = run(SCHEMA, &[&["export", &path], misplaced].concat()).failed(1);
        assert!(err.contains("--format"), "{err}");
    }
}

#[test]
fn import_reports_invalid_introspection() {
    for (text, message) in [
        ("[1", "invalid JSON"),
        ("", "invalid JSON"),
        ("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such luck\"}}", "no such luck"),
        ("[{\"name\": \"x\", \"meta-type\": \"command\", \"arg-type\": \"7\"}]", "[0]"),
    ] {
        let err = run_with(SCHEMA, &["import", "-"], text).failed(1);
        assert!(err.starts_with("qmp-schema: -: ") && err.contains(message), "{text}: {err}");
    }
    let err = run_with(SCHEMA, &["check", "-"], "[{\"name\": \"x\"}]").failed(1);
    assert!(err.contains("`qmp-schema import`"), "{err}");
    for bad in ["[]", "{\"a\": 1}", "{\"a\": {\"b\": \"Not a name\"}}"] {
        let err = run_with(SCHEMA, &["import", "builtin", "--names", "-"], bad).failed(1);
        assert!(err.contains("invalid table of names"), "{bad}: {err}");
    }
}

#[test]
fn diff_counts_and_denies_changes() {
    let directory = Directory::new();
    let old = directory.write("old.json", SMALL);
    let added = directory.write("added.json", &format!("{SMALL}{{ 'command': 'scrape' }}\n"));
    let out = run(SCHEMA, &["diff", &old, &added, "--deny-breaking"]).ok();
    assert!(out.contains("command scrape: added") && out.contains("\n1 change, 0 breaking.\n"));

    let out = run(SCHEMA, &["diff", &added, &old]).ok();
    assert!(out.contains("Breaking changes (1):") && out.contains("1 change, 1 breaking."));
    run(SCHEMA, &["diff", &added, &old, "--deny-breaking"]).failed(1);

    let json = run(SCHEMA, &["diff", &added, &old, "--json"]).ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["breaking"], true);
    assert_eq!(json["changes"][0]["command"], "scrape");

    // Introspection has only one integer type: it cannot tell `uint8` from `int`.
    let wider = directory.write("wider.json", &SMALL.replace("uint8", "int"));
    let exported = directory.path("exported.json");
    run(SCHEMA, &["export", &wider, "-o", &exported]).ok();
    assert!(run(SCHEMA, &["diff", &old, &wider]).ok().contains("paint"));
    assert_eq!(run(SCHEMA, &["diff", &old, &exported]).ok(), "No changes.\n");

    run(SCHEMA, &["diff", &old]).failed(2);
    let err = run(SCHEMA, &["diff", &old, &directory.path("missing")]).failed(2);
    assert!(err.contains("cannot read"), "{err}");
}
