//! Plugs every shipped device with every QEMU that has it, and reads its properties back.
//!
//! The tests run with every program that `QMP_TEST_QEMUS` lists, or with the QEMU that `live.rs` uses.
//! A device is plugged cold or hot, with what it needs; a device that needs hardware is listed with the
//! reason.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

#[path = "typed_devices/rows.rs"]
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qmp_client::Options;
use qmp_client::blocking::Client;
use qmp_client::devices::{Device, DeviceDriver, VirtioBlkPci};
use qmp_client::qmp::commands::{DeviceAdd, QomGet, QomListTypes};
use qmp_vm::{Launch, Launched};
use rows::{NOT_HERE, On, Row, SHORT, rows};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// The backends, which every machine has.
const BACKENDS: &[&str] = &[
    "-object",
    "memory-backend-ram,id=mem0,size=64M",
    "-object",
    "memory-backend-ram,id=mem1,size=64M",
    "-object",
    "memory-backend-ram,id=mem2,size=64M",
    "-object",
    "memory-backend-ram,id=mem3,size=64M,share=on",
    "-object",
    "memory-backend-ram,id=mem4,size=64M,share=on",
    "-object",
    "rng-builtin,id=rng0",
    "-object",
    "rng-builtin,id=rng1",
    "-object",
    "cryptodev-backend-builtin,id=crypto0",
    "-object",
    "iothread,id=io0",
    "-chardev",
    "null,id=char0",
    "-chardev",
    "null,id=char1",
    "-chardev",
    "null,id=char2",
    "-chardev",
    "null,id=char3",
    "-chardev",
    "null,id=char4",
    "-chardev",
    "null,id=char5",
    "-chardev",
    "null,id=char6",
    "-audiodev",
    "none,id=snd0",
    "-fsdev",
    "local,id=fs0,path=/tmp,security_model=none",
];
/// The numbers of block nodes `nodeN` and network backends `netN`.
const NODES: usize = 24;
const NETS: usize = 12;

