//! What the machine is: its state, accelerator, CPUs, PCI functions and migration.

use qmp_client::qmp::types::{
    CpuInfoFast, CpuInstanceProperties, HotpluggableCPU, MigrationInfo, PciDeviceInfo, PciInfo,
};
use serde_json::Value;

use super::super::model::{Cpu, Migration, PciFunction};

pub(super) fn is_zero(uuid: &str) -> bool {
    uuid.bytes().all(|b| matches!(b, b'0' | b'-'))
}

/// Returns the run state. QEMU 0.12 tells only whether the machine runs.
pub(super) fn state(status: &Value) -> Option<String> {
    let state = status.get("status").and_then(Value::as_str).map(str::to_owned);
    state.or_else(|| {
        let running = status.get("running")?.as_bool()?;
        Some(String::from(if running { "running" } else { "paused" }))
    })
}

pub(super) fn cpu(info: &CpuInfoFast) -> Cpu {
    Cpu {
        index: info.cpu_index,
        thread: info.thread_id,
        place: info.props.as_ref().map(place).filter(|place| !place.is_empty()),
    }
}

fn place(props: &CpuInstanceProperties) -> String {
    let parts = [
        ("node", props.node_id),
        ("drawer", props.drawer_id),
        ("book", props.book_id),
        ("socket", props.socket_id),
        ("die", props.die_id),
        ("cluster", props.cluster_id),
        ("module", props.module_id),
        ("core", props.core_id),
        ("thread", props.thread_id),
    ];
    let parts = parts.iter().filter_map(|(name, id)| id.map(|id| format!("{name} {id}")));
    parts.collect::<Vec<_>>().join(", ")
}

/// Counts the CPUs that can still be plugged in.
pub(super) fn pluggable(slots: &[HotpluggableCPU]) -> i64 {
    let empty = slots.iter().filter(|slot| slot.qom_path.is_none());
    empty.fold(0, |sum, slot| sum.saturating_add(slot.vcpus_count))
}

pub(super) fn pci_functions(buses: &[PciInfo]) -> Vec<PciFunction> {
    let mut functions = Vec::new();
    let mut todo: Vec<(usize, &PciDeviceInfo)> =
        buses.iter().rev().flat_map(|bus| bus.devices.iter().rev().map(|d| (0, d))).collect();
    while let Some((depth, device)) = todo.pop() {
        let class = device.class_info.desc.clone();
        functions.push(PciFunction {
            address: format!("{:02x}:{:02x}.{:x}", device.bus, device.slot, device.function),
            id: format!("{:04x}:{:04x}", device.id.vendor, device.id.device),
            class: class.unwrap_or_else(|| format!("class {:#06x}", device.class_info.class)),
            device: Some(device.qdev_id.clone()).filter(|id| !id.is_empty()),
            depth,
        });
        let bridged = device.pci_bridge.iter().filter_map(|bridge| bridge.devices.as_ref());
        todo.extend(bridged.flat_map(|devices| devices.iter().rev().map(|d| (depth + 1, d))));
    }
    functions
}

/// Returns the migration, unless there has been none.
pub(super) fn migration(info: MigrationInfo) -> Option<Migration> {
    let blocked_by = info.blocked_reasons.unwrap_or_default();
    let status = info.status.map(|status| status.to_string());
    let status = match status.filter(|status| status != "none") {
        Some(status) => status,
        None if blocked_by.is_empty() => return None,
        None => String::from("none"),
    };
    Some(Migration {
        status,
        transferred: info.ram.as_ref().map(|ram| ram.transferred),
        remaining: info.ram.as_ref().map(|ram| ram.remaining),
        total: info.ram.as_ref().map(|ram| ram.total),
        error: info.error_desc,
        blocked_by,
    })
}
