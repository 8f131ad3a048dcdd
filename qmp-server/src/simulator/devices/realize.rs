//! The needs of devices besides valid properties: drives, back ends, slots, memory.

use std::collections::HashSet;

use qmp_types::QmpError;
use serde_json::Value;

use super::buses::{ports, provides};
use super::values::{parse_mac, parse_slot};
use crate::simulator::facts::{self, Driver, Property};
use crate::simulator::machine::{Device, Machine};
use crate::simulator::replies::{not_found, refuse};

/// The MAC address that stands for none.
const NO_MAC: &str = "00:00:00:00:00:00";

impl Machine {
    /// Checks that what a property refers to exists and is not in use.
    pub(super) fn check_reference(
        &self,
        property: &Property,
        owner: &str,
        value: &Value,
    ) -> Result<(), QmpError> {
        let text = value.as_str().unwrap_or_default();
        let name = property.name;
        let missing = || refuse(format!("Property '{owner}.{name}' can't find value '{text}'"));
        match property.kind {
            "drive" => match text.is_empty() || self.is_drive_or_node(text) {
                true => Ok(()),
                false => missing(),
            },
            "netdev" => match self.netdevs.iter().any(|netdev| netdev.id == text) {
                false => missing(),
                true if self.devices.iter().any(|nic| nic.string("netdev") == Some(text)) => {
                    refuse(format!(
                        "Property '{owner}.{name}' can't take value '{text}', it's in use"
                    ))
                }
                true => Ok(()),
            },
            "chardev" => match self.chardevs.iter().find(|chardev| chardev.id == text) {
                None => missing(),
                Some(_) if self.chardev_user(text).is_some() => refuse(format!(
                    "Property '{owner}.{name}' can't take value '{text}': chardev '{text}' is \
                     already in use"
                )),
                Some(_) => Ok(()),
            },
            kind => match kind.strip_prefix("link<").and_then(|kind| kind.strip_suffix('>')) {
                Some(kind) => self.check_link(name, kind, text),
                None => Ok(()),
            },
        }
    }

    fn is_drive_or_node(&self, name: &str) -> bool {
        self.node(name).is_some() || self.drives.iter().any(|drive| drive.name == name)
    }

    fn check_link(&self, name: &str, kind: &str, text: &str) -> Result<(), QmpError> {
        let id = text.strip_prefix("/objects/").unwrap_or(text);
        let found = self.objects.iter().find(|object| object.id == id);
        let found = found.map(|object| object.kind.as_str());
        let device = self.devices.iter().find(|device| device.id.as_deref() == Some(id));
        let main = (id == "pc.ram").then_some("memory-backend-ram");
        match found.or(device.map(|device| device.driver.as_str())).or(main) {
            None => Err(not_found(text)),
            Some(found) if facts::is_a(found, kind) => Ok(()),
            Some(_) => refuse(format!("Invalid parameter type for '{name}', expected: {kind}")),
        }
    }

    pub(super) fn realize(&mut self, device: &mut Device) -> Result<(), QmpError> {
        let driver = device.model;
        if driver.name == "qemu64-x86_64-cpu" {
            return self.realize_cpu(device);
        }
        if driver.bus == Some("PCI") {
            self.place(device)?;
        }
        if driver.has("drive") {
            self.realize_drive(device)?;
        }
        match driver.name {
            "pc-dimm" | "nvdimm" | "virtio-mem-pci" | "virtio-pmem-pci" => {
                self.realize_memory(device)?;
            }
            "ivshmem-plain" if device.string("memdev").is_none() => {
                return refuse("You must specify a 'memdev'");
            }
            _ => {}
        }
        match driver.bus {
            Some("usb-bus") => self.realize_usb(device)?,
            Some("virtio-serial-bus") => self.realize_port(device)?,
            Some("SCSI") => self.realize_scsi(device)?,
            _ => {}
        }
        self.realize_model(driver, device)?;
        if device.is_nic() {
            let given = device.string("mac").and_then(parse_mac);
            let mac = given.filter(|mac| mac != NO_MAC).unwrap_or_else(|| self.free_mac());
            device.properties.insert("mac".to_owned(), mac.into());
        }
        Ok(())
    }

