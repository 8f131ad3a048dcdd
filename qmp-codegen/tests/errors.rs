//! Small schemas with their expected diagnostics.
//!
//! - `errors`: schemas that are rejected.
//! - `warn`: schemas that are accepted with warnings.
//! - `accept`: schemas that are accepted without warnings.
//! - `prose`: schemas that only cause warnings about the style of documentation.
//!
//! `BLESS=1` updates the expected diagnostics.

#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use qmp_codegen::diagnostic::render;
use qmp_codegen::{LoadOptions, Root, load_file};

#[test]
fn invalid_schemas_are_rejected() {
    let failures = each_case("tests/errors", |schema| match load_file(schema) {
        Ok(_) => Err(String::from("accepted")),
        Err(error) => compare(schema, &error.to_string()),
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn questionable_schemas_are_accepted_with_warnings() {
    let failures = each_case("tests/warn", |schema| match load_file(schema) {
        Ok(loaded) => compare(schema, &render(&loaded.sources, &loaded.warnings)),
        Err(error) => Err(format!("rejected:\n{error}")),
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn valid_schemas_are_accepted() {
    let failures = each_case("tests/accept", |schema| match load_file(schema) {
        Ok(loaded) if loaded.warnings.is_empty() => Ok(()),
        Ok(loaded) => Err(render(&loaded.sources, &loaded.warnings)),
        Err(error) => Err(error.to_string()),
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn style_of_documentation_is_only_checked_on_request() {
    let failures = each_case("tests/prose", |schema| {
        let loaded = load_file(schema).map_err(|error| error.to_string())?;
        assert!(loaded.warnings.is_empty(), "{schema:?}");
        match LoadOptions::new().prose(true).load([Root::File(schema.to_owned())]) {
            Ok(loaded) => {
                // A build script that does not ask for them hides them.
                assert!(loaded.warnings.iter().all(|one| one.is_documentation), "{schema:?}");
                compare(schema, &render(&loaded.sources, &loaded.warnings))
            }
            Err(error) => Err(error.to_string()),
        }
    });
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_schema_has_diagnostics_and_vice_versa() {
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

#[test]
#[ignore = "needs QAPI_SCHEMA_DIR, the qapi directory of QEMU's source"]
fn schema_of_qemu_is_accepted_without_warnings() {
    let directory = PathBuf::from(std::env::var_os("QAPI_SCHEMA_DIR").unwrap());
    let loaded = load_file(directory.join("qapi-schema.json")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(render(&loaded.sources, &loaded.warnings), "");
    assert!(loaded.schema.commands.len() > 100);
}

/// Tests every schema in a directory. Returns a description of all failures.
fn each_case(directory: &str, test: impl Fn(&Path) -> Result<(), String>) -> String {
    let mut failures = String::new();
    for schema in files(directory).iter().filter(|path| has(path, "json")) {
        if let Err(failure) = test(schema) {
            writeln!(failures, "\n== {}\n{failure}", schema.display()).unwrap();
        }
    }
    failures
}

/// Compares diagnostics with those expected, or updates the latter.
fn compare(schema: &Path, found: &str) -> Result<(), String> {
    let path = schema.with_extension("err");
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(path, found).unwrap();
        return Ok(());
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == found { Ok(()) } else { Err(difference(&expected, found)) }
}

/// Returns the lines from the first to the last that differs.
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

/// Returns the files in a directory, but not in its subdirectories. The path is relative to the
/// package, in which tests run, so that paths in diagnostics are the same on every machine.
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
