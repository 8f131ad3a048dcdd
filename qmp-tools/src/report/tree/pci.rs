//! PCI functions below their bridges.

use std::time::Duration;

use qmp_client::Error;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryPci;
use qmp_client::qmp::types::PciDeviceInfo;

use super::{Branch, DEEPEST};

pub(super) fn tree(vm: &Client, within: Duration) -> Result<Vec<Branch>, Error> {
    let buses = vm.call(QueryPci::new()).within(within).execute()?;
    let bus = |bus: &qmp_client::qmp::types::PciInfo| Branch {
        name: format!("bus {}", bus.bus),
        children: bus.devices.iter().map(|device| function(device, 1)).collect(),
        ..Branch::default()
    };
    Ok(buses.iter().map(bus).collect())
}

fn function(device: &PciDeviceInfo, depth: usize) -> Branch {
    let class = device.class_info.desc.clone();
    let class = class.unwrap_or_else(|| format!("class {:#06x}", device.class_info.class));
    let below = device.pci_bridge.iter().filter_map(|bridge| bridge.devices.as_ref()).flatten();
    let id = format!("{:04x}:{:04x}", device.id.vendor, device.id.device);
    let details = [id, class, device.qdev_id.clone()];
    Branch {
        name: format!("{:02x}:{:02x}.{:x}", device.bus, device.slot, device.function),
        details: details.join("  ").trim_end().to_owned(),
        children: if depth < DEEPEST {
            below.map(|device| function(device, depth + 1)).collect()
        } else {
            Vec::new()
        },
        ..Branch::default()
    }
}
