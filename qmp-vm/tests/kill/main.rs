//! Kills each program of the cookbook at each point of its run, and compares what it leaves with what
//! its page says.
//!
//! A program can be killed between any two steps, and what it sees of the world are messages. So the
//! program runs in a process of its own, and reaches QEMU and the guest agent through a relay, which
//! counts the messages in both directions. At the chosen message, before or after it is passed on, the
//! program is killed (`SIGKILL`). Then this test compares the state of everything with the state
//! before: each difference must be on the page of the program, in the section "If this program is
//! killed", and what the page names must remove it. QEMU has a second monitor for that.
//!
//! | file | what it is |
//! | --- | --- |
//! | `relay` | counts messages, and passes them on with their descriptors, up to a point |
//! | `state` | the state of a QEMU, of an agent and of a directory, and the differences |
//! | `left` | the things that may be left: their words on a page, and their removal |
//! | `bench` | the surroundings of a program |
//! | `programs` | the programs |
//! | `run` | one run: start, kill, compare, remove |
//! | `pages` | the pages of the programs, and the table of all |
//!
//! Some programs are killed at all points, and the others at a few. `QMP_TEST_KILL=all` kills all
//! programs at all points with each QEMU that `QMP_TEST_QEMUS` lists, and prints a table. With
//! `QMP_TEST_KILL=NAME`, it does so with one program. `QMP_TEST_SEED` chooses other points.

#![cfg(all(
    target_os = "linux",
    feature = "blocking",
    feature = "devices",
    feature = "qga",
    feature = "tokio"
))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)] // tests
#![allow(dead_code)] // the programs' `main`, and what other tests use

macro_rules! programs {
    ($($name:ident: $path:literal),* $(,)?) => {$(
        #[path = $path]
        mod $name;
    )*};
}

programs! {
    backup: "../../examples/backup.rs",
    capabilities: "../../examples/capabilities.rs",
    commit: "../../examples/commit.rs",
    guest_exec: "../../examples/guest_exec.rs",
    guest_files: "../../examples/guest_files.rs",
    handle_errors: "../../examples/handle_errors.rs",
    hotplug_cpu: "../../examples/hotplug_cpu.rs",
    hotplug_disk: "../../examples/hotplug_disk.rs",
    hotplug_memory: "../../examples/hotplug_memory.rs",
    hotplug_nic: "../../examples/hotplug_nic.rs",
    launch: "../../examples/launch.rs",
    live_migration: "../../examples/live_migration.rs",
    mirror: "../../examples/mirror.rs",
    mirror_machine: "../../examples/mirror_machine.rs",
    nbd_export: "../../examples/nbd_export.rs",
    overview: "../../examples/overview.rs",
    overview_blocking: "../../examples/overview_blocking.rs",
    own_workflow: "../../examples/own_workflow.rs",
    raw: "../../examples/raw.rs",
    reboot: "../../examples/reboot.rs",
    resize_memory: "../../examples/resize_memory.rs",
    save_to_file: "../../examples/save_to_file.rs",
    screen: "../../examples/screen.rs",
    shut_down: "../../examples/shut_down.rs",
    stream: "../../examples/stream.rs",
    supervised: "../../examples/supervised.rs",
    suspend: "../../examples/suspend.rs",
    transcript: "../../examples/transcript.rs",
    typed_device: "../../examples/typed_device.rs",
    unplug_disk: "../../examples/unplug_disk.rs",
    wait_for_start: "../../examples/wait_for_start.rs",
    watch_shutdown: "../../examples/watch_shutdown.rs",
    vm: "../cookbook/vm.rs",
}

mod bench;
mod left;
mod pages;
mod programs;
mod relay;
mod report;
mod run;
mod state;

use programs::PROGRAMS;
use report::{Random, Report};

/// Plays the program, in the process that is killed.
#[test]
fn program() {
    let Ok(name) = std::env::var(run::PROGRAM) else { return };
    let arguments = std::env::var(run::ARGUMENTS).unwrap();
    let arguments: Vec<String> = arguments.lines().map(String::from).collect();
    let result = programs::main(&name, &arguments);
    if let Err(error) = &result {
        println!("{error:?}");
    }
    std::process::exit(i32::from(result.is_err()));
}

/// The programs that are killed at all points in any case.
const ALWAYS: [&str; 2] = ["hotplug_disk", "nbd_export"];

#[test]
#[cfg_attr(
    not(all(qemu, qemu_ga, qemu_img)),
    ignore = "needs QEMU: install it with its utilities and its guest agent"
)]
fn nothing_is_left_that_the_page_does_not_name() {
    let chosen = std::env::var("QMP_TEST_KILL").unwrap_or_default();
    let qemus = vm::qemus();
    let (mut report, mut random) = (Report::default(), Random::new());
    for (number, program) in PROGRAMS.iter().enumerate() {
        if !chosen.is_empty() {
            if chosen == "all" || program.example() == chosen {
                qemus.iter().for_each(|qemu| report.every_point(program, qemu));
            }
            continue;
        }
        let qemu = &qemus[number % qemus.len()];
        if ALWAYS.contains(&program.name) {
            report.every_point(program, qemu);
        } else {
            report.some_points(program, qemu, &mut random);
        }
    }
    report.finish(chosen == "all");
}
