//! Drives with removable media.

use qmp_types::QmpError;
use qmp_types::qmp::events::DeviceTrayMoved;
use serde_json::{Value, json};

use crate::context::Context;
use crate::simulator::machine::{Device, Machine};
use crate::simulator::replies::{Arguments, Reply, done, not_found, refuse};

impl Machine {
    /// Finds the drive that a command names by its `id`. QEMU knows drives by the name of their
    /// back end as well, which none of them has.
    fn removable(&mut self, arguments: &Arguments) -> Result<&mut Device, QmpError> {
        let id = match (arguments.text("device"), arguments.text("id")) {
            (Some(name), None) => return Err(not_found(name)),
            (None, Some(id)) => id.to_owned(),
            _ => return refuse("Need exactly one of 'device' and 'id'"),
        };
        let device = self.device(&id).ok_or_else(|| not_found(&id))?;
        match device.is_drive() && device.back_end().is_none() {
            true => Ok(device),
            // The drive is the device on the virtio bus.
            false => refuse("Device does not have a block device backend"),
        }
    }

    pub(super) fn eject(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let device = self.removable(arguments)?;
        if !device.is_removable() {
            return refuse(format!("Device '{}' is not removable", device.name()));
        }
        move_tray(device, true, context);
        self.take_medium(arguments.required("id"));
        done()
    }

    /// Ejects the medium of a drive for HMP, which knows it by its name alone.
    pub(in crate::simulator) fn eject_by_name(&mut self, id: &str, context: &mut Context) -> Reply {
        self.eject(&Arguments::of(&json!({"id": id})), context)
    }

    pub(super) fn open_tray(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let device = self.removable(arguments)?;
        if !device.is_removable() {
            let id = device.name();
            return refuse(format!("Device '{id}' is not removable"));
        }
        move_tray(device, true, context);
        done()
    }

    pub(super) fn close_tray(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let device = self.removable(arguments)?;
        if !device.is_removable() {
            return refuse(format!("Device '{}' is not removable", device.name()));
        }
        move_tray(device, false, context);
        done()
    }

    pub(super) fn remove_medium(&mut self, arguments: &Arguments) -> Reply {
        let device = self.removable(arguments)?;
        let id = device.name().to_owned();
        if !device.is_removable() {
            return refuse(format!("Device '{id}' is not removable"));
        }
        if !device.tray_open {
            return refuse(format!("Tray of device '{id}' is not open"));
        }
        self.take_medium(&id);
        done()
    }

    pub(super) fn insert_medium(&mut self, arguments: &Arguments) -> Reply {
        let name = arguments.required("node-name").to_owned();
        let device = self.removable(arguments)?;
        let (id, is_open, is_removable) =
            (device.name().to_owned(), device.tray_open, device.is_removable());
        let is_full = device.string("drive").is_some();
        if !is_removable {
            return refuse(format!("Device '{id}' is not removable"));
        }
        if self.node(&name).is_none() {
            return refuse(format!("Node '{name}' not found"));
        }
        if self.is_attached(&name) {
            return refuse(format!("Node '{name}' is already in use"));
        }
        if !is_open {
            return refuse("Tray of the device is not open");
        }
        if is_full {
            return refuse(format!("There already is a medium in device '{id}'"));
        }
        self.put_medium(&id, &name);
        done()
    }

    pub(super) fn change_medium(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let device = self.removable(arguments)?;
        let id = device.name().to_owned();
        if !device.is_removable() {
            return refuse(format!("Device '{id}' is not removable"));
        }
        let path = arguments.required("filename");
        let format = match arguments.text("format") {
            Some(format) if crate::simulator::block::is_known_driver(format) => format.to_owned(),
            Some(format) => return refuse(format!("Unknown driver '{format}'")),
            None => self.probe(path),
        };
        let read_only = match arguments.text("read-only-mode") {
            Some("read-only") => true,
            Some("read-write") => false,
            // A CD is never written.
            _ => true,
        };
        let file = json!({"driver": "file", "filename": path, "read-only": read_only});
        let options = json!({"driver": format, "file": file, "read-only": read_only});
        let options = options.as_object().cloned().unwrap_or_default();
        let node = self.add_node(&options, false)?;
        if let Some(device) = self.device(&id) {
            move_tray(device, true, context);
        }
        self.take_medium(&id);
        self.put_medium(&id, &node);
        if let Some(device) = self.device(&id) {
            move_tray(device, false, context);
        }
        done()
    }

    fn put_medium(&mut self, id: &str, node: &str) {
        if let Some(device) = self.device(id) {
            device.properties.insert("drive".to_owned(), Value::from(node));
        }
    }

    fn take_medium(&mut self, id: &str) {
        let taken = self.device(id).and_then(|device| device.properties.remove("drive"));
        if let Some(Value::String(node)) = taken {
            self.release(&node);
        }
    }
}

fn move_tray(device: &mut Device, open: bool, context: &mut Context) {
    if device.tray_open != open {
        device.tray_open = open;
        context.emit(&DeviceTrayMoved::new("", device.name(), open));
    }
}
