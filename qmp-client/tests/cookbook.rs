//! The cookbook, run: every program of `examples` against every QEMU there is, and what came of it
//! looked at by other means.
//!
//! `QMP_TEST_QEMUS` names the programs, with colons or newlines between them; else it is the one
//! of `QMP_TEST_QEMU`, or `qemu-system-x86_64` on the path. Without one these tests are ignored,
//! unless `QMP_REQUIRE_QEMU` is set: then one of them fails. `QMP_TEST_DIR` is where sockets and
//! images go, for a QEMU that sees no other directory.

#![cfg(all(unix, feature = "blocking", feature = "qga", feature = "qmp", feature = "tokio"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)] // tests
#![allow(dead_code)] // the programs' `main`

/// A test that needs programs, run with each QEMU.
macro_rules! live {
    ($program:ident, $(#[doc = $doc:literal])* fn $name:ident($qemu:ident) $body:block) => {
        $(#[doc = $doc])*
        #[test]
        #[cfg_attr(
            not($program),
            ignore = "needs QEMU: install it with its utilities and its guest agent"
        )]
        fn $name() {
            for qemu in crate::vm::qemus() {
                println!("== {qemu}");
                let $qemu = qemu.as_str();
                $body
            }
        }
    };
}

macro_rules! programs {
    ($($name:ident: $path:literal),* $(,)?) => {$(
        #[path = $path]
        mod $name;
    )*};
}

programs! {
    backup: "../examples/backup.rs",
    capabilities: "../examples/capabilities.rs",
    commit: "../examples/commit.rs",
    guest_exec: "../examples/guest_exec.rs",
    handle_errors: "../examples/handle_errors.rs",
    hotplug_cpu: "../examples/hotplug_cpu.rs",
    hotplug_disk: "../examples/hotplug_disk.rs",
    hotplug_memory: "../examples/hotplug_memory.rs",
    hotplug_nic: "../examples/hotplug_nic.rs",
    live_migration: "../examples/live_migration.rs",
    mirror: "../examples/mirror.rs",
    nbd_export: "../examples/nbd_export.rs",
    overview: "../examples/overview.rs",
    overview_blocking: "../examples/overview_blocking.rs",
    raw: "../examples/raw.rs",
    resize_memory: "../examples/resize_memory.rs",
    save_to_file: "../examples/save_to_file.rs",
    screen: "../examples/screen.rs",
    shut_down: "../examples/shut_down.rs",
    stream: "../examples/stream.rs",
    transcript: "../examples/transcript.rs",
    unplug_disk: "../examples/unplug_disk.rs",
    wait_for_start: "../examples/wait_for_start.rs",
    watch_shutdown: "../examples/watch_shutdown.rs",
    vm: "cookbook/vm.rs",
    agent: "cookbook/agent.rs",
    disks: "cookbook/disks.rs",
    machine: "cookbook/machine.rs",
    migration: "cookbook/migration.rs",
    plugging: "cookbook/plugging.rs",
}

#[test]
fn what_is_needed_is_there_if_it_is_required() {
    let required = std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0");
    let there = cfg!(all(qemu, qemu_ga, qemu_img));
    assert!(!required || there, "QMP_REQUIRE_QEMU is set: QEMU, qemu-img, qemu-ga are wanted");
}

/// A program that is not run here is none that can be copied.
#[test]
fn every_program_is_run() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let this = include_str!("cookbook.rs");
    for entry in std::fs::read_dir(examples).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || this.contains(&format!("../examples/{name}")), "{name}");
    }
}