/// Returns the QEMUs to test with; none if QEMU is not installed.
fn programs() -> Vec<String> {
    let named = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let names = named("QMP_TEST_QEMUS").or_else(|| named("QMP_TEST_QEMU"));
    let names = names.unwrap_or_else(|| "qemu-system-x86_64".to_owned());
    names.split([':', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn machine(program: &str, on: On) -> Launch {
    let (machine, cpu) = match on {
        On::Q35 | On::Hot | On::Alone => ("q35,accel=tcg,nvdimm=on", "qemu64"),
        On::MaxCpu => ("q35,accel=tcg", "max"),
        On::Pc | On::PcAlone => ("pc,accel=tcg", "qemu64"),
        On::Microvm => ("microvm,accel=tcg", "qemu64"),
    };
    let mut launch = Launch::new(program)
        .machine(machine)
        .args([
            "-display",
            "none",
            "-nodefaults",
            "-S",
            "-cpu",
            cpu,
            "-smp",
            "1,sockets=4,maxcpus=4",
        ])
        .args(BACKENDS)
        .options(Options::new().greeting_within(PATIENCE).calls_within(PATIENCE));
    if on != On::Microvm {
        launch = launch.args(["-m", "64,slots=4,maxmem=4G"]);
    }
    for number in 0..NODES {
        launch = launch.args([
            "-blockdev".to_owned(),
            format!("null-co,read-zeroes=on,size=268435456,node-name=node{number}"),
        ]);
    }
    for number in 0..NETS {
        launch =
            launch.args(["-netdev".to_owned(), format!("hubport,id=net{number},hubid={number}")]);
    }
    launch
}

fn is_hot(row: &Row) -> bool {
    matches!(row.on, On::Hot | On::MaxCpu)
}

/// Starts a machine with these devices, in which each that is hot is plugged afterwards.
fn plug(program: &str, on: On, rows: &[Row]) -> Launched<Client> {
    let cold = rows.iter().filter(|row| !is_hot(row));
    let launch = cold.fold(machine(program, on), |launch, row| launch.device(&row.device));
    let line = launch.shell_line();
    let vm = launch
        .start::<Client>()
        .unwrap_or_else(|error| panic!("{program}: {}\n{line}", error.report()));
    for row in rows.iter().filter(|row| is_hot(row)) {
        let plugged = vm.client().execute(row.device.clone());
        plugged.unwrap_or_else(|error| panic!("{program}: {:?}: {}", row.device, error.report()));
    }
    vm
}

/// Compares what was given with what QEMU has.
fn read_back(program: &str, vm: &Client, row: &Row) -> usize {
    let id = row.device.id.as_deref().unwrap();
    let mut read = 0;
    for name in row.set {
        let given = row.device.properties.get(*name);
        let given = given.unwrap_or_else(|| panic!("{}: {name} is not given", row.device.driver));
        let path = format!("/machine/peripheral/{id}");
        let has = vm.execute(QomGet::new(path, *name));
        let has = has.unwrap_or_else(|error| panic!("{program}: {id}: {}", error.report()));
        assert!(is_same(given, &has), "{program}: {id}.{name} is {has}, was given {given}");
        read += 1;
    }
    read
}

/// Returns whether QEMU has what was given. A link is the path of an object; a slot gets a function,
/// and a UUID hyphens, from QEMU.
fn is_same(given: &Value, has: &Value) -> bool {
    match (given, has) {
        (Value::String(given), Value::String(has)) => {
            given.eq_ignore_ascii_case(has) || has.ends_with(&format!("/{given}"))
        }
        _ => given == has,
    }
}

fn drivers(program: &str) -> BTreeSet<String> {
    let vm = Launch::new(program)
        .machine("none")
        .args(["-display", "none", "-nodefaults"])
        .options(Options::new().greeting_within(PATIENCE).calls_within(PATIENCE))
        .start::<Client>()
        .unwrap();
    let types = vm.client().execute(QomListTypes::new().implements("device")).unwrap();
    types.into_iter().map(|ty| ty.name).collect()
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn every_device_is_plugged_and_read_back() {
    for program in programs() {
        let known = drivers(&program);
        let has = |device: &DeviceAdd| known.contains(&device.driver);
        let mut machines: BTreeMap<(On, usize), Vec<Row>> = BTreeMap::new();
        for (number, row) in rows().into_iter().enumerate().filter(|(_, row)| has(&row.device)) {
            // Devices that are hot share a machine with the cold ones that they need.
            let (on, alone) = match row.on {
                On::Hot => (On::Q35, 0),
                On::Alone | On::MaxCpu | On::PcAlone => (row.on, number),
                on => (on, 0),
            };
            machines.entry((on, alone)).or_default().push(row);
        }
        let (mut plugged, mut read, mut short) = (BTreeSet::new(), 0, Vec::new());
        for ((on, _), rows) in machines {
            let vm = plug(&program, on, &rows);
            for row in &rows {
                let count = read_back(&program, vm.client(), row);
                read += count;
                if count < 2 {
                    short.push(row.device.driver.clone());
                }
                plugged.insert(row.device.driver.clone());
            }
            drop(vm);
        }
        let missing: Vec<&str> = DeviceDriver::ALL
            .iter()
            .map(DeviceDriver::as_str)
            .filter(|driver| known.contains(*driver) && !plugged.contains(*driver))
            .filter(|driver| !NOT_HERE.iter().any(|(name, _)| name == driver))
            .collect();
        assert!(missing.is_empty(), "{program}: not plugged: {missing:?}");
        short.retain(|driver| !SHORT.contains(&driver.as_str()));
        assert!(short.is_empty(), "{program}: fewer than two properties: {short:?}");
        println!(
            "{program}: {} devices plugged, {read} properties read back; {} not here",
            plugged.len(),
            NOT_HERE.len()
        );
    }
}

#[test]
fn every_device_is_plugged_or_has_a_reason() {
    let all: BTreeSet<String> =
        DeviceDriver::ALL.iter().map(|driver| driver.as_str().to_owned()).collect();
    let rows = rows();
    for row in &rows {
        println!("{:?} {} {:?}", row.on, serde_json::to_string(&row.device).unwrap(), row.set);
    }
    let listed = rows.iter().map(|row| row.device.driver.as_str());
    let listed: BTreeSet<&str> = listed.chain(NOT_HERE.iter().map(|(name, _)| *name)).collect();
    let missing: Vec<&String> = all.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The command has what the type has, whatever that is, and what is added to it.
#[test]
fn a_device_keeps_every_member() {
    for value in [
        json!({
            "driver": "virtio-blk-pci", "id": "disk0", "bus": "port0", "drive": "node0",
            "num-queues": 4, "logical_block_size": 4096, "write-cache": "on", "packed": true,
            "iothread-vq-mapping": [{"iothread": "io0", "vqs": [0, 2]}], "stats-intervals": [60],
        }),
        json!({"driver": "nvme-ns", "drive": "node0", "zoned.zasl": 3, "eui64": u64::MAX}),
        json!({"driver": "vmcoreinfo"}),
        json!({"driver": "a-device-of-tomorrow", "id": "d", "speed": [1, {"a": null}]}),
    ] {
        let device: Device = serde_json::from_value(value.clone()).unwrap();
        let command = DeviceAdd::from(device);
        // `zoned.zasl` is a property of the controller: what a type does not have is skipped.
        let mut expected = value.clone();
        if value["driver"] == "nvme-ns" {
            expected.as_object_mut().unwrap().remove("zoned.zasl");
        }
        assert_eq!(serde_json::to_value(&command).unwrap(), expected);
        let more = command.property("x-debug", true);
        assert_eq!(more.properties["x-debug"], true);
    }
    // Types that QMP has are those of QMP.
    let disk = VirtioBlkPci::new("node0").write_cache(qmp_client::qmp::types::OnOffAuto::On);
    assert_eq!(DeviceAdd::from(disk).properties["write-cache"], "on");
}
