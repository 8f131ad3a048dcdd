//! The QEMU Object Model (QOM): the tree of the simulated objects.

use qmp_types::qmp::commands::{QomGet, QomList, QomSet};
use qmp_types::qmp::types::ObjectPropertyInfo;
use qmp_types::{Empty, QmpError};
use serde_json::Value;

use super::identity::{CPU_TYPE, MACHINE_TYPE, cpu_path};
use super::machine::Machine;
use super::replies::not_found;
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .command(|machine: &mut Machine, command: QomList, _: &mut Context| {
            let found = machine.find(&command.path).ok_or_else(|| not_found(&command.path))?;
            let infos = found
                .into_iter()
                .map(|property| ObjectPropertyInfo::new(property.name, property.kind));
            Ok(infos.collect())
        })
        .command(|machine: &mut Machine, command: QomGet, _: &mut Context| {
            machine.property(&command.path, &command.property)
        })
        .command(|machine: &mut Machine, command: QomSet, _: &mut Context| {
            machine.set_property(command)
        })
}

/// A property of an object, or one of its children.
struct Property {
    name: String,
    kind: String,
    value: Value,
}

impl Property {
    fn new(name: &str, value: &Value) -> Self {
        let kind = match value {
            Value::Bool(_) => "bool",
            Value::Number(_) => "int",
            _ => "string",
        };
        Self { name: name.to_owned(), kind: kind.to_owned(), value: value.clone() }
    }

    fn child(name: &str, kind: &str, path: &str) -> Self {
        Self { name: name.to_owned(), kind: format!("child<{kind}>"), value: path.into() }
    }
}

impl Machine {
    /// Returns the properties of the object at a path, which is absolute or a single `id`.
    fn find(&self, path: &str) -> Option<Vec<Property>> {
        let path = path.trim_end_matches('/');
        let container = |name: &str| Property::child(name, "container", &format!("{path}/{name}"));
        let kind = |kind: &str| Property::new("type", &kind.into());
        let properties = match path {
            "" => vec![
                kind("container"),
                Property::child("machine", MACHINE_TYPE, "/machine"),
                container("objects"),
            ],
            "/machine" => vec![
                kind(MACHINE_TYPE),
                container("peripheral"),
                container("peripheral-anon"),
                container("unattached"),
            ],
            "/machine/peripheral" | "/machine/peripheral-anon" => {
                let children = self.devices.iter().filter_map(|device| {
                    let name = device.path.strip_prefix(path)?.strip_prefix('/')?;
                    Some(Property::child(name, &device.driver, &device.path))
                });
                [kind("container")].into_iter().chain(children).collect()
            }
            "/machine/unattached" => {
                let cpus = (0..self.cpus).map(|index| {
                    let name = format!("device[{index}]");
                    Property::child(&name, CPU_TYPE, &format!("{path}/{name}"))
                });
                [kind("container")].into_iter().chain(cpus).collect()
            }
            "/objects" => {
                let children = self.objects.iter().map(|object| {
                    Property::child(&object.id, &object.kind, &format!("/objects/{}", object.id))
                });
                [kind("container")].into_iter().chain(children).collect()
            }
            _ => return self.find_leaf(path),
        };
        Some(properties)
    }

    fn find_leaf(&self, path: &str) -> Option<Vec<Property>> {
        let name = path.strip_prefix("/objects/").unwrap_or(path);
        if let Some(object) = self.objects.iter().find(|object| object.id == name) {
            let own = object.properties.iter().map(|(name, value)| Property::new(name, value));
            let kind = Property::new("type", &object.kind.as_str().into());
            return Some([kind].into_iter().chain(own).collect());
        }
        if (0..self.cpus).any(|index| path == cpu_path(index)) {
            return Some(vec![Property::new("type", &CPU_TYPE.into())]);
        }
        let mut devices = self.devices.iter();
        let device =
            devices.find(|device| device.path == path || device.id.as_deref() == Some(path))?;
        let mut properties = vec![
            Property::new("type", &device.driver.as_str().into()),
            Property::new("realized", &true.into()),
            Property::new("hotpluggable", &device.hotpluggable.into()),
        ];
        properties.extend(device.properties.iter().map(|(name, value)| Property::new(name, value)));
        Some(properties)
    }

    fn property(&self, path: &str, name: &str) -> Result<Value, QmpError> {
        let properties = self.find(path).ok_or_else(|| not_found(path))?;
        let kind = type_of(&properties);
        let mut found = properties.into_iter().filter(|property| property.name == name);
        let property = found.next().ok_or_else(|| no_property(&kind, name))?;
        Ok(property.value)
    }

    fn set_property(&mut self, command: QomSet) -> Result<Empty, QmpError> {
        let (path, name) = (command.path.as_str(), command.property.as_str());
        let properties = self.find(path).ok_or_else(|| not_found(path))?;
        let kind = type_of(&properties);
        let id = path.strip_prefix("/objects/").unwrap_or(path);
        let mut objects = self.objects.iter_mut().filter(|_| name != "type");
        if let Some(object) = objects.find(|object| object.id == id) {
            object.properties.insert(name.to_owned(), command.value);
            return Ok(Empty {});
        }
        if !properties.iter().any(|property| property.name == name) {
            return Err(no_property(&kind, name));
        }
        let desc = match self.device(path) {
            Some(device) if !matches!(name, "type" | "hotpluggable") => format!(
                "Attempt to set property '{name}' on device '{}' (type '{kind}') after it was \
                 realized",
                device.name()
            ),
            _ => format!("Property '{kind}.{name}' is not writable"),
        };
        Err(QmpError::generic(desc))
    }
}

fn type_of(properties: &[Property]) -> String {
    let kind = properties.iter().find(|property| property.name == "type");
    kind.and_then(|property| property.value.as_str()).unwrap_or_default().to_owned()
}

fn no_property(kind: &str, name: &str) -> QmpError {
    QmpError::generic(format!("Property '{kind}.{name}' not found"))
}
