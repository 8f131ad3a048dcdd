//! A program that starts "QEMU" by its name, with the simulated machine in QEMU's place and, where
//! it is installed, with QEMU.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[path = "../examples/container.rs"]
mod container;
mod support;

use std::path::Path;
use std::process::Command;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{QueryName, QueryStatus};
use qmp_vm::Launch;
use support::{Directory, QMP, Ran};

/// The name by which programs start QEMU.
const NAME: &str = "qemu-system-x86_64";

/// Returns a directory in which the name of QEMU leads to our program.
fn stand_in() -> Directory {
    let directory = Directory::new();
    std::os::unix::fs::symlink(QMP, directory.path(NAME)).unwrap();
    directory
}

/// Returns the command that starts QEMU by its name, which leads to our program.
fn command(directory: &Directory) -> Command {
    let mut command = Command::new(NAME);
    let path = directory.path("");
    command.env("PATH", Path::new(&path));
    command
}

fn refused(mut qemu: Command, arguments: &[&str]) -> String {
    let ran: Ran = qemu.args(arguments).output().unwrap().into();
    ran.failed(1)
}

#[test]
fn a_container_runtime_is_tested_without_qemu() {
    let directory = stand_in();
    let run = Directory::for_sockets();
    let seen = container::run(command(&directory), Path::new(&run.path(""))).unwrap();
    assert_eq!(
        seen,
        [
            "pid file: true",
            "name: Some(\"sandbox-1\")",
            "status: prelaunch",
            "twice: device_add failed: Duplicate device ID 'disk'",
            "status: running",
            "block: Some(\"/machine/peripheral/disk/virtio-backend\") Some(\"rootfs\")",
            "shutdown: host-qmp-quit",
            "left: false false",
        ]
    );
}

#[test]
#[cfg_attr(not(qemu), ignore = "QEMU is not installed")]
fn qemu_behaves_alike() {
    let name = std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| NAME.to_owned());
    let (directory, runs) = (stand_in(), [Directory::for_sockets(), Directory::for_sockets()]);
    let simulated = container::run(command(&directory), Path::new(&runs[0].path(""))).unwrap();
    let real = container::run(Command::new(name), Path::new(&runs[1].path(""))).unwrap();
    assert_eq!(simulated, real);
}

/// Our own launcher passes one end of a socket pair as a descriptor.
#[test]
fn launch_starts_the_stand_in() {
    let directory = stand_in();
    let launch = || {
        let path = directory.path("");
        Launch::new(NAME).configure(move |command| {
            command.env("PATH", path);
        })
    };
    let vm = launch()
        .args(["-M", "q35", "-display", "none", "-S", "-name", "launched"])
        .start::<Client>()
        .unwrap();
    assert_eq!(vm.execute(QueryName::new()).unwrap().name.as_deref(), Some("launched"));
    assert_eq!(vm.execute(QueryStatus::new()).unwrap().status.as_str(), "prelaunch");
    assert!(vm.quit().unwrap().success());
    let error = launch().args(["-device", "nope"]).start::<Client>();
    let error = format!("{:?}", error.unwrap_err());
    assert!(error.contains("-device nope: 'nope' is not a valid device model name"), "{error}");
}

/// Arguments that QEMU refuses, with its messages, which it prints after the arguments.
const REFUSED: &[(&[&str], &str)] = &[
    (&["-device", "nope"], "'nope' is not a valid device model name"),
    (&["-nope"], "invalid option"),
    (&["-device"], "requires an argument"),
    (&["-blockdev", "null-co,node-name=a,nope=1"], "Parameter 'nope' is unexpected"),
    (&["-blockdev", "null-co,node-name=a,size=x"], "Parameter 'size' expects integer"),
    (&["-blockdev", "null-co,node-name=9a"], "Invalid node-name: '9a'"),
    (&["-netdev", "user"], "Parameter 'id' is missing"),
    (&["-netdev", "user,id=a,nope=1"], "Invalid parameter 'nope'"),
    (&["-netdev", "user,id=a,restrict=maybe"], "Parameter 'restrict' expects 'on' or 'off'"),
    (&["-netdev", "nope,id=a"], "Parameter 'type' does not accept value 'nope'"),
    (&["-object", "nope,id=a"], "Parameter 'qom-type' does not accept value 'nope'"),
    (&["-object", "iothread"], "Parameter 'id' is missing"),
    (&["-chardev", "nope,id=a"], "'nope' is not a valid char driver name"),
    (&["-chardev", "null,id=a,nope=1"], "Invalid parameter 'nope'"),
    (&["-device", "virtio-rng-pci,vectors=abc"], "Parameter 'vectors' expects integer"),
    (&["-device", "virtio-rng-pci,nope=1"], "Property 'virtio-rng-pci.nope' not found"),
    (&["-device", "virtio-blk-pci"], "drive property not set"),
    (&["-device", "virtio-net-pci,csum=maybe"], "Parameter 'csum' expects 'on' or 'off'"),
    (&["-uuid", "nope"], "failed to parse UUID string: wrong format"),
    (&["-accel", "nope"], "invalid accelerator nope"),
    (&["-name", "a,nope=1"], "Invalid parameter 'nope'"),
    (&["-add-fd", "fd=99,set=1"], "fd is not valid or already in use"),
];

/// Arguments that QEMU refuses without repeating them.
const REFUSED_AS_A_WHOLE: &[(&[&str], &str)] = &[
    (&["-cpu", "nope"], "unable to find CPU model 'nope'"),
    (&["-nographic", "-daemonize"], "-nographic cannot be used with -daemonize"),
    (&["-smp", "nope=1"], "Parameter 'smp.nope' is unexpected"),
    (&["-object", "monitor-qmp,id=q,chardev=nope"], "chardev \"nope\" not found"),
];

/// Checks that a program refuses what QEMU refuses, in its words.
fn refuses_in_qemus_words(qemu: impl Fn() -> Command) {
    for (arguments, message) in REFUSED {
        let expected = format!("{NAME}: {}: {message}\n", arguments.join(" "));
        assert_eq!(refused(qemu(), arguments), expected);
    }
    for (arguments, message) in REFUSED_AS_A_WHOLE {
        assert_eq!(refused(qemu(), arguments), format!("{NAME}: {message}\n"));
    }
    let hint = "Use -machine help to list supported machines";
    let expected = format!("{NAME}: unsupported machine type: \"nope\"\n{hint}\n");
    assert_eq!(refused(qemu(), &["-M", "nope"]), expected);
    // A daemon that cannot start says so before its first process exits.
    let refusal = refused(qemu(), &["-daemonize", "-display", "none", "-device", "nope"]);
    assert_eq!(refusal, format!("{NAME}: -device nope: 'nope' is not a valid device model name\n"));
}

#[test]
fn what_qemu_refuses_is_refused_in_its_words() {
    let directory = stand_in();
    refuses_in_qemus_words(|| command(&directory));
}

#[test]
#[cfg_attr(not(qemu), ignore = "QEMU is not installed")]
fn the_words_are_qemus() {
    let name = std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| NAME.to_owned());
    let version = Command::new(&name).arg("-version").output().unwrap().stdout;
    // Other releases have other words.
    if String::from_utf8_lossy(&version).starts_with("QEMU emulator version 11.1") {
        refuses_in_qemus_words(|| Command::new(&name));
    }
}
