//! Drives: block back ends with names, which `-drive` makes.
//!
//! ```text
//! option ─> Drive (its name, its medium) ─> a device of the machine, for an interface such as `ide`
//!                                        └> the device that names it, for `if=none`
//! ```
//!
//! A drive without a device keeps its medium itself. A device that it is attached to has the medium
//! in its `drive` property, as the devices of nodes have.

use qmp_types::QmpError;
use serde_json::json;

use super::node::Node;
use crate::simulator::machine::{Device, Machine};
use crate::simulator::options::DriveOptions;
use crate::simulator::replies::{Arguments, refuse};

/// A block back end with a name.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Drive {
    pub(in crate::simulator) name: String,
    interface: String,
    bus: u32,
    unit: u32,
    /// The path of the device that it is attached to.
    pub(in crate::simulator) user: Option<String>,
    /// The node that is its medium while no device of the machine uses it.
    pub(in crate::simulator) medium: Option<String>,
}

/// A block back end as queries report it: a drive, or the anonymous one of a device.
#[derive(Debug)]
pub(in crate::simulator) struct BackEnd<'m> {
    /// The name, or the empty string.
    pub(in crate::simulator) name: &'m str,
    pub(in crate::simulator) device: Option<&'m Device>,
    /// The path of a user that the machine does not list as a device.
    board: Option<&'m str>,
    pub(in crate::simulator) medium: Option<&'m Node>,
}

impl BackEnd<'_> {
    /// Returns the name or path of the device.
    pub(in crate::simulator) fn qdev(&self) -> Option<String> {
        self.device.map(Device::qdev).or(self.board.map(str::to_owned))
    }

    pub(in crate::simulator) fn is_removable(&self) -> bool {
        self.device.map_or(self.board.is_none(), Device::is_removable)
    }
}

