//! Compares the schema with the introspection of running QEMUs: the schema has everything that they
//! have, and they always send the members that it declares mandatory.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

#[path = "../../schema/tests/support/mod.rs"]
mod release;
mod support;

use conformance::{qemus, target, targets};
use qmp_client::Raw;
use qmp_client::blocking::Client;
use qmp_vm::Launch;
use serde_json::value::RawValue;

needs! { qemu,
    fn the_schema_covers_running_qemus() {
        let schema = release::schema();
        let mut unexpected = Vec::new();
        for qemu in qemus().into_iter().chain(targets()) {
            let bare = ["-M", "none", "-display", "none", "-nodefaults", "-S"];
            let vm = Launch::new(&qemu).args(bare).start::<Client>().unwrap();
            let version = vm.version().qemu;
            let label = format!("{} ({})", support::label("QEMU", &version), target(&qemu));
            let answer = vm.execute(Raw::<Box<RawValue>>::new("query-qmp-schema")).unwrap();
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
