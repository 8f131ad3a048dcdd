//! Generates the vocabularies from the schema crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    for generate in [qmp(), qga(), devices()].into_iter().flatten() {
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

/// The types that properties of devices share with QMP.
#[cfg(feature = "devices")]
const SHARED: [&str; 7] = [
    "BiosAtaTranslation",
    "BlockdevOnError",
    "FloppyDriveType",
    "GranuleMode",
    "IOThreadVirtQueueMapping",
    "OnOffAuto",
    "VirtIOGPUOutput",
];

/// Generates what the type `Device` consists of. The schema has no command that takes it.
#[cfg(feature = "devices")]
fn devices() -> Option<ExitCode> {
    let plug = "{ 'command': 'plug', 'data': 'Device', 'boxed': true }";
    let builder = qmp_codegen::Builder::new()
        .schema(qmp_schema::DEVICES)
        .schema_text("plug.json", plug)
        .commands(["plug"]);
    let shared = |builder: qmp_codegen::Builder, name: &&str| {
        builder.replace_type(*name, &format!("::qmp_types::qmp::types::{name}"))
    };
    Some(SHARED.iter().fold(builder, shared).generate("devices"))
}

#[cfg(not(feature = "devices"))]
fn devices() -> Option<ExitCode> {
    None
}
