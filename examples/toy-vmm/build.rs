//! Generates the vocabulary `vmm`, with everything that a server needs.

use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    qmp_codegen::Builder::new()
        .schema("schema/vmm.json")
        .constructors_for_all()
        .introspection()
        .generate("vmm")
}
