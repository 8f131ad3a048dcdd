//! The vocabularies of this crate, and what each is generated from.
//!
//! In the workspace, `build.rs` generates them. The published package contains the generated code
//! instead, so that its users do not compile a generator: `.ci/package` makes it from the same table.

use qmp_codegen::Builder;

/// Returns the name of each vocabulary, which is also that of its module and of its feature, and the
/// builder that generates it.
pub(crate) fn all() -> Vec<(&'static str, Builder)> {
    let of = |roots: &[&str]| {
        let builder = roots.iter().fold(Builder::new(), |builder, root| builder.schema(*root));
        builder.constructors_for_all().introspection()
    };
    vec![
        // The greeting contains the same version, which QEMU 0.12 wrote in another form.
        (
            "qmp",
            of(&[qmp_schema::SPEC, qmp_schema::EVENTS])
                .replace_type("VersionTriple", "::qmp_types::VersionTriple"),
        ),
        ("qga", of(&[qmp_schema::QGA])),
        ("devices", devices()),
    ]
}

/// The types that properties of devices share with QMP.
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
fn devices() -> Builder {
    let plug = "{ 'command': 'plug', 'data': 'Device', 'boxed': true }";
    let builder = Builder::new()
        .schema(qmp_schema::DEVICES)
        .schema_text("plug.json", plug)
        .commands(["plug"]);
    SHARED.iter().fold(builder, |builder, name| {
        builder.replace_type(*name, &format!("::qmp_types::qmp::types::{name}"))
    })
}
