//! `qom-set`.

use qmp_types::QmpError;
use serde_json::Value;

use super::no_property;
use super::tree::{MACHINE_PROPERTIES, Node};
use crate::simulator::devices::values;
use crate::simulator::facts;
use crate::simulator::machine::{Device, Machine, Object};
use crate::simulator::objects::check_range;
use crate::simulator::replies::{Arguments, Reply, done, not_found, refuse};

impl Machine {
    pub(super) fn set_property(&mut self, arguments: &Arguments) -> Reply {
        let (path, name) = (arguments.required("path"), arguments.required("property"));
        let value = arguments.get("value").cloned().unwrap_or_default();
        let Some((path, node)) = self.resolve(path)? else { return Err(not_found(path)) };
        let kind = self.type_of(&node);
        match &node {
            Node::Device(device) => {
                let device = (*device).clone();
                return self.set_device_property(&device, name, &value);
            }
            Node::BackEnd(device) if device.model.property(name).is_some_and(|p| p.is_inner) => {
                let device = (*device).clone();
                return self.set_device_property(&device, name, &value);
            }
            Node::Object(object) => {
                check_object_property(object, name, &value)?;
                let id = object.id.clone();
                let found = self.objects.iter_mut().find(|object| object.id == id);
                if let Some(object) = found {
                    object.properties.insert(name.to_owned(), value);
                }
                return done();
            }
            Node::Machine => {
                if let Some((_, default)) =
                    MACHINE_PROPERTIES.iter().find(|(known, _)| *known == name)
                {
                    let default: Value = serde_json::from_str(default).unwrap_or_default();
                    check_kind(name, &default, &value)?;
                    self.properties.insert(name.to_owned(), value);
                    return done();
                }
            }
            _ => {}
        }
        match self.list(&path, &node).iter().any(|property| property.name == name) {
            true => refuse(format!("Property '{kind}.{name}' is not writable")),
            false => no_property(&kind, name),
        }
    }

    fn set_device_property(&mut self, device: &Device, name: &str, value: &Value) -> Reply {
        let driver = &device.driver;
        if device.is_balloon() && name.starts_with("guest-stats") {
            return self.set_balloon_property(name, value);
        }
        match name {
            "type" | "hotplugged" | "hotpluggable" | "parent_bus" => {
                return refuse(format!("Property '{driver}.{name}' is not writable"));
            }
            "realized" => return refuse("the simulated machine cannot change `realized`"),
            _ => {}
        }
        let Some(property) = device.model.property(name) else {
            return no_property(driver, name);
        };
        let inner = device.model.backend.filter(|_| property.is_inner);
        let is_dynamic = matches!(name, "bootindex" | "requested-size")
            || (name == "drive" && device.is_drive());
        if !is_dynamic {
            let (owner, kind) = match (inner, &device.id) {
                (Some(backend), _) => ("anonymous device".to_owned(), backend),
                (None, Some(id)) => (format!("device '{id}'"), driver.as_str()),
                (None, None) => ("anonymous device".to_owned(), driver.as_str()),
            };
            return refuse(format!(
                "Attempt to set property '{name}' on {owner} (type '{kind}') after it was realized"
            ));
        }
        values::check(property, inner.unwrap_or(driver), value)?;
        match (name, value) {
            ("drive", Value::String(node)) if self.node(node).is_none() => {
                return refuse(format!("Cannot find device='' nor node-name='{node}'"));
            }
            ("requested-size", size) => {
                self.request_memory(&device.path, size.as_u64().unwrap_or_default())?;
            }
            _ => {}
        }
        if let Some(device) = self.device_at(&device.path) {
            device.properties.insert(name.to_owned(), value.clone());
        }
        done()
    }

    fn set_balloon_property(&mut self, name: &str, value: &Value) -> Reply {
        if name == "guest-stats" {
            return refuse("Property 'virtio-balloon-device.guest-stats' is not writable");
        }
        match value.as_i64() {
            None => refuse(format!("Invalid parameter type for '{name}', expected: integer")),
            Some(..0) => refuse("timer value must be greater than zero"),
            Some(interval) if interval > i64::from(u32::MAX) => refuse("timer value is too big"),
            Some(interval) => {
                self.balloon_interval = interval;
                done()
            }
        }
    }
}

fn check_kind(name: &str, default: &Value, value: &Value) -> Result<(), QmpError> {
    let (fits, kind) = match default {
        Value::Bool(_) => (value.is_boolean(), "boolean"),
        Value::Number(_) => (value.is_i64(), "integer"),
        _ => (value.is_string(), "string"),
    };
    match fits {
        true => Ok(()),
        false => refuse(format!("Invalid parameter type for '{name}', expected: {kind}")),
    }
}

fn check_object_property(object: &Object, name: &str, value: &Value) -> Result<(), QmpError> {
    let kind = &object.kind;
    let known = facts::object(kind);
    let read_only = || refuse(format!("Property '{kind}.{name}' is not writable"));
    if name == "type" {
        return read_only();
    }
    let Some(property) = known.iter().find(|property| property.name == name) else {
        return match object.properties.contains_key(name) {
            true => read_only(),
            false => no_property(kind, name),
        };
    };
    if property.is_read_only {
        return read_only();
    }
    values::check(property, kind, value)?;
    match property.kind {
        "int" if matches!(kind.as_str(), "iothread" | "main-loop") => {
            check_range(name, Some(value))?;
        }
        _ => {}
    }
    let fixed = matches!(name, "size" | "share" | "prealloc-threads" | "hugetlb" | "reserve");
    if kind.starts_with("memory-backend") && fixed {
        return refuse(match name {
            "size" => format!("cannot change property '{name}' of {kind}"),
            _ => "cannot change property value".to_owned(),
        });
    }
    Ok(())
}
