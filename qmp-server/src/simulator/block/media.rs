//! Drives with removable media.

use qmp_types::QmpError;
use qmp_types::qmp::events::DeviceTrayMoved;
use serde_json::{Value, json};

use crate::context::Context;
use crate::simulator::machine::Machine;
use crate::simulator::qom::Named;
use crate::simulator::replies::{Arguments, Reply, done, not_found, refuse};

/// The drive that a command names.
pub(super) struct Slot {
    /// The name as the command has it.
    pub(super) given: String,
    /// The path of the device, which a drive may lack.
    device: Option<String>,
    is_removable: bool,
    is_cd: bool,
    /// Whether the tray is open, if there is a tray.
    tray_open: Option<bool>,
    pub(super) medium: Option<String>,
}

impl Machine {
    /// Finds the drive that a command names, by the name of the back end or by the device's `id`.
    pub(super) fn slot(&self, arguments: &Arguments) -> Result<Slot, QmpError> {
        let (given, device) = match (arguments.text("device"), arguments.text("id")) {
            (Some(name), None) => {
                let mut back_ends = self.block_back_ends().filter(|_| !name.is_empty());
                let Some(back_end) = back_ends.find(|back_end| back_end.name == name) else {
                    return Err(not_found(name));
                };
                let Some(device) = back_end.device else {
                    return Ok(Slot {
                        given: name.to_owned(),
                        device: None,
                        is_removable: back_end.is_removable(),
                        is_cd: false,
                        tray_open: None,
                        medium: back_end.medium.map(|node| node.name.clone()),
                    });
                };
                (name, device)
            }
            (None, Some(id)) => {
                let device = match self.named_device(id)? {
                    // The drive is the device on the virtio bus.
                    Named::Device(device) if device.back_end().is_none() => Some(device),
                    Named::BackEnd(device) => Some(device),
                    Named::Device(_) | Named::BootCpu => None,
                };
                match device.filter(|device| device.is_drive()) {
                    Some(device) => (id, device),
                    None => return refuse("Device does not have a block device backend"),
                }
            }
            _ => return refuse("Need exactly one of 'device' and 'id'"),
        };
        Ok(Slot {
            given: given.to_owned(),
            device: Some(device.path.clone()),
            is_removable: device.is_removable(),
            is_cd: device.is_cd(),
            tray_open: device.has_tray().then_some(device.tray_open),
            medium: device.string("drive").map(str::to_owned),
        })
    }

    /// Finds a drive whose medium can be changed.
    fn removable(&self, arguments: &Arguments) -> Result<Slot, QmpError> {
        let slot = self.slot(arguments)?;
        match slot.is_removable {
            true => Ok(slot),
            false => refuse(format!("Device '{}' is not removable", slot.given)),
        }
    }

    pub(super) fn eject(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let slot = self.removable(arguments)?;
        self.move_tray(&slot, true, context);
        self.check_medium_not_busy(&slot)?;
        self.take_medium(&slot);
        done()
    }

    /// Checks that no job uses the medium. QEMU has opened the tray before it notices.
    fn check_medium_not_busy(&self, slot: &Slot) -> Result<(), QmpError> {
        slot.medium.as_ref().map_or(Ok(()), |node| self.check_not_busy(node))
    }

    /// Ejects the medium of a drive for HMP, which knows it by its name alone.
    pub(in crate::simulator) fn eject_by_name(
        &mut self,
        name: &str,
        context: &mut Context,
    ) -> Reply {
        self.eject(&Arguments::of(&json!({"device": name})), context)
    }

    pub(super) fn open_tray(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let slot = self.removable(arguments)?;
        self.move_tray(&slot, true, context);
        done()
    }

    pub(super) fn close_tray(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let slot = self.removable(arguments)?;
        self.move_tray(&slot, false, context);
        done()
    }

    pub(super) fn remove_medium(&mut self, arguments: &Arguments) -> Reply {
        let slot = self.removable(arguments)?;
        if slot.tray_open == Some(false) {
            return refuse(format!("Tray of device '{}' is not open", slot.given));
        }
        self.check_medium_not_busy(&slot)?;
        self.take_medium(&slot);
        done()
    }

    pub(super) fn insert_medium(&mut self, arguments: &Arguments) -> Reply {
        let name = arguments.required("node-name").to_owned();
        let slot = self.removable(arguments)?;
        if self.node(&name).is_none() {
            return refuse(format!("Node '{name}' not found"));
        }
        if self.is_attached(&name) {
            return refuse(format!("Node '{name}' is already in use"));
        }
        if slot.tray_open == Some(false) {
            return refuse("Tray of the device is not open");
        }
        if slot.medium.is_some() {
            return refuse(format!("There already is a medium in device '{}'", slot.given));
        }
        self.put_medium(&slot, &name);
        done()
    }

    pub(super) fn change_medium(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let slot = self.removable(arguments)?;
        let path = arguments.required("filename");
        let format = match arguments.text("format") {
            Some(format) if crate::simulator::block::is_known_driver(format) => format.to_owned(),
            Some(format) => return refuse(format!("Unknown driver '{format}'")),
            None => self.probe(path),
        };
        let read_only = match arguments.text("read-only-mode") {
            Some("read-only") => true,
            Some("read-write") => false,
            _ => match slot.medium.as_deref().and_then(|node| self.node(node)) {
                Some(old) => old.read_only,
                None => slot.is_cd,
            },
        };
        let file = json!({"driver": "file", "filename": path, "read-only": read_only});
        let options = json!({"driver": format, "file": file, "read-only": read_only});
        let options = options.as_object().cloned().unwrap_or_default();
        let node = self.add_node(&options, false)?;
        self.move_tray(&slot, true, context);
        if let Err(error) = self.check_medium_not_busy(&slot) {
            self.release(&node);
            return Err(error);
        }
        self.take_medium(&slot);
        self.put_medium(&slot, &node);
        self.move_tray(&slot, false, context);
        done()
    }

    fn put_medium(&mut self, slot: &Slot, node: &str) {
        if let Some(device) = slot.device.as_deref().and_then(|path| self.device_at(path)) {
            device.properties.insert("drive".to_owned(), Value::from(node));
        } else if let Some(drive) = self.drive(&slot.given) {
            drive.medium = Some(node.to_owned());
        }
    }

    fn take_medium(&mut self, slot: &Slot) {
        if let Some(device) = slot.device.as_deref().and_then(|path| self.device_at(path)) {
            device.properties.remove("drive");
        } else if let Some(drive) = self.drive(&slot.given) {
            drive.medium = None;
        }
        if let Some(node) = &slot.medium {
            self.release(node);
        }
    }

    fn move_tray(&mut self, slot: &Slot, open: bool, context: &mut Context) {
        let device = slot.device.as_deref().and_then(|path| self.device_at(path));
        if let Some(device) = device.filter(|device| device.has_tray() && device.tray_open != open)
        {
            device.tray_open = open;
            let name = device.drive.clone().unwrap_or_default();
            context.emit(&DeviceTrayMoved::new(name, device.qdev(), open));
        }
    }
}
