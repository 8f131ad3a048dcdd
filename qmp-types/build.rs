//! Generates the vocabularies from the schema crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    for generate in [qmp(), qga()].into_iter().flatten() {
        if generate != ExitCode::SUCCESS {
            return generate;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(feature = "qmp")]
fn qmp() -> Option<ExitCode> {
    let exit = qmp_codegen::Builder::new()
        .schema(qmp_schema::SPEC)
        .schema(qmp_schema::EVENTS)
        // The greeting contains the same version, which QEMU 0.12 wrote in another form.
        .replace_type("VersionTriple", "::qmp_types::VersionTriple")
        .constructors_for_all()
        .introspection()
        .generate("qmp");
    Some(exit)
}

#[cfg(not(feature = "qmp"))]
fn qmp() -> Option<ExitCode> {
    None
}

#[cfg(feature = "qga")]
fn qga() -> Option<ExitCode> {
    let exit = qmp_codegen::Builder::new()
        .schema(qmp_schema::QGA)
        .constructors_for_all()
        .introspection()
        .generate("qga");
    Some(exit)
}

#[cfg(not(feature = "qga"))]
fn qga() -> Option<ExitCode> {
    None
}
