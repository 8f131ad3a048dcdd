//! The buses of the machine.

use qmp_types::QmpError;

use crate::simulator::facts::Driver;
use crate::simulator::machine::{Device, Machine};
use crate::simulator::replies::{not_found, refuse};

/// A bus that devices are plugged into.
#[derive(Clone, Debug)]
pub(super) struct Bus {
    pub(super) name: String,
    kind: &'static str,
    pub(super) is_hotpluggable: bool,
    /// The largest number of devices, if it is limited.
    capacity: Option<usize>,
}

impl Bus {
    fn new(name: &str, kind: &'static str, is_hotpluggable: bool) -> Self {
        Self { name: name.to_owned(), kind, is_hotpluggable, capacity: None }
    }
}

impl Machine {
    /// Finds the bus for a device: the one that a user names, or the first one that fits.
    pub(super) fn find_bus(
        &self,
        name: &str,
        driver: &Driver,
        wanted: Option<&str>,
    ) -> Result<Option<Bus>, QmpError> {
        let buses = self.buses();
        if let Some(wanted) = wanted {
            if let Some(path) = wanted.strip_prefix('/') {
                let first = path.split('/').next().unwrap_or_default();
                return Err(not_found(first));
            }
            let found = buses.into_iter().find(|bus| bus.name == wanted);
            let Some(bus) = found else { return refuse(format!("Bus '{wanted}' not found")) };
            if driver.bus != Some(bus.kind) {
                return refuse(format!("Device '{name}' can't go on {} bus", bus.kind));
            }
            return Ok(Some(bus));
        }
        let Some(kind) = driver.bus.filter(|kind| *kind != "System") else { return Ok(None) };
        if kind == "virtio-bus" && self.devices.iter().any(|device| device.back_end().is_some()) {
            return refuse("A 'virtio-bus' bus was found but is full");
        }
        let mut fitting = buses.into_iter().filter(|bus| bus.kind == kind).peekable();
        if fitting.peek().is_none() {
            return refuse(format!("No '{kind}' bus found for device '{name}'"));
        }
        let has_room = |bus: &Bus| {
            let used = self.on_bus(&bus.name).count();
            bus.capacity.is_none_or(|capacity| used < capacity)
        };
        match fitting.find(has_room) {
            Some(bus) => Ok(Some(bus)),
            None => refuse(format!("A '{kind}' bus was found but is full")),
        }
    }

    pub(super) fn on_bus<'m>(&'m self, bus: &'m str) -> impl Iterator<Item = &'m Device> {
        self.devices.iter().filter(move |device| device.bus.as_deref() == Some(bus))
    }

    /// Returns the buses of the machine and of the devices that have one.
    pub(super) fn buses(&self) -> Vec<Bus> {
        let mut buses = if self.is_none_machine() {
            Vec::new()
        } else if self.is_q35() {
            vec![Bus::new("pcie.0", "PCI", false)]
        } else {
            vec![Bus::new("pci.0", "PCI", true)]
        };
        let capacity = Some(if self.is_q35() { 1 } else { 2 });
        if !self.is_none_machine() {
            // Disks of the machine are primary, and CDs are secondary, so CDs come first here.
            buses.extend([
                Bus { capacity, ..Bus::new("ide.1", "IDE", false) },
                Bus { capacity, ..Bus::new("ide.0", "IDE", false) },
                Bus::new("isa.0", "ISA", false),
                Bus::new("i2c", "i2c-bus", true),
                Bus::new("floppy-bus.0", "floppy-bus", false),
            ]);
        }
        if self.is_q35() {
            let more = ["ide.2", "ide.3", "ide.4", "ide.5"];
            buses.extend(more.map(|name| Bus { capacity, ..Bus::new(name, "IDE", false) }));
        }
        let own = self.devices.iter().filter_map(|device| {
            let kind = provides(&device.driver)?;
            let name = self.bus_name(device, kind);
            Some(Bus::new(&name, kind, kind != "HDA"))
        });
        buses.extend(own);
        buses
    }

    /// Returns the name of a device's bus: by its `id`, or else by the bus's type and a number.
    pub(super) fn bus_name(&self, device: &Device, kind: &str) -> String {
        if let Some(id) = &device.id {
            return match kind {
                "PCI" | "nvme-bus" => id.clone(),
                _ => format!("{id}.0"),
            };
        }
        let kind_name = match kind {
            "SCSI" => "scsi",
            other => other,
        };
        let like = |other: &&Device| other.id.is_none() && provides(&other.driver) == Some(kind);
        let before = self.devices.iter().filter(like);
        let number = before.take_while(|other| other.path != device.path).count();
        format!("{kind_name}.{number}")
    }
}

/// Returns the type of bus that a device has.
pub(super) fn provides(driver: &str) -> Option<&'static str> {
    let base = driver.strip_suffix("-non-transitional").or(driver.strip_suffix("-transitional"));
    Some(match base.unwrap_or(driver) {
        "am53c974"
        | "dc390"
        | "lsi53c810"
        | "lsi53c895a"
        | "megasas"
        | "megasas-gen2"
        | "pvscsi"
        | "vhost-scsi-pci"
        | "vhost-user-scsi-pci"
        | "virtio-scsi-pci"
        | "usb-uas"
        | "usb-bot" => "SCSI",
        "nec-usb-xhci" | "pci-ohci" | "piix3-usb-uhci" | "piix4-usb-uhci" | "qemu-xhci"
        | "usb-ehci" => "usb-bus",
        name if name.starts_with("ich9-usb-") => "usb-bus",
        "virtio-serial-pci" => "virtio-serial-bus",
        "nvme" => "nvme-bus",
        "i82801b11-bridge" | "ioh3420" | "pci-bridge" | "pcie-pci-bridge" | "pcie-root-port"
        | "pxb" | "pxb-pcie" | "x3130-upstream" | "xio3130-downstream" => "PCI",
        "ich9-ahci" => "IDE",
        "ich9-intel-hda" | "intel-hda" => "HDA",
        "usb-ccid" => "ccid-bus",
        _ => return None,
    })
}

/// Returns the number of ports of a USB controller.
pub(super) fn ports(driver: &str) -> u8 {
    match driver {
        "qemu-xhci" | "nec-usb-xhci" => 4,
        "usb-ehci" | "ich9-usb-ehci1" | "ich9-usb-ehci2" => 6,
        "pci-ohci" => 3,
        _ => 2,
    }
}
