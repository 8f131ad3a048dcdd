//! Runs every program of `examples` with every QEMU, and checks its effects by other means.
//!
//! `QMP_TEST_QEMUS` lists the QEMUs, separated by colons or newlines; the default is the program that
//! `QMP_TEST_QEMU` names, or `qemu-system-x86_64` on the path. Without a QEMU, these tests are
//! ignored, unless `QMP_REQUIRE_QEMU` is set: then one of them fails. `QMP_TEST_DIR` is the directory
//! for sockets and images, for a QEMU that sees only that one.

#![cfg(all(unix, feature = "blocking", feature = "qga", feature = "tokio"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)] // tests
#![allow(dead_code)] // the programs' `main`

/// Defines a test that needs a program, and runs with each QEMU.
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
    guest_files: "../examples/guest_files.rs",
    handle_errors: "../examples/handle_errors.rs",
    hotplug_cpu: "../examples/hotplug_cpu.rs",
    hotplug_disk: "../examples/hotplug_disk.rs",
    hotplug_memory: "../examples/hotplug_memory.rs",
    hotplug_nic: "../examples/hotplug_nic.rs",
    launch: "../examples/launch.rs",
    live_migration: "../examples/live_migration.rs",
    mirror: "../examples/mirror.rs",
    mirror_machine: "../examples/mirror_machine.rs",
    nbd_export: "../examples/nbd_export.rs",
    overview: "../examples/overview.rs",
    overview_blocking: "../examples/overview_blocking.rs",
    own_workflow: "../examples/own_workflow.rs",
    raw: "../examples/raw.rs",
    reboot: "../examples/reboot.rs",
    resize_memory: "../examples/resize_memory.rs",
    save_to_file: "../examples/save_to_file.rs",
    screen: "../examples/screen.rs",
    shut_down: "../examples/shut_down.rs",
    stream: "../examples/stream.rs",
    supervised: "../examples/supervised.rs",
    suspend: "../examples/suspend.rs",
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
fn programs_are_installed_if_they_are_required() {
    let required = std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0");
    let installed = cfg!(all(qemu, qemu_ga, qemu_img));
    assert!(
        !required || installed,
        "QMP_REQUIRE_QEMU is set, and QEMU, qemu-img or qemu-ga is not installed"
    );
}

/// Users copy these programs, so all of them are tested.
#[test]
fn every_program_is_run() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let this = include_str!("cookbook.rs");
    for entry in std::fs::read_dir(examples).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || this.contains(&format!("../examples/{name}")), "{name}");
    }
}

/// The client's names are the only other difference.
#[test]
fn overviews_differ_by_await_only() {
    let code = |text: &str| {
        let code = text.lines().filter(|line| !line.starts_with("//!")).collect::<String>();
        let code = code.replace("overview_blocking", "overview").replace(".await", "");
        let code = code.replace("#[tokio::main(flavor = \"current_thread\")]", "");
        let code = code.replace("async fn", "fn");
        let code = code.replace("use qmp_client::{Client, Result};", "");
        let code = code.replace("use qmp_client::Result;use qmp_client::blocking::Client;", "");
        code.split_whitespace().collect::<String>()
    };
    assert_eq!(
        code(include_str!("../examples/overview.rs")),
        code(include_str!("../examples/overview_blocking.rs"))
    );
}
