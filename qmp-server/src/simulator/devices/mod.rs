//! Devices: adding and removing them, and the buses that they are plugged into.

mod add;
mod buses;
mod pci;
mod realize;
mod remove;
pub(super) mod values;

use qmp_types::qmp::commands::{DeviceAdd, DeviceDel, DeviceListProperties, QueryPci};
use qmp_types::qmp::events::{DeviceDeleted, DeviceUnplugGuestError};
use qmp_types::{Command, Empty, ErrorClass, QmpError};
use serde_json::{Value, json};

use super::facts;
use super::machine::Machine;
use super::replies::{Arguments, Handle, Reply, check_size, refuse};
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .open_command(|machine: &mut Machine, command: DeviceAdd, _: &mut Context| {
            let arguments = Arguments::of(&command);
            check_size(DeviceAdd::NAME, &arguments)?;
            machine.add_device(&arguments)?;
            Ok(Empty {})
        })
        .on::<DeviceDel>(|machine, arguments, context| {
            machine.delete_device(arguments.required("id"), context)
        })
        .on::<QueryPci>(|machine, _, _| Ok(machine.query_pci()))
        .on::<DeviceListProperties>(|_, arguments, _| {
            list_properties(arguments.required("typename"))
        })
        .event::<DeviceDeleted>()
        .event::<DeviceUnplugGuestError>()
}

fn list_properties(name: &str) -> Reply {
    if !facts::is_type(name) {
        let desc = format!("Device '{name}' not found");
        return Err(QmpError::new(ErrorClass::DeviceNotFound, desc));
    }
    if facts::is_abstract(name) || !facts::is_a(name, "device") {
        return refuse("Parameter 'typename' expects a non-abstract device type");
    }
    let Some(driver) = facts::driver(name) else {
        return refuse(format!("the simulated machine does not know the properties of '{name}'"));
    };
    let infos = driver.properties.iter().map(|property| {
        let mut info = json!({"name": property.name, "type": property.type_name()});
        if let Some(default) = &property.default {
            info["default-value"] = default.clone();
        }
        if property.type_name() == "bool" {
            info["description"] = "on/off".into();
        }
        info
    });
    Ok(infos.collect::<Value>())
}