impl Machine {
    /// Returns the back ends in their order: drives first, then those of devices.
    pub(in crate::simulator) fn block_back_ends(&self) -> impl Iterator<Item = BackEnd<'_>> {
        let named = self.drives.iter().map(|drive| {
            let device =
                self.devices.iter().find(|device| device.drive.as_ref() == Some(&drive.name));
            let medium = match device {
                Some(device) => self.medium(device),
                None => drive.medium.as_deref().and_then(|name| self.node(name)),
            };
            let board = drive.user.as_deref().filter(|_| device.is_none());
            BackEnd { name: drive.name.as_str(), device, board, medium }
        });
        let devices = self.devices.iter().filter(|device| device.is_drive());
        let anonymous = devices.filter(|device| device.drive.is_none()).map(|device| BackEnd {
            name: "",
            device: Some(device),
            board: None,
            medium: self.medium(device),
        });
        named.chain(anonymous)
    }

    /// Returns the node that is a drive's medium.
    pub(in crate::simulator) fn medium_of(&self, drive: &str) -> Option<&Node> {
        self.block_back_ends().find(|back_end| back_end.name == drive && !drive.is_empty())?.medium
    }

    pub(in crate::simulator) fn drive(&mut self, name: &str) -> Option<&mut Drive> {
        self.drives.iter_mut().find(|drive| drive.name == name)
    }

    /// Adds what `-drive` describes.
    pub(in crate::simulator) fn add_drive(
        &mut self,
        options: DriveOptions,
    ) -> Result<(), QmpError> {
        let standard = if self.is_none_machine() { "none" } else { "ide" };
        let interface = options.interface.clone().unwrap_or_else(|| standard.to_owned());
        let (bus, unit) = self.place_drive(&interface, &options)?;
        let kind = if options.is_cd { "cd" } else { "hd" };
        let is_named = options.id.is_some();
        let name = options.id.unwrap_or_else(|| match self.units(&interface) {
            Some(_) => format!("{interface}{bus}-{kind}{unit}"),
            None => format!("{interface}{unit}"),
        });
        if self.drives.iter().any(|drive| drive.name == name) {
            return refuse(match is_named {
                true => format!("Duplicate ID '{name}' for drive"),
                false => format!("Device with id '{name}' already exists"),
            });
        }
        let medium = options.node.map(|node| self.add_node(&node, false)).transpose()?;
        if self.node(&name).is_some() {
            return refuse(format!("Device name '{name}' conflicts with an existing node name"));
        }
        let is_supported = match interface.as_str() {
            "ide" => bus < self.ide_buses(),
            "floppy" | "pflash" => !self.is_none_machine() && bus == 0 && unit < 2,
            "mtd" | "scsi" | "sd" => false,
            _ => true,
        };
        if !is_supported {
            let place = format!("if={interface},bus={bus},unit={unit}");
            return refuse(format!("machine type does not support {place}"));
        }
        let user = (interface == "pflash").then(|| format!("/machine/system.flash{unit}"));
        self.drives.push(Drive { name: name.clone(), interface, bus, unit, user, medium });
        self.add_device_of_drive(&name, options.is_cd)
    }

    /// Returns the number of units on a bus of an interface, if it is limited.
    fn units(&self, interface: &str) -> Option<u32> {
        match interface {
            "ide" if self.is_q35() => Some(1),
            "ide" => Some(2),
            "scsi" => Some(7),
            _ => None,
        }
    }

    fn ide_buses(&self) -> u32 {
        match (self.is_none_machine(), self.is_q35()) {
            (true, _) => 0,
            (false, true) => 6,
            (false, false) => 2,
        }
    }

    /// Returns the bus and the unit of a drive: those it asks for, or the first ones that are free.
    fn place_drive(&self, interface: &str, options: &DriveOptions) -> Result<(u32, u32), QmpError> {
        let units = self.units(interface);
        let is_used = |bus: u32, unit: u32| {
            let mut drives = self.drives.iter();
            drives.any(|other| {
                (other.interface.as_str(), other.bus, other.unit) == (interface, bus, unit)
            })
        };
        let (mut bus, unit) = match (options.index, units) {
            (Some(index), Some(units)) => (index / units, Some(index % units)),
            (Some(index), None) => (0, Some(index)),
            (None, _) => (options.bus.unwrap_or_default(), options.unit),
        };
        let Some(unit) = unit else {
            let mut unit = 0;
            while is_used(bus, unit) {
                unit += 1;
                if units == Some(unit) {
                    (bus, unit) = (bus + 1, 0);
                }
            }
            return Ok((bus, unit));
        };
        if let Some(units) = units.filter(|units| unit >= *units) {
            return refuse(format!("unit {unit} too big (max is {})", units - 1));
        }
        if is_used(bus, unit) {
            let index = options.index.map_or(-1, i64::from);
            return refuse(format!("drive with bus={bus}, unit={unit} (index={index}) exists"));
        }
        Ok((bus, unit))
    }

    /// Adds the device that the interface of a drive stands for.
    fn add_device_of_drive(&mut self, name: &str, is_cd: bool) -> Result<(), QmpError> {
        let Some(drive) = self.drive(name) else { return Ok(()) };
        let bus = format!("ide.{}", drive.bus);
        let (arguments, is_on_board) = match (drive.interface.as_str(), is_cd) {
            ("ide", true) => (json!({"driver": "ide-cd", "drive": name, "bus": bus}), true),
            ("ide", false) => (json!({"driver": "ide-hd", "drive": name, "bus": bus}), true),
            ("floppy", _) => (json!({"driver": "floppy", "drive": name}), true),
            ("virtio", _) => (json!({"driver": "virtio-blk-pci", "drive": name}), false),
            ("xen", _) => return refuse("No 'xen-bus' bus found for device 'xen-disk'"),
            _ => return Ok(()),
        };
        self.add_cold_device(&Arguments::of(&arguments))?;
        if is_on_board {
            self.next_anonymous -= 1;
            self.move_device(name, &format!("/machine/unattached/{name}"));
        }
        Ok(())
    }

    fn move_device(&mut self, drive: &str, path: &str) {
        let mut devices = self.devices.iter_mut();
        if let Some(device) = devices.find(|device| device.drive.as_deref() == Some(drive)) {
            path.clone_into(&mut device.path);
        }
        if let Some(drive) = self.drive(drive) {
            drive.user = Some(path.to_owned());
        }
    }

    /// Gives the devices of drives on the board their numbers, which follow those of the CPUs and of
    /// what belongs to the chipset.
    pub(in crate::simulator) fn number_board_drives(&mut self) {
        let first = 3 + self.cpus.boot + if self.is_q35() { 9 } else { 0 };
        let on_board = |interface: &str| {
            let drives = self.drives.iter().filter(|drive| drive.interface == interface);
            let mut drives: Vec<(u32, u32, String)> =
                drives.map(|drive| (drive.bus, drive.unit, drive.name.clone())).collect();
            drives.sort();
            drives
        };
        let (ide, floppy) = (on_board("ide"), on_board("floppy"));
        // Between them are the controllers of the board.
        let numbers = (first..).take(ide.len()).chain(first + ide.len() as u32 + 6..);
        for ((_, _, name), number) in ide.into_iter().chain(floppy).zip(numbers) {
            self.move_device(&name, &format!("/machine/unattached/device[{number}]"));
        }
    }

    /// Attaches the drive that a device names, unless it names a node.
    pub(in crate::simulator) fn attach_drive(&self, device: &mut Device) -> Result<(), QmpError> {
        let name = device.string("drive").unwrap_or_default();
        let Some(drive) = self.drives.iter().find(|drive| drive.name == name) else {
            return Ok(());
        };
        if drive.user.is_some() {
            return refuse(match drive.interface.as_str() {
                "none" => format!("Drive '{name}' is already in use by another device"),
                _ => format!(
                    "Drive '{name}' is already in use because it has been automatically connected \
                     to another device (did you need 'if=none' in the drive options?)"
                ),
            });
        }
        device.drive = Some(drive.name.clone());
        match &drive.medium {
            Some(node) => drop(device.properties.insert("drive".to_owned(), node.as_str().into())),
            None => drop(device.properties.remove("drive")),
        }
        Ok(())
    }

    /// Notes that a device has the drive's medium from now on.
    pub(in crate::simulator) fn note_attached(&mut self, device: &Device) {
        let Some(name) = &device.drive else { return };
        if let Some(drive) = self.drive(name) {
            drive.user = Some(device.path.clone());
            drive.medium = None;
        }
    }

    /// Removes what a device that was unplugged has used: its drive, and a node that nothing else
    /// uses.
    pub(in crate::simulator) fn release_drive(&mut self, device: &Device) {
        self.drives.retain(|drive| Some(&drive.name) != device.drive.as_ref());
        if let Some(node) = device.string("drive") {
            self.release(node);
        }
    }
}
