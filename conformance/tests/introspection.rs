//! The schema against what running QEMUs say of themselves: nothing that they have is missing, and
//! what it calls mandatory, they always send.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

#[path = "../../schema/tests/support/mod.rs"]
mod release;
mod support;

use conformance::qemus;
use qmp_client::Raw;
use qmp_client::blocking::Launch;
use serde_json::value::RawValue;

needs! { qemu,
    fn nothing_of_a_running_qemu_is_missing() {
        let schema = release::schema();
        let mut wrong = Vec::new();
        for qemu in qemus() {
            let bare = ["-M", "none", "-display", "none", "-nodefaults", "-S"];
            let mut client = Launch::new(&qemu).args(bare).start().unwrap();
            let version = client.version().qemu;
            let label = support::label("QEMU", &version);
            let answer = client.execute(Raw::<Box<RawValue>>::new("query-qmp-schema")).unwrap();
            // One that is newer than the schema has more, and is none of its business.
            if (version.major, version.minor) > release::NEWEST_VERSION {
                println!("{label} is newer than the schema");
                continue;
            }
            let release = format!("{}.{}", version.major, version.minor);
            let differences = release::differences(answer.get(), &schema, &release);
            println!("{label}: {} exceptions", differences.len());
            let unexpected = differences.into_iter().filter(|line| !release::is_exception(line));
            wrong.extend(unexpected.map(|line| format!("{label}: {line}")));
        }
        assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    }
}
