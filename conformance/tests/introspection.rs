//! Compares the schema with the introspection of running QEMUs: the schema has everything that they
//! have, and they always send the members that it declares mandatory. And what they send survives an
//! import and export byte for byte.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

#[path = "../../schema/tests/support/mod.rs"]
mod release;
mod support;

use std::path::Path;

use conformance::{qemus, target, targets};
use qmp_client::Raw;
use qmp_client::blocking::Client;
use qmp_codegen::introspection::{Names, Record, import_exact};
use qmp_types::VersionTriple;
use qmp_vm::Launch;
use serde_json::value::RawValue;

needs! { qemu,
    fn the_schema_covers_running_qemus() {
        let schema = release::schema();
        let mut unexpected = Vec::new();
        for qemu in qemus().into_iter().chain(targets()) {
            let (version, answer) = introspection(&qemu);
            let label = format!("{} ({})", support::label("QEMU", &version), target(&qemu));
            // A newer release may have more than the schema.
            if (version.major, version.minor) > release::NEWEST_VERSION {
                println!("{label} is newer than the schema");
                continue;
            }
            let release = format!("{}.{}", version.major, version.minor);
            let differences = release::differences(answer.get(), &schema, &release);
            println!("{label}: {} exceptions", differences.len());
            let others = differences.into_iter().filter(|line| !release::is_exception(line));
            unexpected.extend(others.map(|line| format!("{label}: {line}")));
        }
        let count = unexpected.len();
        assert!(unexpected.is_empty(), "{count} differences:\n{}", unexpected.join("\n"));
    }
}

needs! { qemu,
    fn replies_survive_import_and_export_byte_for_byte() {
        for qemu in qemus() {
            let (version, answer) = introspection(&qemu);
            let label = support::label("QEMU", &version);
            let (schema, record) = import_exact(answer.get(), &Names::none()).unwrap();
            // Nothing but the schema as text and the record as JSON is left of the reply.
            let record = Record::from_json(&record.to_json().to_string()).unwrap();
            let text = qmp_codegen::text::write(&schema);
            let root = qmp_codegen::Root::Text { name: label.clone(), text };
            let schema = qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema;
            let again = record.export(&schema, &|_| true);
            assert!(again == answer.get(), "{label}");
            assert!(record.is_regular(), "{label}");
            println!("{label}: {} bytes are equal", again.len());
        }
    }
}

/// Returns the version of a QEMU, and its reply to `query-qmp-schema` as it was sent.
fn introspection(qemu: &Path) -> (VersionTriple, Box<RawValue>) {
    let bare = ["-M", "none", "-display", "none", "-nodefaults", "-S"];
    let vm = Launch::new(qemu).args(bare).start::<Client>().unwrap();
    let version = vm.version().qemu;
    (version, vm.execute(Raw::new("query-qmp-schema")).unwrap())
}
