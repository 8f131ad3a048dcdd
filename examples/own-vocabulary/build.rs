//! Generates the vocabulary `vmm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    qmp_codegen::Builder::new()
        .schema(qmp_schema::SPEC)
        .schema(qmp_schema::EVENTS)
        .schema("schema/owner.json")
        .commands(["query-status", "stop", "cont", "set-owner"])
        .events(["STOP", "RESUME"])
        .generate("vmm")
}