    /// Returns the first MAC address that no NIC has, of those that QEMU gives.
    fn free_mac(&self) -> String {
        let used: Vec<_> = self.devices.iter().filter_map(|nic| nic.string("mac")).collect();
        let mut all = (0x56..=0xfe).map(|last| format!("52:54:00:12:34:{last:02x}"));
        // All others have the same one.
        all.find(|mac| !used.contains(&&**mac)).unwrap_or_else(|| "52:54:00:12:34:ff".to_owned())
    }

    fn realize_drive(&self, device: &Device) -> Result<(), QmpError> {
        let driver = device.model.name;
        let can_be_empty = matches!(driver, "ide-cd" | "scsi-cd" | "floppy" | "nvme");
        let Some(drive) = device.string("drive").filter(|drive| !drive.is_empty()) else {
            return match can_be_empty {
                true => Ok(()),
                false if device.drive.is_some() => refuse("Device needs media, but drive is empty"),
                false => refuse("drive property not set"),
            };
        };
        let Some(node) = self.node(drive) else { return Ok(()) };
        let reads_only = device.is_removable() || device.is_cd();
        if node.read_only {
            return match driver {
                "ide-hd" => refuse("Block node is read-only"),
                _ => Ok(()),
            };
        }
        if reads_only {
            return Ok(());
        }
        self.check_writers(device, drive)
    }

    /// Checks that no other writer uses a drive, unless all of them share it.
    fn check_writers(&self, device: &Device, drive: &str) -> Result<(), QmpError> {
        let shares =
            |device: &Device| device.properties.get("share-rw") == Some(&Value::Bool(true));
        let others = self
            .devices
            .iter()
            .filter(|other| other.string("drive") == Some(drive) && !other.is_removable());
        for other in others {
            let (requires, unshares) = match (shares(other), shares(device)) {
                (true, true) => continue,
                (_, false) => (other.qdev(), device.qdev()),
                (false, true) => (device.qdev(), other.qdev()),
            };
            return refuse(format!(
                "Permission conflict on node '{drive}': permissions 'write' are both required by \
                 block device '{requires}' (uses node '{drive}' as 'root' child) and unshared by \
                 block device '{unshares}' (uses node '{drive}' as 'root' child)."
            ));
        }
        Ok(())
    }

    fn realize_usb(&self, device: &mut Device) -> Result<(), QmpError> {
        let bus = device.bus.clone().unwrap_or_default();
        let controller = self.devices.iter().find(|controller| {
            provides(&controller.driver) == Some("usb-bus")
                && self.bus_name(controller, "usb-bus") == bus
        });
        let count = controller.map_or(2, |controller| ports(&controller.driver));
        // A port of a controller has a second one of the same number for fast devices.
        let is_fast =
            |device: &Device| matches!(device.model.name, "usb-storage" | "usb-uas" | "usb-bot");
        let fast = is_fast(device);
        let taken = |port: &str| {
            let mut others = self.on_bus(&bus).filter(|other| is_fast(other) == fast);
            others.any(|other| other.string("port") == Some(port))
        };
        if let Some(port) = device.string("port") {
            let exists = port.parse::<u8>().is_ok_and(|port| (1..=count).contains(&port));
            return match exists && !taken(port) {
                true => Ok(()),
                false => refuse(format!("usb port {port} (bus {bus}) not found (in use?)")),
            };
        }
        // QEMU adds a hub when the ports run out.
        let of_hub = (1..=u8::MAX).map(|port| format!("{count}.{port}"));
        let mut all = (1..count).map(|port| port.to_string()).chain(of_hub);
        let free = all.find(|port| !taken(port)).unwrap_or_default();
        device.properties.insert("port".to_owned(), free.into());
        Ok(())
    }

