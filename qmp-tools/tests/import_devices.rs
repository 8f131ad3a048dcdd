//! Imports the devices of running QEMUs, and of one that exits.
//!
//! `QMP_TEST_QEMUS` lists the QEMUs; the default is `QMP_TEST_QEMU`, or `qemu-system-x86_64`.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::os::unix::net::UnixListener;

use qmp_server::Simulator;
use support::{Directory, SCHEMA, run};

fn programs() -> Vec<String> {
    let named =
        ["QMP_TEST_QEMUS", "QMP_TEST_QEMU"].into_iter().find_map(|name| std::env::var(name).ok());
    let named = named.unwrap_or_else(|| "qemu-system-x86_64".to_owned());
    named.split([':', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Everything that a QEMU lists becomes a schema; the differences between two name devices and
/// properties.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: install qemu-system-x86")]
fn all_devices_of_a_qemu() {
    let directory = Directory::new();
    let mut files = Vec::new();
    for (number, program) in programs().into_iter().enumerate() {
        let file = directory.path(&format!("{number}.json"));
        let ran = run(SCHEMA, &["import", "--devices", &program, "-o", &file]);
        println!("{}", ran.err);
        ran.ok();
        assert_eq!(run(SCHEMA, &["check", &file]).ok(), "");
        let text = std::fs::read_to_string(&file).unwrap();
        for driver in ["virtio-blk-pci", "486-x86_64-cpu", "cfi.pflash01"] {
            assert!(text.contains(&format!("'{driver}': ")), "{program}: {driver}");
        }
        files.push(file);
    }
    for pair in files.windows(2) {
        let difference = run(SCHEMA, &["diff", &pair[0], &pair[1]]).ok();
        assert!(difference.contains("argument (driver=virtio-blk-pci)."), "{difference}");
    }
}

/// Rust can be made of it, by both ways.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: install qemu-system-x86")]
fn some_devices_of_a_qemu() {
    let directory = Directory::new();
    for program in programs() {
        let only = ["import", "--devices", &program, "--only", "virtio-*-pci,nvme,qemu64-*"];
        let schema = run(SCHEMA, &only).ok();
        assert!(!schema.contains("'e1000'"), "{schema}");
        let file = directory.write("some.json", &schema);
        let rust = run(SCHEMA, &["generate", &file]).ok();
        let direct = run(SCHEMA, &[&only[..], &["--rust"]].concat()).ok();
        assert_eq!(rust, direct);
        assert!(rust.contains("pub struct VirtioBlkPci"));
        let error = run(SCHEMA, &["import", "--devices", &program, "--only", "e1001"]).failed(1);
        assert!(error.contains("no device has the name 'e1001'"), "{error}");
    }
}

/// 7.2 exits when it is asked about a device whose module is missing. A running machine is not asked
/// about devices that were not named, and a program that exits again and again is given up.
#[test]
fn a_machine_is_not_put_at_risk() {
    let directory = Directory::new();
    let path = directory.path("vm.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let simulator = Simulator::new();
    let server = simulator.server().clone();
    std::thread::spawn(move || server.serve_unix(&listener));
    let error = run(SCHEMA, &["import", "--devices", &path]).failed(1);
    assert!(error.contains("the machine is running"), "{error}");
    let named = run(SCHEMA, &["import", "--devices", &path, "--only", "e1000"]).ok();
    assert!(named.contains("{ 'struct': 'E1000Device'"), "{named}");
    let broken = run(SCHEMA, &["import", "--devices", "/bin/false"]).failed(1);
    assert!(broken.contains("ended before its monitor was open"), "{broken}");
}
