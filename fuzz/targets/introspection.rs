//! What a server says of itself, as a schema, as text, and back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmp_codegen::introspection::{Names, Naming, export, import};
use qmp_codegen::{Builder, Root, load, text};

fuzz_target!(|reply: &str| {
    let Ok(schema) = import(reply, &Names::none()) else { return };
    let exported = export(&schema, Naming::Masked, &|_| true);
    let _ = Builder::new().tokens(&schema);
    let written = text::write(&schema);
    let root = Root::Text { name: "again.json".to_owned(), text: written };
    if let Ok(again) = load([root]) {
        assert_eq!(export(&again.schema, Naming::Masked, &|_| true), exported);
    }
});
