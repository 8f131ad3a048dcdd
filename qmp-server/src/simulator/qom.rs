//! The QEMU Object Model (QOM): the tree of the simulated objects, derived from the state.

use qmp_types::qmp::commands::{
    QomGet, QomList, QomListGet, QomListProperties, QomListTypes, QomSet,
};
use qmp_types::{ErrorClass, QmpError};
use serde_json::{Value, json};

use super::devices::values;
use super::facts;
use super::machine::{Device, Machine, Object};
use super::objects::check_range;
use super::replies::{Arguments, Handle, Reply, done, not_found, refuse};
use crate::router::Router;

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

/// A property of an object, or one of its children.
struct Property {
    name: String,
    kind: String,
    value: Value,
}

impl Property {
    fn new(name: &str, kind: &str, value: impl Into<Value>) -> Self {
        Self { name: name.to_owned(), kind: kind.to_owned(), value: value.into() }
    }

    fn child(name: &str, kind: &str, path: &str) -> Self {
        Self::new(name, &format!("child<{kind}>"), path)
    }
}

/// An object of the tree.
enum Node<'m> {
    Container,
    Machine,
    Device(&'m Device),
    /// The device on the virtio bus of another device.
    BackEnd(&'m Device),
    Object(&'m Object),
    Memory,
    Chardev(&'m str),
    Cpu,
    Monitor,
}

impl Machine {
    /// Returns whether an object is at a path.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.resolve(path).is_ok_and(|found| found.is_some())
    }

    /// Returns the names and types of the properties of the object at a path.
    pub(super) fn list_properties(&self, path: &str) -> Reply {
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

    /// Finds the object at an absolute path, or at a partial one that leads to one object.
    fn resolve(&self, path: &str) -> Result<Option<(String, Node<'_>)>, QmpError> {
        if path.is_empty() {
            return refuse("Path '' is ambiguous");
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let partial = parts.join("/");
        if path.starts_with('/') {
            let absolute = format!("/{partial}");
            return Ok(self.at(&absolute).map(|node| (absolute, node)));
        }
        let places = [
            "",
            "/machine",
            "/machine/peripheral",
            "/machine/peripheral-anon",
            "/machine/unattached",
            "/objects",
            "/chardevs",
        ];
        let candidates = places.iter().map(|place| format!("{place}/{partial}"));
        let mut found = candidates.filter_map(|path| self.at(&path).map(|node| (path, node)));
        let first = found.next();
        match found.next() {
            Some(_) => refuse(format!("Path '{path}' is ambiguous")),
            None => Ok(first),
        }
    }

    fn at(&self, path: &str) -> Option<Node<'_>> {
        let containers = [
            "/",
            "/backend",
            "/objects",
            "/chardevs",
            "/audiodevs",
            "/machine/peripheral",
            "/machine/peripheral-anon",
            "/machine/unattached",
        ];
        match path {
            "/machine" => return Some(Node::Machine),
            "/objects/pc.ram" if !self.is_none_machine() => return Some(Node::Memory),
            "/objects/compat_monitor0" => return Some(Node::Monitor),
            _ if containers.contains(&path) => return Some(Node::Container),
            _ => {}
        }
        if self.boot_cpus().iter().any(|cpu| cpu == path) {
            return Some(Node::Cpu);
        }
        if let Some(id) = path.strip_prefix("/objects/") {
            return self.objects.iter().find(|object| object.id == id).map(Node::Object);
        }
        if let Some(id) = path.strip_prefix("/chardevs/") {
            let chardev = self.chardevs.iter().find(|chardev| chardev.id == id)?;
            return Some(Node::Chardev(&chardev.kind));
        }
        let back_end = path.strip_suffix("/virtio-backend");
        let device_path = back_end.unwrap_or(path);
        let device = self.devices.iter().find(|device| device.path == device_path)?;
        match back_end {
            Some(_) if device.model.backend.is_some() => Some(Node::BackEnd(device)),
            Some(_) => None,
            None => Some(Node::Device(device)),
        }
    }

    fn machine_kind(&self) -> String {
        format!("{}-machine", self.machine_type)
    }

    fn type_of(&self, node: &Node<'_>) -> String {
        match node {
            Node::Container => "container".to_owned(),
            Node::Machine => self.machine_kind(),
            Node::Device(device) => device.driver.clone(),
            Node::BackEnd(device) => device.model.backend.unwrap_or_default().to_owned(),
            Node::Object(object) => object.kind.clone(),
            Node::Memory => "memory-backend-ram".to_owned(),
            Node::Chardev(kind) => format!("chardev-{kind}"),
            Node::Cpu => self.cpus.model.clone(),
            Node::Monitor => "monitor-qmp".to_owned(),
        }
    }

    fn list(&self, path: &str, node: &Node<'_>) -> Vec<Property> {
        let mut properties = vec![Property::new("type", "string", self.type_of(node))];
        match node {
            Node::Container => properties.extend(self.children(path)),
            Node::Machine => properties.extend(self.machine_properties()),
            Node::Device(device) => properties.extend(device_properties(device)),
            Node::BackEnd(device) => properties.extend(back_end_properties(device)),
            Node::Object(object) => {
                let known = facts::object(&object.kind);
                let extra = object.properties.iter().filter(|(name, _)| {
                    !known.iter().any(|property| property.name == name.as_str())
                });
                let extra =
                    extra.map(|(name, value)| Property::new(name, kind(value), value.clone()));
                properties.extend(known.iter().map(|property| {
                    let value = object.properties.get(property.name).cloned();
                    let value = value.or_else(|| property.default.clone()).unwrap_or_default();
                    Property::new(property.name, property.type_name(), value)
                }));
                properties.extend(extra);
            }
            Node::Memory => {
                let known = facts::object("memory-backend-ram");
                properties.extend(known.iter().map(|property| {
                    let value = match property.name {
                        "size" => Some(self.memory.into()),
                        _ => property.default.clone(),
                    };
                    Property::new(property.name, property.type_name(), value.unwrap_or_default())
                }));
            }
            Node::Cpu => {
                properties.push(Property::new("realized", "bool", true));
                properties.push(Property::new("hotpluggable", "bool", true));
                properties.push(Property::new("hotplugged", "bool", false));
            }
            Node::Chardev(_) | Node::Monitor => {}
        }
        properties
    }

    fn children(&self, path: &str) -> Vec<Property> {
        let container = |name: &str| {
            Property::child(name, "container", &format!("{}/{name}", path.trim_end_matches('/')))
        };
        match path {
            "/" => vec![
                container("backend"),
                Property::child("machine", &self.machine_kind(), "/machine"),
                container("objects"),
                container("chardevs"),
                container("audiodevs"),
            ],
            "/objects" => {
                let main = (!self.is_none_machine())
                    .then(|| Property::child("pc.ram", "memory-backend-ram", "/objects/pc.ram"));
                let own = self.objects.iter().map(|object| {
                    let path = format!("/objects/{}", object.id);
                    Property::child(&object.id, &object.kind, &path)
                });
                let monitor =
                    Property::child("compat_monitor0", "monitor-qmp", "/objects/compat_monitor0");
                main.into_iter().chain(own).chain([monitor]).collect()
            }
            "/chardevs" => {
                let all = self.chardevs.iter().map(|chardev| {
                    let path = format!("/chardevs/{}", chardev.id);
                    Property::child(&chardev.id, &format!("chardev-{}", chardev.kind), &path)
                });
                all.collect()
            }
            "/machine/peripheral" | "/machine/peripheral-anon" => {
                let inside =
                    |device: &&Device| device.path.rsplit_once('/').map(|(d, _)| d) == Some(path);
                let all = self.devices.iter().filter(inside).map(|device| {
                    let name = device.path.rsplit('/').next().unwrap_or_default();
                    Property::child(name, &device.driver, &device.path)
                });
                all.collect()
            }
            "/machine/unattached" => {
                let all = self.boot_cpus().into_iter().map(|path| {
                    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                    Property::child(&name, &self.cpus.model, &path)
                });
                all.collect()
            }
            _ => Vec::new(),
        }
    }

    fn machine_properties(&self) -> Vec<Property> {
        let container =
            |name: &str| Property::child(name, "container", &format!("/machine/{name}"));
        let get =
            |name: &str, default: Value| self.properties.get(name).cloned().unwrap_or(default);
        let mut properties =
            vec![container("unattached"), container("peripheral-anon"), container("peripheral")];
        for (name, default) in MACHINE_PROPERTIES {
            let default: Value = serde_json::from_str(default).unwrap_or_default();
            properties.push(Property::new(name, kind(&default), get(name, default)));
        }
        properties
    }

    pub(super) fn property(&self, path: &str, name: &str) -> Reply {
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

    fn set_property(&mut self, arguments: &Arguments) -> Reply {
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
        if let Some(device) = self.device(&device.path) {
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

/// The properties of the machine that can be read and set, with defaults in JSON.
const MACHINE_PROPERTIES: [(&str, &str); 24] = [
    ("kernel", "\"\""),
    ("initrd", "\"\""),
    ("append", "\"\""),
    ("dtb", "\"\""),
    ("dumpdtb", "\"\""),
    ("firmware", "\"\""),
    ("dt-compatible", "\"\""),
    ("phandle-start", "0"),
    ("graphics", "true"),
    ("usb", "false"),
    ("dump-guest-core", "true"),
    ("mem-merge", "true"),
    ("suppress-vmdesc", "false"),
    ("memory-encryption", "\"\""),
    ("memory-backend", "\"/objects/pc.ram\""),
    ("smm", "\"auto\""),
    ("acpi", "\"auto\""),
    ("vmport", "\"auto\""),
    ("hpet", "true"),
    ("sata", "true"),
    ("smbus", "true"),
    ("pit", "\"on\""),
    ("pic", "\"on\""),
    ("nvdimm", "false"),
];

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "int",
        _ => "string",
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

fn device_properties(device: &Device) -> Vec<Property> {
    let bus = device.bus.as_deref().unwrap_or_default();
    let mut properties = vec![
        Property::new("parent_bus", "link<bus>", bus),
        Property::new("realized", "bool", true),
        Property::new("hotplugged", "bool", device.hotplugged),
        Property::new("hotpluggable", "bool", true),
    ];
    for property in &device.model.properties {
        let given = device.properties.get(property.name).cloned();
        let value = match property.kind {
            kind if kind.starts_with("child<") => {
                format!("{}/{}", device.path, property.name).into()
            }
            "slot" => match device.address {
                Some((slot, function)) => format!("{slot:02x}.{function}").into(),
                None => Value::default(),
            },
            _ => given.or_else(|| property.default.clone()).unwrap_or_else(|| "".into()),
        };
        properties.push(Property::new(property.name, property.type_name(), value));
    }
    if device.is_balloon() {
        properties.push(Property::new("guest-stats", "guest statistics", guest_stats()));
        properties.push(Property::new("guest-stats-polling-interval", "int", 0));
    }
    properties
}

fn back_end_properties(device: &Device) -> Vec<Property> {
    let mut properties = vec![
        Property::new("parent_bus", "link<bus>", format!("{}/virtio-bus", device.path)),
        Property::new("realized", "bool", true),
        Property::new("hotplugged", "bool", device.hotplugged),
        Property::new("hotpluggable", "bool", true),
    ];
    let inner = device.model.properties.iter().filter(|property| property.is_inner);
    properties.extend(inner.map(|property| {
        let value = device.properties.get(property.name).cloned();
        let value = value.or_else(|| property.default.clone()).unwrap_or_else(|| "".into());
        Property::new(property.name, property.type_name(), value)
    }));
    properties
}

/// Returns the statistics of a guest that has not reported any.
fn guest_stats() -> Value {
    let names = [
        "alloc-stalls",
        "async-reclaims",
        "async-scans",
        "available-memory",
        "direct-reclaims",
        "direct-scans",
        "disk-caches",
        "free-memory",
        "htlb-pgalloc",
        "htlb-pgfail",
        "major-faults",
        "minor-faults",
        "oom-kills",
        "swap-in",
        "swap-out",
        "total-memory",
    ];
    let stats: serde_json::Map<String, Value> =
        names.iter().map(|name| (format!("stat-{name}"), u64::MAX.into())).collect();
    json!({"stats": stats, "last-update": 0})
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
