//! Loads a QAPI schema, and generates code if it is valid.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmp_codegen::{Builder, Root, load};

fuzz_target!(|schema: &str| {
    let root = Root::Text { name: "fuzz.json".to_owned(), text: schema.to_owned() };
    match load([root]) {
        Ok(loaded) => drop(Builder::new().tokens(&loaded.schema)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
