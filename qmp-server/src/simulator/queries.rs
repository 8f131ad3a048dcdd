//! Queries whose replies do not depend on the state of devices or of the guest.

// QEMU 11.1 still supports deprecated commands.
#![allow(deprecated)]

use qmp_types::qmp::commands::{
    QueryChardev, QueryCpusFast, QueryCurrentMachine, QueryFdsets, QueryHotpluggableCpus, QueryKvm,
    QueryMachines, QueryMemorySizeSummary, QueryMice, QueryMigrate, QueryName, QueryTarget,
    QueryUuid, QueryVersion, QueryVnc,
};
use qmp_types::qmp::types::{
    ChardevInfo, CurrentMachineParams, KvmInfo, MemoryInfo, MigrationInfo, MouseInfo, NameInfo,
    UuidInfo, VncInfo,
};
use serde_json::{Value, json};

use super::identity::{CPU_TYPE, MACHINE_TYPE, cpu_path, version};
use super::machine::Machine;
use super::replies::typed;
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    let router = router
        .command(|_: &mut Machine, _: QueryVersion, _: &mut Context| {
            let version = version();
            typed(json!({"qemu": version.qemu, "package": version.package}))
        })
        .command(|machine: &mut Machine, _: QueryName, _: &mut Context| {
            let name = machine.name.iter();
            Ok(name.fold(NameInfo::new(), |info, name| info.name(name)))
        })
        .command(|machine: &mut Machine, _: QueryUuid, _: &mut Context| {
            Ok(UuidInfo::new(machine.uuid.as_str()))
        })
        .command(|_: &mut Machine, _: QueryTarget, _: &mut Context| {
            typed(json!({"arch": "x86_64"}))
        })
        .command(|_: &mut Machine, _: QueryKvm, _: &mut Context| Ok(KvmInfo::new(false, true)))
        .command(|_: &mut Machine, _: QueryCurrentMachine, _: &mut Context| {
            Ok(CurrentMachineParams::new(true))
        })
        .command(|_: &mut Machine, _: QueryMachines, _: &mut Context| typed(machine_types()))
        .command(|_: &mut Machine, _: QueryMigrate, _: &mut Context| Ok(MigrationInfo::new()));
    add_hardware(router)
}

fn add_hardware(router: Router<Machine>) -> Router<Machine> {
    router
        .command(|machine: &mut Machine, _: QueryCpusFast, _: &mut Context| {
            typed((0..machine.cpus).map(cpu).collect())
        })
        .command(|machine: &mut Machine, _: QueryHotpluggableCpus, _: &mut Context| {
            typed((0..machine.cpus).rev().map(cpu_slot).collect())
        })
        .command(|machine: &mut Machine, _: QueryMemorySizeSummary, _: &mut Context| {
            Ok(MemoryInfo::new(machine.memory).plugged_memory(0))
        })
        .command(|_: &mut Machine, _: QueryChardev, _: &mut Context| {
            Ok(vec![
                ChardevInfo::new("serial0", "null", false),
                ChardevInfo::new("compat_monitor0", "simulated", true),
            ])
        })
        .command(|_: &mut Machine, _: QueryMice, _: &mut Context| {
            Ok(vec![MouseInfo::new("QEMU PS/2 Mouse", 2, true, false)])
        })
        .command(|_: &mut Machine, _: QueryVnc, _: &mut Context| Ok(VncInfo::new(false)))
        .command(|_: &mut Machine, _: QueryFdsets, _: &mut Context| Ok(Vec::new()))
}

fn cpu(index: u32) -> Value {
    json!({
        "cpu-index": index,
        "qom-type": CPU_TYPE,
        "qom-path": cpu_path(index),
        "thread-id": 1000 + index,
        "props": {"socket-id": 0, "core-id": index, "thread-id": 0},
        "target": "x86_64",
    })
}

fn cpu_slot(index: u32) -> Value {
    json!({
        "type": CPU_TYPE,
        "vcpus-count": 1,
        "props": {"socket-id": 0, "core-id": index, "thread-id": 0},
        "qom-path": cpu_path(index),
    })
}

fn machine_types() -> Value {
    json!([
        {
            "name": MACHINE_TYPE.trim_end_matches("-machine"),
            "alias": "pc",
            "is-default": true,
            "cpu-max": 255,
            "hotpluggable-cpus": true,
            "numa-mem-supported": false,
            "deprecated": false,
            "default-cpu-type": CPU_TYPE,
            "default-ram-id": "pc.ram",
            "acpi": true,
        },
        {
            "name": "none",
            "cpu-max": 1,
            "hotpluggable-cpus": false,
            "numa-mem-supported": false,
            "deprecated": false,
            "default-ram-id": "ram",
            "acpi": false,
        },
    ])
}
