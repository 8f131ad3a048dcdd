//! Tests with QEMU's schema.
//!
//! `QAPI_SCHEMA_DIR` is the directory with its `qapi-schema.json`. `QAPI_SCHEMAS` lists directories,
//! separated by colons, each with `qapi/qapi-schema.json` and `qga/qapi-schema.json` of a release.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use qmp_codegen::Root;
use qmp_codegen::introspection::{Names, Naming, export, import};
use qmp_codegen::schema::Schema;
use support::{assert_equal_schemas, replies};

fn qemu() -> Schema {
    let directory = PathBuf::from(std::env::var_os("QAPI_SCHEMA_DIR").unwrap());
    let root = Root::File(directory.join("qapi-schema.json"));
    qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema
}

#[test]
#[ignore = "needs QAPI_SCHEMA_DIR"]
fn schema_survives_as_text() {
    let schema = qemu();
    let text = qmp_codegen::text::write(&schema);
    assert_equal_schemas("QEMU's schema", &schema, &support::schema(&text));
    let long = text.lines().filter(|line| line.len() > 80 && !line.starts_with('#')).count();
    assert_eq!(long, 0);
}

#[test]
#[ignore = "needs QAPI_SCHEMA_DIR"]
fn schema_does_not_differ_from_its_introspection() {
    let schema = qemu();
    for naming in [Naming::Masked, Naming::Unmasked] {
        let exported = export(&schema, naming, &|_| true);
        let imported = import(&exported.to_string(), &Names::from_schema(&schema)).unwrap();
        let scope = qmp_codegen::diff::Scope::Introspection;
        let difference = qmp_codegen::diff::diff_within(&schema, &imported, scope);
        assert!(difference.is_empty(), "{difference}");
    }
}

/// The names of a schema cover most types of other releases.
#[test]
#[ignore = "needs QAPI_SCHEMA_DIR"]
fn names_of_the_schema_fit_other_releases() {
    let schema = qemu();
    let known: Vec<&str> = schema.types.iter().map(|ty| &*ty.definition.name).collect();
    for (file, text) in replies() {
        let imported = import(&text, &Names::from_schema(&schema)).unwrap();
        let named = |name: &str| known.contains(&name);
        let named = imported.types.iter().filter(|ty| named(&ty.definition.name)).count();
        println!("{file}: {named} of {} types have their real names", imported.types.len());
        assert!(named * 10 > imported.types.len() * 9, "{file}: {named}");
    }
}

/// A package whose build script reads both schemas of a release, and in which nothing may cause a
/// warning but what the build script prints.
fn write_package(directory: &Path, release: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = here.parent().unwrap();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let manifest = format!(
        "[package]\nname = \"vocabularies\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nqmp-types = {{ path = {:?}, default-features = false }}\n\n\
         [build-dependencies]\nqmp-codegen = {{ path = {here:?} }}\n\n[workspace]\n",
        workspace.join("qmp-types")
    );
    write("Cargo.toml", manifest);
    write("Cargo.lock", std::fs::read_to_string(workspace.join("Cargo.lock")).unwrap());
    let generate = |name: &str, root: &str| {
        let root = release.join(root);
        format!("qmp_codegen::Builder::new().schema({root:?}).generate({name:?})")
    };
    let build = format!(
        "use std::process::ExitCode;\n\nfn main() -> ExitCode {{\n    let codes = [{}, {}];\n    \
         if codes == [ExitCode::SUCCESS; 2] {{ ExitCode::SUCCESS }} else {{ ExitCode::FAILURE }}\n}}\n",
        generate("qmp", "qapi/qapi-schema.json"),
        generate("qga", "qga/qapi-schema.json"),
    );
    write("build.rs", build);
    let module = |name: &str| {
        format!(
            "/// {name}\npub mod {name} {{\n    qmp_types::include_vocabulary!({name:?});\n}}\n"
        )
    };
    let library = format!(
        "//! Both vocabularies.\n#![deny(warnings, missing_docs)]\n\n{}{}",
        module("qmp"),
        module("qga")
    );
    write("src/lib.rs", library);
}

/// The code of each release compiles with warnings denied, and the build script prints a line for
/// each schema at most.
#[test]
#[ignore = "needs QAPI_SCHEMAS"]
fn schemas_compile_without_warnings() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    for release in std::env::split_paths(&std::env::var_os("QAPI_SCHEMAS").unwrap()) {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qemu_schema");
        write_package(&directory, &release);
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--offline"])
            .env("CARGO_TARGET_DIR", target)
            .current_dir(&directory)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {err}", release.display());
        let printed: Vec<&str> = err.lines().filter(|line| line.starts_with("warning: ")).collect();
        println!("{}: {} lines: {printed:#?}", release.display(), printed.len());
        assert!(printed.len() <= 3, "{printed:#?}");
    }
}
