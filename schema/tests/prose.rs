//! Checks the style of the schema's documentation.

#![allow(clippy::panic, missing_docs)] // tests

use qmp_codegen::diagnostic::render;
use qmp_codegen::{LoadOptions, Root};

#[test]
fn documentation_follows_the_rules_of_style() {
    for roots in
        [&[qmp_schema::SPEC, qmp_schema::EVENTS, qmp_schema::DEVICES][..], &[qmp_schema::QGA]]
    {
        let roots = roots.iter().map(|root| Root::File(root.into()));
        let loaded = LoadOptions::new().prose(true).load(roots);
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty(), "{}", render(&loaded.sources, &loaded.warnings));
    }
}
