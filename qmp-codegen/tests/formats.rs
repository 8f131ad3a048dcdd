//! The formats of diagnostics.

#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use qmp_codegen::diagnostic::{Diagnostic, Format, Rule, render_as};
use qmp_codegen::source::Sources;
use qmp_codegen::{LoadOptions, Root};
use serde_json::{Value, json};

/// Reads a file, and returns all that is to be said about it.
fn diagnostics(path: &Path) -> (Sources, Vec<Diagnostic>) {
    match LoadOptions::new().prose(true).load([Root::File(path.to_owned())]) {
        Ok(loaded) => (loaded.sources, loaded.warnings),
        Err(error) => (error.sources, error.diagnostics),
    }
}

/// Writes a schema whose second file has an error and a warning, and formats them.
fn formatted(name: &str, format: Format) -> String {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formats").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("root.json"), "\n{ 'include': 'a part.json' }\n").unwrap();
    let part = "{ 'command': 'wash', 'data': 'Watr' }\n\
                { 'struct': 'Water', 'data': {} }\n\
                { 'struct': 'Water', 'data': {} }\n\
                ##\n# @dry:\n#\n# Returns: \u{202e}air\n##\n{ 'command': 'dry' }\n";
    std::fs::write(directory.join("a part.json"), part).unwrap();
    let (sources, found) = diagnostics(&directory.join("root.json"));
    let text = render_as(format, &sources, &found);
    text.replace(&format!("{}/", directory.display()), "")
}

#[test]
fn short_is_a_line_each() {
    assert_eq!(
        formatted("short", Format::Short),
        "a part.json:1:30: error: in command 'wash': unknown type 'Watr' [unknown-type]\n\
         a part.json:3:13: error: in struct 'Water': the name 'Water' is already defined [name]\n\
         a part.json:7:3: warning: in command 'dry': unexpected section 'Returns:' of a command that returns nothing [doc-section]\n\
         a part.json:7:12: warning: in command 'dry': the text of 'Returns:' does not end with a period [doc-style]\n"
    );
}

#[test]
fn json_is_an_object_a_line() {
    let text = formatted("json", Format::Json);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let included_from = json!([{ "file": "root.json", "line": 2, "column": 14 }]);
    assert_eq!(
        lines[0],
        json!({
            "severity": "error",
            "rule": "unknown-type",
            "message": "unknown type 'Watr'",
            "documentation": false,
            "file": "a part.json",
            "line": 1,
            "column": 30,
            "end_line": 1,
            "end_column": 36,
            "included_from": included_from,
            "definition": "command 'wash'",
            "help": "did you mean 'Water'?",
            "related": [],
        })
    );
    let first = json!([{
        "file": "a part.json", "line": 2, "column": 13, "note": "first defined here",
    }]);
    assert_eq!((&lines[1]["rule"], &lines[1]["related"]), (&json!("name"), &first));
    assert_eq!(
        (&lines[2]["severity"], &lines[2]["documentation"]),
        (&json!("warning"), &json!(true))
    );
    assert_eq!(lines.len(), 4);
}

/// The members that the specification of SARIF requires, with their types, and where viewers look.
#[test]
fn sarif_is_a_log() {
    let log: Value = serde_json::from_str(&formatted("sarif", Format::Sarif)).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().ends_with("sarif-2.1.0.json"));
    let run = &log["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "qmp-schema");
    let rules = driver["rules"].as_array().unwrap();
    assert_eq!(rules.len(), Rule::ALL.len());
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].is_string());
        let location = &result["locations"][0];
        let uri = location["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.ends_with("a%20part.json"), "{uri}");
        assert!(location["logicalLocations"][0]["fullyQualifiedName"].is_string());
        let related = &result["relatedLocations"][0];
        assert_eq!(related["message"]["text"], "the file is included here");
    }
    assert_eq!(
        results[0]["locations"][0]["physicalLocation"]["region"],
        json!({ "startLine": 1, "startColumn": 30, "endLine": 1, "endColumn": 36 })
    );
    assert_eq!(results[0]["message"]["text"], "unknown type 'Watr'; did you mean 'Water'?");
    assert_eq!(results[1]["relatedLocations"][1]["message"]["text"], "first defined here");
}

/// Text from a file, or a path, must not control the terminal that shows it.
#[test]
fn no_format_has_control_characters() {
    let name = "b\u{1b}[31m\u{202e}\u{7}.json";
    let text = format!("##\n# @a\u{202e} b:\n##\n{{ 'x': \u{1b}[31m }}\n{name}");
    let root = Root::Text { name: name.to_owned(), text };
    let error = LoadOptions::new().load([root]).unwrap_err();
    for format in [Format::Human, Format::Short, Format::Json, Format::Sarif] {
        let text = render_as(format, &error.sources, &error.diagnostics);
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(is_bad), "{text:?}");
        assert!(!text.is_empty());
    }
}

/// Each rule but those about limits is that of at least one of the small schemas.
#[test]
fn every_rule_is_used() {
    let mut unused: BTreeSet<Rule> = Rule::ALL.into_iter().collect();
    for directory in ["tests/errors", "tests/warn", "tests/prose"] {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let schemas: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|one| one == "json")).collect();
        for path in schemas {
            let (sources, found) = diagnostics(&path);
            for diagnostic in &found {
                unused.remove(&diagnostic.rule());
                let about_documentation = diagnostic.rule().name().starts_with("doc-");
                assert_eq!(diagnostic.is_documentation, about_documentation, "{path:?}");
            }
            let short = render_as(Format::Short, &sources, &found);
            assert_eq!(short.lines().count(), found.len(), "{short}");
        }
    }
    assert_eq!(unused.into_iter().collect::<Vec<_>>(), [Rule::Limit]);
}
