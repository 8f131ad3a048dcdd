//! Imports introspection as a schema. Writing the schema as text and loading it again must not change
//! its introspection.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmp_codegen::introspection::{Names, Naming, export, import};
use qmp_codegen::{Builder, Root, load, text};

fuzz_target!(|reply: &str| {
    let Ok(schema) = import(reply, &Names::none()) else { return };
    let exported = export(&schema, Naming::Masked, &|_| true);
    let _ = Builder::new().tokens(&schema);
    let text = text::write(&schema);
    let root = Root::Text { name: "reloaded.json".to_owned(), text };
    if let Ok(reloaded) = load([root]) {
        assert_eq!(export(&reloaded.schema, Naming::Masked, &|_| true), exported);
    }
});
