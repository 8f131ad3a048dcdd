//! Imports and exports replies of QEMU.

#![allow(clippy::unwrap_used)]

mod support;

use qmp_codegen::introspection::{Names, Naming, export, import};
use support::{assert_same, canonical, replies};

#[test]
fn imported_reply_exports_unchanged() {
    for (file, text) in replies() {
        let schema =
            import(&text, &Names::none()).unwrap_or_else(|error| panic!("{file}: {error}"));
        let again = export(&schema, Naming::Masked, &|_| true);
        assert_same(&file, &canonical(&serde_json::from_str(&text).unwrap()), &again);
    }
}

#[test]
fn imported_reply_survives_as_text() {
    for (file, text) in replies() {
        let imported = import(&text, &Names::none()).unwrap();
        let written = support::schema(&qmp_codegen::text::write(&imported));
        support::assert_equal_schemas(&file, &imported, &written);
        let again = export(&written, Naming::Masked, &|_| true);
        assert_same(&file, &canonical(&serde_json::from_str(&text).unwrap()), &again);
    }
}

#[test]
fn reply_does_not_differ_from_itself() {
    for (file, text) in replies() {
        let schema = import(&text, &Names::none()).unwrap();
        let other = export(&schema, Naming::Unmasked, &|_| true).to_string();
        let other = import(&other, &Names::none()).unwrap();
        let difference = qmp_codegen::diff::diff(&schema, &other);
        assert!(difference.is_empty(), "{file}: {difference}");
    }
}
