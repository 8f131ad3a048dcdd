//! The devices that people plug, as types.
//!
//! QMP's schema does not describe devices: `device_add` takes any name, and any properties. Here,
//! each of a hundred devices is a type, whose `new` takes what the device cannot do without, and
//! which has a method for each property of QEMU 7.2 to 11.1, without experimental ones and those that
//! only machine types set. It becomes a [`DeviceAdd`], which is executed, or given to the command
//! line.
//!
//! ```
//! use qmp_types::devices::VirtioBlkPci;
//! use qmp_types::qmp::commands::DeviceAdd;
//!
//! let disk = VirtioBlkPci::new("node0").id("disk0").serial("4711").num_queues(4);
//! let command = DeviceAdd::from(disk).property("x-disable-pcie", true);
//! assert_eq!(command.driver, "virtio-blk-pci");
//! assert_eq!(command.id.as_deref(), Some("disk0"));
//! assert_eq!(command.properties["num-queues"], 4);
//! ```
//!
//! What the types do not have, [`DeviceAdd::property`] adds, and [`DeviceAdd::new`] takes a device
//! that is not here. A property that the documentation dates, such as `(since 10.0)`, is refused by a
//! QEMU that does not have it. The dates are those of the first and the last of QEMU 7.2, 10.0 and
//! 11.1 with the property.
//!
//! The names of structs and of the variants of [`Device`] are those of QEMU's types in `CamelCase`.

use serde_json::Value;

use crate::qmp::commands::DeviceAdd;

#[allow(clippy::module_inception, reason = "only the types are public")]
mod vocabulary {
    include_vocabulary!("devices");
}

pub use vocabulary::types::*;

impl<D: Into<Device>> From<D> for DeviceAdd {
    /// Returns the command that plugs the device, with all its properties.
    fn from(device: D) -> Self {
        let mut command = Self::new("");
        // A device is an object of strings, numbers and lists, which always has a JSON form.
        if let Ok(Value::Object(members)) = serde_json::to_value(device.into()) {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("driver", Value::String(driver)) => command.driver = driver,
                    ("bus", Value::String(bus)) => command.bus = Some(bus),
                    ("id", Value::String(id)) => command.id = Some(id),
                    (_, value) => command = command.property(name, value),
                }
            }
        }
        command
    }
}
