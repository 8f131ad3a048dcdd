//! Adding and removing devices, and the PCI bus.

use qmp_types::qmp::commands::{DeviceAdd, DeviceDel, QueryPci};
use qmp_types::qmp::events::DeviceDeleted;
use qmp_types::{Empty, QmpError};
use serde_json::{Map, Value, json};

use super::machine::{Device, Machine};
use super::replies::{not_found, typed};
use crate::context::Context;
use crate::router::Router;

/// A device model, with its properties on the PCI bus.
struct Model {
    driver: &'static str,
    class: u16,
    desc: Option<&'static str>,
    vendor: u16,
    device: u16,
}

const VIRTIO: u16 = 0x1AF4;
const INTEL: u16 = 0x8086;

const MODELS: [Model; 9] = [
    Model::new("e1000", 0x200, Some("Ethernet controller"), INTEL, 0x100E),
    Model::new("i6300esb", 0x880, None, INTEL, 0x25AB),
    Model::new("nvme", 0x108, None, 0x1B36, 0x0010),
    Model::new("qemu-xhci", 0xC03, Some("USB controller"), 0x1B36, 0x000D),
    Model::new("virtio-balloon-pci", 0xFF, None, VIRTIO, 0x1002),
    Model::new("virtio-blk-pci", 0x100, Some("SCSI controller"), VIRTIO, 0x1001),
    Model::new("virtio-net-pci", 0x200, Some("Ethernet controller"), VIRTIO, 0x1000),
    Model::new("virtio-rng-pci", 0xFF, None, VIRTIO, 0x1005),
    Model::new("virtio-scsi-pci", 0x100, Some("SCSI controller"), VIRTIO, 0x1004),
];

impl Model {
    const fn new(
        driver: &'static str,
        class: u16,
        desc: Option<&'static str>,
        vendor: u16,
        device: u16,
    ) -> Self {
        Self { driver, class, desc, vendor, device }
    }
}

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .open_command(|machine: &mut Machine, command: DeviceAdd, _: &mut Context| {
            machine.add_device(&command)
        })
        .command(|machine: &mut Machine, command: DeviceDel, context: &mut Context| {
            machine.delete_device(&command.id, context)
        })
        .command(|machine: &mut Machine, _: QueryPci, _: &mut Context| typed(machine.pci()))
        .event::<DeviceDeleted>()
}

impl Machine {
    fn add_device(&mut self, command: &DeviceAdd) -> Result<Empty, QmpError> {
        let driver = command.driver.as_str();
        if !MODELS.iter().any(|model| model.driver == driver) {
            let desc = format!("'{driver}' is not a valid device model name");
            return Err(QmpError::generic(desc));
        }
        if let Some(bus) = command.bus.as_deref().filter(|bus| *bus != "pci.0") {
            return Err(QmpError::generic(format!("Bus '{bus}' not found")));
        }
        if let Some(id) = command.id.as_deref().filter(|id| self.device(id).is_some()) {
            return Err(QmpError::generic(format!("Duplicate device ID '{id}'")));
        }
        let properties = &command.properties;
        self.check_back_ends(driver, properties)?;
        let taken = |slot: &u8| self.devices.iter().any(|device| device.slot == Some(*slot));
        let Some(slot) = (3..32).find(|slot| !taken(slot)) else {
            let desc =
                format!("PCI: no slot/function available for {driver}, all in use or reserved");
            return Err(QmpError::generic(desc));
        };
        let path = match &command.id {
            Some(id) => format!("/machine/peripheral/{id}"),
            None => format!("/machine/peripheral-anon/device[{slot}]"),
        };
        self.devices.push(Device {
            id: command.id.clone(),
            driver: driver.to_owned(),
            path,
            properties: properties.clone(),
            hotpluggable: true,
            slot: Some(slot),
            tray_open: false,
            unplug_pending: false,
            link_up: true,
        });
        Ok(Empty {})
    }

    /// Checks that the block node of a disk and the network back end of a NIC exist.
    fn check_back_ends(
        &self,
        driver: &str,
        properties: &Map<String, Value>,
    ) -> Result<(), QmpError> {
        let given = |property: &str| properties.get(property).and_then(Value::as_str);
        let model = driver.trim_end_matches("-pci");
        let refuse = |property: &str, value: &str| {
            let desc = format!("Property '{model}-device.{property}' can't find value '{value}'");
            Err(QmpError::generic(desc))
        };
        match (driver, given("drive"), given("netdev")) {
            ("virtio-blk-pci", None, _) => Err(QmpError::generic("drive property not set")),
            (_, Some(drive), _) if self.node(drive).is_none() => refuse("drive", drive),
            (_, Some(drive), _)
                if self.devices.iter().any(|d| d.string("drive") == Some(drive)) =>
            {
                let desc = format!("Drive '{drive}' is already in use by another block device");
                Err(QmpError::generic(desc))
            }
            (_, _, Some(netdev)) if !self.netdevs.iter().any(|known| known.id == netdev) => {
                refuse("netdev", netdev)
            }
            _ => Ok(()),
        }
    }

    fn delete_device(&mut self, name: &str, context: &mut Context) -> Result<Empty, QmpError> {
        let releases = self.releases_devices && self.is_running();
        let device = self.device(name).ok_or_else(|| not_found(name))?;
        if !device.hotpluggable {
            let desc = format!("Device '{}' does not support hotplugging", device.driver);
            return Err(QmpError::generic(desc));
        }
        if device.unplug_pending {
            let desc = format!("Device {} is already in the process of unplug", device.name());
            return Err(QmpError::generic(desc));
        }
        device.unplug_pending = true;
        if releases {
            // The guest takes its time, so the events are sent after the reply.
            context.after_reply(|context| self.finish_unplugs(context));
        }
        Ok(Empty {})
    }

    /// Removes the devices for which an unplug is pending, because the guest has released them or
    /// because of a reset.
    pub(super) fn finish_unplugs(&mut self, context: &mut Context) {
        let (unplugged, devices): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.devices).into_iter().partition(|device| device.unplug_pending);
        self.devices = devices;
        for device in unplugged {
            if let Some(back_end) = device.back_end() {
                context.emit(&DeviceDeleted::new(back_end));
            }
            let event = DeviceDeleted::new(device.path.as_str());
            context.emit(&match &device.id {
                Some(id) => event.device(id),
                None => event,
            });
        }
    }

    fn pci(&self) -> Value {
        let fixed = [
            pci_device("", 0, 0x600, Some("Host bridge"), (INTEL, 0x1237)),
            pci_device("", 1, 0x601, Some("ISA bridge"), (INTEL, 0x7000)),
        ];
        let devices = self.devices.iter().filter_map(|device| {
            let model = MODELS.iter().find(|model| model.driver == device.driver)?;
            let id = (model.vendor, model.device);
            Some(pci_device(device.name(), device.slot?, model.class, model.desc, id))
        });
        json!([{"bus": 0, "devices": fixed.into_iter().chain(devices).collect::<Value>()}])
    }
}

fn pci_device(
    name: &str,
    slot: u8,
    class: u16,
    desc: Option<&str>,
    (vendor, device): (u16, u16),
) -> Value {
    let mut class_info = json!({"class": class});
    if let Some(desc) = desc {
        class_info["desc"] = desc.into();
    }
    json!({
        "bus": 0,
        "slot": slot,
        "function": 0,
        "class_info": class_info,
        "id": {"vendor": vendor, "device": device},
        "irq_pin": 0,
        "qdev_id": name,
        "regions": [],
    })
}
