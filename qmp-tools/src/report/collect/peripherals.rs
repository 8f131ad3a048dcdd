//! Character devices, displays, pointing devices and PCI functions.

use qmp_client::Error;
use qmp_client::qmp::commands::{
    QueryChardev, QueryMice, QueryPci, QuerySpice, QueryVnc, QueryVncServers,
};
use qmp_client::qmp::types::{
    ChardevInfo, MouseInfo, PciDeviceInfo, PciInfo, SpiceInfo, VncInfo, VncInfo2,
};

use super::super::model::{Chardev, Display, Mouse, PciFunction};
use super::display;
use super::query::{Queries, Query};

/// The queries for this part.
pub(super) struct Asked {
    chardevs: Query<Vec<ChardevInfo>>,
    servers: Query<Vec<VncInfo2>>,
    vnc: Query<VncInfo>,
    spice: Query<SpiceInfo>,
    mice: Query<Vec<MouseInfo>>,
    pci: Query<Vec<PciInfo>>,
}

/// This part of the report.
pub(super) struct Peripherals {
    pub(super) chardevs: Vec<Chardev>,
    pub(super) displays: Vec<Display>,
    pub(super) mice: Vec<Mouse>,
    pub(super) pci: Vec<PciFunction>,
}

pub(super) fn ask(q: &Queries<'_>) -> Result<Asked, Error> {
    Ok(Asked {
        chardevs: q.ask(QueryChardev::new())?,
        servers: q.ask(QueryVncServers::new())?,
        vnc: q.attempt(QueryVnc::new(), "")?,
        spice: q.ask(QuerySpice::new())?,
        mice: q.ask(QueryMice::new())?,
        pci: q.ask(QueryPci::new())?,
    })
}

impl Asked {
    pub(super) fn answer(self, q: &mut Queries<'_>) -> Result<Peripherals, Error> {
        let chardevs = q.answer(self.chardevs)?.unwrap_or_default();
        let servers = q.answer(self.servers)?.map(display::vnc_servers);
        let vnc = q.answer(self.vnc)?.and_then(display::vnc);
        let spice = q.answer(self.spice)?.and_then(display::spice);
        let mice = q.answer(self.mice)?.unwrap_or_default();
        let pci = q.answer(self.pci)?.unwrap_or_default();
        let chardev =
            |c: ChardevInfo| Chardev { label: c.label, backend: c.filename, open: c.frontend_open };
        let mouse = |m: MouseInfo| Mouse { name: m.name, current: m.current, absolute: m.absolute };
        let mut displays = servers.unwrap_or_else(|| vnc.into_iter().collect());
        displays.extend(spice);
        Ok(Peripherals {
            chardevs: chardevs.into_iter().map(chardev).collect(),
            displays,
            mice: mice.into_iter().map(mouse).collect(),
            pci: pci_functions(&pci),
        })
    }
}

fn pci_functions(buses: &[PciInfo]) -> Vec<PciFunction> {
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
