//! The programs against a real QEMU.
//!
//! `build.rs` looks for `qemu-system-x86_64` in `PATH`, or for the program that `QMP_TEST_QEMU`
//! names. If it is not found, these tests are ignored, or fail if `QMP_REQUIRE_QEMU` is set.
//! `QMP_TEST_SOCKETS` names the directory for sockets, for a sandboxed QEMU.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Directory, Process, SCHEMA, SHELL, VM_INFO, run, run_with, unused_address};

/// A machine that fills most sections of the report.
const MACHINE: [&str; 20] = [
    "-M",
    "pc",
    "-accel",
    "tcg",
    "-display",
    "none",
    "-nodefaults",
    "-S",
    "-name",
    "live",
    "-uuid",
    "12345678-1234-1234-1234-123456789abc",
    "-m",
    "96",
    "-smp",
    "1,maxcpus=4",
    "-blockdev",
    "driver=null-co,node-name=n0,size=1048576",
    "-device",
    "virtio-blk-pci,drive=n0,id=d0",
];

macro_rules! live {
    ($(#[doc = $doc:literal])* fn $name:ident() $body:block) => {
        $(#[doc = $doc])*
        #[test]
        #[cfg_attr(
            not(qemu),
            ignore = "needs QEMU: install qemu-system-x86, or name a program in QMP_TEST_QEMU"
        )]
        fn $name() $body
    };
}

fn program() -> String {
    std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned())
}

fn start(arguments: &[&str]) -> Process {
    let command = [&MACHINE, arguments].concat();
    Process(Command::new(program()).args(command).stdin(Stdio::null()).spawn().unwrap())
}

/// Checks that the reports as text and as JSON both show the facts of [`MACHINE`].
fn check_reports(arguments: &[&str]) {
    let text = run(VM_INFO, arguments).ok();
    let json = run(VM_INFO, &[&["--json"], arguments].concat()).ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    for (row, pointer, fact) in [
        ("Name         live\n", "/name", Value::from("live")),
        ("UUID         1234", "/uuid", "12345678-1234-1234-1234-123456789abc".into()),
        ("State        prelaunch\n", "/state", "prelaunch".into()),
        (", x86_64\n", "/target", "x86_64".into()),
        ("Accelerator  tcg\n", "/accelerator", "tcg".into()),
        ("CPUs         1 (3 more can be plugged in)\n", "/pluggable-cpus", 3.into()),
        ("Memory       96 MiB\n", "/memory/base", (96 << 20).into()),
        ("\nBlock devices\n", "/block/0/image/node", "n0".into()),
        ("null-co", "/block/0/image/format", "null-co".into()),
        ("1 MiB", "/block/0/image/size", (1 << 20).into()),
        ("SCSI controller", "/pci/3/device", Value::Null),
    ] {
        assert!(text.contains(row), "{row}: {text}");
        if fact != Value::Null {
            assert_eq!(json.pointer(pointer), Some(&fact), "{pointer}: {json:#}");
        }
    }
    let version = json["version"].as_str().unwrap();
    assert!(text.contains(&format!("QEMU         {version}\n")), "{text}");
    let addresses = json["pci"].as_array().unwrap().iter().map(|pci| &pci["address"]);
    for address in addresses {
        assert!(text.contains(address.as_str().unwrap()), "{address}: {text}");
    }
}

#[test]
fn qemu_is_available_if_required() {
    let required = std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0");
    assert!(!required || cfg!(qemu), "QMP_REQUIRE_QEMU is set, but {} was not found", program());
}

live! {
    fn report_over_a_unix_socket() {
        let directory = Directory::for_sockets();
        let address = format!("unix:{},server=on,wait=off", directory.path("socket"));
        let _qemu = start(&["-qmp", &address]);
        // The spelling of QEMU's command line, and the bare path.
        check_reports(&[&address]);
        check_reports(&[&directory.path("socket")]);
    }
}

live! {
    fn report_over_tcp() {
        let address = format!("tcp:{}", unused_address());
        let _qemu = start(&["-qmp", &format!("{address},server=on,wait=off")]);
        check_reports(&[&address]);
    }
}

live! {
    fn report_over_a_chardev() {
        for pretty in ["", ",pretty=on", ",pretty=off"] {
            let directory = Directory::for_sockets();
            let path = directory.path("socket");
            let chardev = format!("socket,id=m,path={path},server=on,wait=off");
            let monitor = format!("chardev=m,mode=control{pretty}");
            let _qemu = start(&["-chardev", &chardev, "-mon", &monitor]);
            check_reports(&[&path]);
        }
    }
}

live! {
    fn report_of_a_launched_machine() {
        let program = program();
        let launch = [&["--launch", &*program] as &[&str], &MACHINE].concat();
        check_reports(&launch);
        let err = run(VM_INFO, &["--launch", &program, "-M", "nonsense"]).failed(3);
        assert!(err.contains("unsupported machine type"), "{err}");
    }
}

live! {
    fn shell() {
        let directory = Directory::for_sockets();
        let path = directory.path("socket");
        let mut qemu = start(&["-qmp", &format!("unix:{path},server=on,wait=off")]);
        let out = run(SHELL, &[&path, "-c", "cont", "-c", "query-status"]).ok();
        let messages: Vec<Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [resume, Value::Object(_), status] = &messages[..] else { panic!("{out}") };
        assert_eq!((&resume["event"], &status["status"]), (&"RESUME".into(), &"running".into()));

        let script = "device_add driver=virtio-rng-pci id=rng0\n\
                      qom-get path=/machine/peripheral/rng0 property=type\n\
                      {\"execute\": \"qom-list\",\n \"arguments\": {\"path\": \"/machine\"}}\n\
                      blockdev-add driver=raw node-name=n1 file.driver=null-co file.size=512\n\
                      no-such-command\n\
                      quit\n";
        let ran = run_with(SHELL, &[&path], script);
        assert!(ran.err.contains("no-such-command"), "{ran:?}");
        assert!(ran.out.contains("\"virtio-rng-pci\"\n"), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 2, "{ran:?}");
        ran.failed(1);
        assert!(qemu.0.wait().unwrap().success());
    }
}

live! {
    /// The introspection data of a running QEMU can be imported, with the names of QEMU's types, and
    /// the result equals what the same QEMU reports.
    fn schema() {
        let directory = Directory::for_sockets();
        let path = directory.path("socket");
        let _qemu = start(&["-qmp", &format!("unix:{path},server=on,wait=off")]);
        let text = run(SCHEMA, &["import", &format!("unix:{path}")]).ok();
        assert!(text.contains("{ 'union': 'BlockdevOptions'"), "BlockdevOptions");
        let imported = directory.write("imported.json", &text);
        run(SCHEMA, &["check", &imported]).ok();
        assert_eq!(run(SCHEMA, &["diff", &imported, &path]).ok(), "No changes.\n");
        // No release lists the commands for Windows here.
        let out = run(SCHEMA, &["diff", "builtin", &format!("unix:{path}")]).ok();
        assert!(out.contains("command get-win32-socket: removed"), "{out}");
    }
}
