//! Tests with QEMU's schema.
//!
//! `QAPI_SCHEMA_DIR` is the directory with its `qapi-schema.json`.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;

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