    fn realize_port(&self, device: &mut Device) -> Result<(), QmpError> {
        let bus = device.bus.clone().unwrap_or_default();
        let number = |device: &Device| device.properties.get("nr").and_then(Value::as_u64);
        let taken = |port: u64| self.on_bus(&bus).any(|other| number(other) == Some(port));
        if let Some(port) = number(device) {
            if taken(port) {
                return refuse(format!("virtio-serial-bus: A port already exists at id {port}"));
            }
            if port > 30 {
                return refuse(
                    "virtio-serial-bus: Out-of-range port id specified, max. allowed: 30",
                );
            }
            return Ok(());
        }
        // The first port is left to a console.
        let first = if device.driver == "virtconsole" { 0 } else { 1 };
        let Some(port) = (first..31).find(|port| !taken(*port)) else {
            return refuse("virtio-serial-bus: Maximum port limit for this device reached");
        };
        device.properties.insert("nr".to_owned(), port.into());
        Ok(())
    }

    fn realize_scsi(&self, device: &mut Device) -> Result<(), QmpError> {
        let bus = device.bus.clone().unwrap_or_default();
        let number = |device: &Device, name: &str| {
            device.properties.get(name).and_then(Value::as_u64).filter(|n| *n < 1 << 31)
        };
        let place =
            |device: &Device| (number(device, "scsi-id").unwrap_or(0), number(device, "lun"));
        // A bus has room for many devices.
        let taken: HashSet<_> = self.on_bus(&bus).map(place).collect();
        match (number(device, "scsi-id"), number(device, "lun")) {
            (Some(id), _) if id > 255 => {
                return refuse(format!("bad scsi device id: {id}"));
            }
            (_, Some(lun)) if lun > 16383 => return refuse(format!("bad scsi device lun: {lun}")),
            (id, Some(lun)) if id.is_some() && taken.contains(&(id.unwrap_or(0), Some(lun))) => {
                return refuse("lun already used by another device");
            }
            _ => {}
        }
        let lun = number(device, "lun");
        let lun = lun.or_else(|| {
            let id = number(device, "scsi-id").unwrap_or(0);
            (0..16384).find(|lun| !taken.contains(&(id, Some(*lun))))
        });
        device.properties.insert("lun".to_owned(), lun.unwrap_or_default().into());
        let id = number(device, "scsi-id").unwrap_or(0);
        device.properties.insert("scsi-id".to_owned(), id.into());
        Ok(())
    }

    /// Checks what only some models need.
    fn realize_model(&self, driver: &Driver, device: &Device) -> Result<(), QmpError> {
        let number = |name: &str| device.properties.get(name).and_then(Value::as_i64);
        let needs = |name: &str, desc: &str| match device.properties.contains_key(name) {
            true => Ok(()),
            false => refuse(desc),
        };
        match driver.name {
            name if name.starts_with("vfio-") => match device.string("host") {
                None => refuse("No provided host device"),
                Some(host) => refuse(format!(
                    "vfio 0000:{host}: no iommu_group found: No such file or directory"
                )),
            },
            "nvme" => needs("serial", "serial property not set"),
            "pci-bridge" => needs(
                "chassis_nr",
                "Bridge chassis not specified. Each bridge is required to be assigned a unique chassis id > 0.",
            ),
            "vhost-vsock-pci" => match number("guest-cid") {
                Some(cid) if cid > 2 => Ok(()),
                _ => refuse("guest-cid property must be greater than 2"),
            },
            name if name.starts_with("vhost-user-") => needs("chardev", "missing chardev"),
            "virtio-crypto-pci" => {
                needs("cryptodev", "'cryptodev' parameter expects a valid object")
            }
            "virtio-input-host-pci" => needs("evdev", "evdev property is required"),
            "virtio-sound-pci" | "usb-audio" | "AC97" | "ES1370" => {
                needs("audiodev", "no default audio driver available")
            }
            "usb-mtp" => {
                needs("rootdir", "usb-mtp: rootdir must be configured and be an absolute path")
            }
            "virtio-net-pci" => {
                for (name, most) in [("rx_queue_size", 1024), ("tx_queue_size", 256)] {
                    let size = number(name).unwrap_or(256);
                    if !(256..=most).contains(&size) || size.count_ones() != 1 {
                        // QEMU ends only one of the two messages with a period.
                        let end = if name == "rx_queue_size" { "." } else { "" };
                        return refuse(format!(
                            "Invalid {name} (= {size}), must be a power of 2 between 256 and \
                             {most}{end}"
                        ));
                    }
                }
                if number("speed").is_some_and(|speed| speed < -1) {
                    return refuse("'speed' must be between 0 and INT_MAX");
                }
                match device.string("duplex") {
                    None | Some("half" | "full") => Ok(()),
                    Some(_) => refuse("'duplex' must be 'half' or 'full'"),
                }
            }
            "virtio-rng-pci" => match device.properties.get("max-bytes") {
                Some(bytes) if bytes.as_i64().is_none_or(|bytes| bytes <= 0) => {
                    refuse("'max-bytes' parameter must be positive, and less than 2^63")
                }
                _ => Ok(()),
            },
            "virtio-balloon-pci" if self.devices.iter().any(|other| other.is_balloon()) => {
                refuse("Only one balloon device is supported")
            }
            _ => Ok(()),
        }
    }

