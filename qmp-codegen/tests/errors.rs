//! Small schemas, each beside the diagnostics that it gives: `errors` has those that are refused,
//! `warn` those that are accepted with warnings, `accept` those that are accepted without, and
//! `prose` those whose style is warned of if asked for.
//!
//! `BLESS=1` writes the expected diagnostics anew.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use qmp_codegen::diagnostic::render;
use qmp_codegen::{LoadOptions, Root, load_file};

#[test]
fn what_is_wrong_is_refused() {
    let failures = each_case("tests/errors", |schema| match load_file(schema) {
        Ok(_) => Err(String::from("it is accepted")),
        Err(error) => compare(schema, &error.to_string()),
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn what_is_questionable_is_accepted_with_warnings() {
    let failures = each_case("tests/warn", |schema| match load_file(schema) {
        Ok(loaded) => compare(schema, &render(&loaded.sources, &loaded.warnings)),
        Err(error) => Err(format!("it is refused:\n{error}")),
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn what_is_right_is_accepted() {
    let failures = each_case("tests/accept", |schema| match load_file(schema) {
        Ok(loaded) if loaded.warnings.is_empty() => Ok(()),
        Ok(loaded) => Err(render(&loaded.sources, &loaded.warnings)),
        Err(error) => Err(error.to_string()),
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn style_of_documentation_is_checked_if_asked_for() {
    let failures = each_case("tests/prose", |schema| {
        let loaded = load_file(schema).map_err(|error| error.to_string())?;
        assert!(loaded.warnings.is_empty(), "{schema:?}");
        match LoadOptions::new().prose(true).load([Root::File(schema.to_owned())]) {
            Ok(loaded) => compare(schema, &render(&loaded.sources, &loaded.warnings)),
            Err(error) => Err(error.to_string()),
        }
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_schema_has_its_diagnostics_and_the_other_way_round() {
    for directory in ["tests/errors", "tests/warn", "tests/prose"] {
        let names = |extension| {
            let paths = files(directory).into_iter().filter(move |path| has(path, extension));
            paths.map(|path| path.with_extension("")).collect::<BTreeSet<PathBuf>>()
        };
        let (schemas, diagnostics) = (names("json"), names("err"));
        let alone: Vec<_> = schemas.symmetric_difference(&diagnostics).collect();
        assert!(alone.is_empty(), "{alone:?}");
    }
}

/// QEMU's own schema has nothing that would be worth a warning.
#[test]
#[ignore = "needs QAPI_SCHEMA_DIR, a checkout's qapi directory"]
fn the_schema_of_qemu_is_right() {
    let directory = PathBuf::from(std::env::var_os("QAPI_SCHEMA_DIR").unwrap());
    let loaded = load_file(directory.join("qapi-schema.json")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(render(&loaded.sources, &loaded.warnings), "");
    assert!(loaded.schema.commands.len() > 100);
}

/// Tries every schema of a directory; what is said of those that fail.
fn each_case(directory: &str, test: impl Fn(&Path) -> Result<(), String>) -> String {
    let mut failures = String::new();
    for schema in files(directory).iter().filter(|path| has(path, "json")) {
        if let Err(failure) = test(schema) {
            writeln!(failures, "\n== {}\n{failure}", schema.display()).unwrap();
        }
    }
    failures
}

/// Compares diagnostics with those beside the schema.
fn compare(schema: &Path, found: &str) -> Result<(), String> {
    let path = schema.with_extension("err");
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(path, found).unwrap();
        return Ok(());
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == found { Ok(()) } else { Err(difference(&expected, found)) }
}

/// The lines from the first that differs to the last.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let same = |(one, other): &(&&str, &&str)| one == other;
    let first = expected.iter().zip(&found).take_while(same).count();
    let (expected, found) = (&expected[first..], &found[first..]);
    let last = expected.iter().rev().zip(found.iter().rev()).take_while(same).count();
    let side = |sign: &str, lines: &[&str]| -> String {
        lines[..lines.len() - last].iter().map(|line| format!("{sign}{line}\n")).collect()
    };
    format!("from line {}:\n{}{}", first + 1, side("-", expected), side("+", found))
}

/// The files of a directory, without those of its subdirectories. Tests run in the directory of
/// their package, so paths in diagnostics are the same everywhere.
fn files(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    assert!(!files.is_empty());
    files.sort();
    files
}

fn has(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
