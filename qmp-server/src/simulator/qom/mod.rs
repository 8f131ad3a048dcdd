//! The QEMU Object Model (QOM): the tree of the simulated objects, derived from the state.

mod set;
mod tree;

use qmp_types::qmp::commands::{
    QomGet, QomList, QomListGet, QomListProperties, QomListTypes, QomSet,
};
use qmp_types::{ErrorClass, QmpError};
use serde_json::{Value, json};

use super::facts;
use super::machine::{Device, Machine};
use super::replies::{Handle, Reply, not_found, refuse};
use crate::router::Router;
use tree::{Node, Property, guest_stats};

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<QomList>(|machine, arguments, _| machine.list_properties(arguments.required("path")))
        .on::<QomGet>(|machine, arguments, _| {
            machine.property(arguments.required("path"), arguments.required("property"))
        })
        .on::<QomSet>(|machine, arguments, _| machine.set_property(arguments))
        .on::<QomListGet>(|machine, arguments, _| {
            let paths = arguments.list("paths").iter().filter_map(Value::as_str);
            let all: Result<Vec<Value>, QmpError> = paths
                .map(|path| {
                    let properties = machine.properties_at(path)?.into_iter().map(|property| {
                        json!({
                            "name": property.name,
                            "type": property.kind,
                            "value": property.value,
                        })
                    });
                    Ok(json!({"properties": properties.collect::<Value>()}))
                })
                .collect();
            Ok(all?.into())
        })
        .on::<QomListTypes>(|_, arguments, _| {
            let of = arguments.text("implements").unwrap_or("object");
            Ok(facts::implementations(of, arguments.flag("abstract")))
        })
        .on::<QomListProperties>(|_, arguments, _| list_properties(arguments.required("typename")))
}

/// A device that a command names.
pub(super) enum Named<'m> {
    /// One that has been added.
    Device(&'m Device),
    /// The device on the virtio bus of another device.
    BackEnd(&'m Device),
    BootCpu,
}

impl Machine {
    /// Finds the device that a command names, by its `id` or by a path. An `id` is a path, too, that
    /// begins at the devices of the user.
    pub(in crate::simulator) fn named_device(&self, name: &str) -> Result<Named<'_>, QmpError> {
        let found = match name.starts_with('/') {
            true => self.resolve(name),
            false => self.resolve(&format!("/machine/peripheral/{name}")),
        };
        match found? {
            Some((_, Node::Device(device))) => Ok(Named::Device(device)),
            Some((_, Node::BackEnd(device))) => Ok(Named::BackEnd(device)),
            Some((_, Node::Cpu)) => Ok(Named::BootCpu),
            Some(_) => refuse(format!("{name} is not a device")),
            None => Err(not_found(name)),
        }
    }

    /// Returns the names and types of the properties of the object at a path.
    pub(in crate::simulator) fn list_properties(&self, path: &str) -> Reply {
        let properties = self.properties_at(path)?;
        let infos = properties
            .into_iter()
            .map(|property| json!({"name": property.name, "type": property.kind}));
        Ok(infos.collect())
    }

    fn properties_at(&self, path: &str) -> Result<Vec<Property>, QmpError> {
        match self.resolve(path)? {
            Some((path, node)) => Ok(self.list(&path, &node)),
            None => Err(not_found(path)),
        }
    }

    pub(in crate::simulator) fn property(&self, path: &str, name: &str) -> Reply {
        let Some((path, node)) = self.resolve(path)? else { return Err(not_found(path)) };
        if let (Node::Device(device), "guest-stats") = (&node, name) {
            if device.is_balloon() {
                return Ok(guest_stats());
            }
        }
        if let (Node::Device(device), "guest-stats-polling-interval") = (&node, name) {
            if device.is_balloon() {
                return Ok(self.balloon_interval.into());
            }
        }
        let found = self.list(&path, &node).into_iter().find(|property| property.name == name);
        match found {
            Some(property) => Ok(property.value),
            None => no_property(&self.type_of(&node), name),
        }
    }
}

fn no_property<T>(kind: &str, name: &str) -> Result<T, QmpError> {
    refuse(format!("Property '{kind}.{name}' not found"))
}

fn list_properties(name: &str) -> Reply {
    if !facts::is_type(name) {
        let desc = format!("Class '{name}' not found");
        return Err(QmpError::new(ErrorClass::DeviceNotFound, desc));
    }
    let mut infos = vec![json!({"name": "type", "type": "string"})];
    if facts::is_a(name, "device") {
        let common = [
            ("parent_bus", "link<bus>"),
            ("realized", "bool"),
            ("hotplugged", "bool"),
            ("hotpluggable", "bool"),
        ];
        infos.extend(common.map(|(name, kind)| json!({"name": name, "type": kind})));
    }
    let own = match facts::driver(name) {
        Some(driver) => driver.properties.clone(),
        None => facts::object(name),
    };
    infos.extend(
        own.iter().map(|property| json!({"name": property.name, "type": property.type_name()})),
    );
    Ok(infos.into())
}