    /// Finds a slot for a device on a PCI bus.
    fn place(&self, device: &mut Device) -> Result<(), QmpError> {
        let bus = device.bus.clone().unwrap_or_default();
        let index = device.properties.get("acpi-index").and_then(Value::as_u64).unwrap_or(0);
        let same_index = |other: &Device| {
            other.properties.get("acpi-index").and_then(Value::as_u64) == Some(index)
        };
        if index != 0 && self.devices.iter().any(same_index) {
            return refuse(format!("a PCI device with acpi-index = {index} already exist"));
        }
        let romsize = device.properties.get("romsize").and_then(Value::as_u64);
        if romsize.is_some_and(|size| size != 0 && size != 0xFFFF_FFFF && !size.is_power_of_two()) {
            return refuse(format!("ROM size {} is not a power of two", romsize.unwrap_or(0)));
        }
        let rom = device.string("romfile").filter(|path| !path.is_empty());
        if let Some(path) = rom.filter(|path| self.files.metadata(path).is_err()) {
            return refuse(format!("failed to find romfile \"{path}\""));
        }
        if device.properties.contains_key("failover_pair_id") && !self.is_q35() {
            return refuse("failover primary device must be on PCIExpress bus");
        }
        let wanted = match device.properties.get("addr") {
            Some(Value::String(text)) => parse_slot(text),
            Some(number) => number.as_u64().and_then(|number| {
                Some((u8::try_from(number >> 3).ok()?, u8::try_from(number & 7).ok()?))
            }),
            None => None,
        };
        let at = |slot: u8, function: u8| self.at_address(&bus, (slot, function));
        if let Some((slot, function)) = wanted {
            if let Some((driver, id)) = at(slot, function) {
                let id = id.map(|id| format!(",id={id}")).unwrap_or_default();
                let name = &device.driver;
                return refuse(format!(
                    "PCI: slot {slot} function {function} not available for {name}, in use by \
                     {driver}{id}"
                ));
            }
            if let Some((driver, _)) = at(slot, 0).filter(|_| function != 0 && device.hotplugged) {
                let name = &device.driver;
                return refuse(format!(
                    "PCI: slot {slot} function 0 already occupied by {driver}, new func {name} \
                     cannot be exposed to guest."
                ));
            }
            device.address = Some((slot, function));
            return Ok(());
        }
        let is_free = |slot: &u8| (0..8).all(|function| at(*slot, function).is_none());
        let first = if bus == "pci.0" || bus == "pcie.0" { 2 } else { 1 };
        let Some(slot) = (first..32).find(is_free) else {
            let driver = &device.driver;
            return refuse(format!(
                "PCI: no slot/function available for {driver}, all in use or reserved"
            ));
        };
        device.address = Some((slot, 0));
        Ok(())
    }

    /// Returns the driver and the identifier of what is at an address.
    fn at_address(&self, bus: &str, address: (u8, u8)) -> Option<(String, Option<String>)> {
        let mut devices = self.on_bus(bus);
        if let Some(device) = devices.find(|device| device.address == Some(address)) {
            return Some((device.driver.clone(), device.id.clone()));
        }
        let fixed = self.fixed_functions().into_iter().filter(|_| bus == "pci.0");
        let mut fixed = fixed.filter(|(at, _)| *at == address);
        fixed.next().map(|(_, driver)| (driver.to_owned(), None))
    }
}
