//! The commands of the real vocabularies that have no effect.

#![cfg(all(feature = "qmp", feature = "qga"))]
#![allow(missing_docs)] // tests

use qmp_types::qga::commands::{GuestExecStatus, GuestPing};
use qmp_types::qmp::commands::{HumanMonitorCommand, QueryStatus, RingbufRead};
use qmp_types::{Command, qga, qmp};

#[test]
fn types_and_names_agree() {
    const { assert!(QueryStatus::READ_ONLY && GuestPing::READ_ONLY) };
    const { assert!(!HumanMonitorCommand::READ_ONLY && !RingbufRead::READ_ONLY) };
    const { assert!(!GuestExecStatus::READ_ONLY) };
    assert!(qmp::is_read_only("query-status") && qmp::is_read_only("qom-get"));
    assert!(qga::is_read_only("guest-ping") && qga::is_read_only("guest-get-fsinfo"));
    let creating = ["device-list-properties", "qom-list-properties"];
    let acting = ["stop", "human-monitor-command", "qmp_capabilities", "query-weather", ""];
    for name in creating.into_iter().chain(acting) {
        assert!(!qmp::is_read_only(name), "{name}");
    }
    for name in ["guest-exec", "guest-exec-status", "guest-file-read", "query-status"] {
        assert!(!qga::is_read_only(name), "{name}");
    }
}

/// The lookup by name is a binary search.
#[test]
fn tables_are_sorted() {
    assert!(qmp::READ_ONLY.is_sorted() && qga::READ_ONLY.is_sorted());
}
