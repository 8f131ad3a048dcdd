//! How a build script behaves: the lines that it prints for Cargo, its messages for people, the file
//! that it writes, and its exit code.
//!
//! The build script is a process of its own: this program, which then runs one test only.

#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

const SCHEMA: &str = "\
{ 'include': 'types.json' }
{ 'command': 'paint', 'data': 'Paint' }
{ 'command': 'wash' }
";

const TYPES: &str = "\
{ 'enum': 'Color', 'data': [ 'red', 'blue' ] }
{ 'struct': 'Paint', 'data': { 'color': 'Color' } }
";

/// The build script.
#[test]
#[ignore = "the other tests run it"]
fn build_script() {
    let Some(root) = std::env::var_os("SCHEMA") else { return };
    let commands = std::env::var("COMMANDS").unwrap_or_default();
    let mut builder = qmp_codegen::Builder::new().schema(root);
    if !commands.is_empty() {
        builder = builder.commands(commands.split(',')).events([""; 0]);
    }
    if std::env::var_os("LINT_DOCS").is_some() {
        builder = builder.lint_docs(true);
    }
    assert_eq!(builder.generate("vocabulary"), ExitCode::SUCCESS, "the build script failed");
}

/// The outcome of the build script.
struct Built {
    succeeded: bool,
    out: String,
    err: String,
}

/// A package with a schema.
struct Package(PathBuf);

impl Package {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build_script").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let _ = std::fs::remove_file(directory.join("vocabulary.rs"));
        let package = Self(directory);
        package.write("root.json", SCHEMA);
        package.write("types.json", TYPES);
        package
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn build(&self, commands: &str) -> Built {
        self.build_with(&[("COMMANDS", commands)])
    }

    fn build_with(&self, variables: &[(&str, &str)]) -> Built {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "build_script", "--nocapture"])
            .env("OUT_DIR", &self.0)
            .env("SCHEMA", self.path("root.json"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Built {
            succeeded: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn written(&self) -> Option<SystemTime> {
        Some(std::fs::metadata(self.path("vocabulary.rs")).ok()?.modified().unwrap())
    }

    /// Checks that Cargo is told of every file, and before anything else.
    #[track_caller]
    fn is_watched(&self, built: &Built) {
        for file in ["root.json", "types.json"] {
            let line = format!("cargo::rerun-if-changed={}\n", self.path(file).display());
            assert!(built.out.contains(&line), "{line}{}", built.out);
        }
        let mut lines = built.out.lines().filter(|line| line.starts_with("cargo::"));
        let mut others = lines.by_ref().skip_while(|line| line.starts_with("cargo::rerun"));
        assert!(others.all(|line| !line.starts_with("cargo::rerun")), "{}", built.out);
    }
}

#[test]
fn errors_are_shown_with_their_place() {
    let package = Package::new("wrong");
    package.write("types.json", &TYPES.replace("'Color' }", "'Colr' }"));
    let built = package.build("");
    assert!(!built.succeeded);
    package.is_watched(&built);
    let root = package.path("root.json").display().to_string();
    let types = package.path("types.json").display().to_string();
    for shown in [
        format!("in file included from {root}:1:"),
        format!("{types}:2:41: error: in struct 'Paint': "),
        String::from(" 2 | { 'struct': 'Paint', 'data': { 'color': 'Colr' } }\n"),
        String::from("did you mean 'Color'?"),
    ] {
        assert!(built.err.contains(&shown), "{shown}: {}", built.err);
    }
    let headline = format!("cargo::error={types}:2:41: error: in struct 'Paint': ");
    assert!(built.out.contains(&headline), "{headline}{}", built.out);
    assert_eq!(built.out.matches("cargo::error").count(), 1, "{}", built.out);
    assert_eq!(package.written(), None, "nothing is written");

    // Corrected, it builds; and the generated file survives the next error.
    package.write("types.json", TYPES);
    assert!(package.build("").succeeded);
    let written = package.written();
    assert!(written.is_some());
    package.write("root.json", "{ 'command': 'paint'");
    assert!(!package.build("").succeeded);
    assert_eq!(package.written(), written);
}

#[test]
fn nothing_is_written_if_nothing_changed() {
    let package = Package::new("same");
    let built = package.build("");
    assert!(built.succeeded, "{}", built.err);
    package.is_watched(&built);
    let written = package.written();
    package.write("types.json", &format!("# A comment.\n{TYPES}"));
    assert!(package.build("").succeeded);
    assert_eq!(package.written(), written, "Cargo would compile the crate again");
    assert!(package.build("wash").succeeded);
    assert_ne!(package.written(), written);
}

#[test]
fn unknown_names_get_suggestions() {
    let package = Package::new("unknown");
    let built = package.build("wash,pant,strip");
    assert!(!built.succeeded);
    package.is_watched(&built);
    for line in [
        "the schema has no command 'pant'; did you mean 'paint'?\n",
        "the schema has no command 'strip'\n",
    ] {
        assert!(built.err.contains(&format!("error: {line}")), "{line}{}", built.err);
        assert!(built.out.contains(&format!("cargo::error={line}")), "{line}{}", built.out);
    }
    assert_eq!(package.written(), None);
}

#[test]
fn a_root_that_does_not_exist_is_watched() {
    let package = Package::new("missing");
    std::fs::remove_file(package.path("root.json")).unwrap();
    let built = package.build("");
    assert!(!built.succeeded);
    let line = format!("cargo::rerun-if-changed={}\n", package.path("root.json").display());
    assert!(built.out.contains(&line), "{line}{}", built.out);
}

#[test]
fn warnings_about_documentation_are_one_line() {
    let package = Package::new("documentation");
    let documented = "\
##
# @wash:
#
# Returns: nothing
# Since: 1.0
##
{ 'command': 'wash', 'data': { 'soap': 'bool', 'water': { 'type': 'int', 'if': 'WATER' } } }
";
    package.write("root.json", documented);
    let built = package.build("");
    assert!(built.succeeded, "{}", built.err);
    let root = package.path("root.json").display().to_string();
    let summary = format!(
        "cargo::warning=the schema has 2 warnings about documentation, which \
         `qmp-schema check {root}` or `Builder::lint_docs(true)` shows\n"
    );
    assert!(built.out.contains(&summary), "{summary}{}", built.out);
    // A warning that is not about documentation stays.
    let other = format!("cargo::warning={root}:7:");
    assert!(built.out.contains(&other), "{other}{}", built.out);
    assert_eq!(built.out.matches("cargo::warning").count(), 2, "{}", built.out);

    let built = package.build_with(&[("LINT_DOCS", "1")]);
    assert!(built.succeeded, "{}", built.err);
    assert_eq!(built.out.matches("cargo::warning").count(), 3, "{}", built.out);
    assert!(!built.out.contains(&summary), "{}", built.out);
}
