//! The objects of the tree, and their properties.

use qmp_types::QmpError;
use serde_json::{Value, json};

use crate::simulator::facts;
use crate::simulator::machine::{Device, Machine, Object};
use crate::simulator::replies::refuse;

/// A property of an object, or one of its children.
pub(super) struct Property {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) value: Value,
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
pub(super) enum Node<'m> {
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
    /// Finds the object at an absolute path, or at a partial one that leads to one object.
    pub(super) fn resolve(&self, path: &str) -> Result<Option<(String, Node<'_>)>, QmpError> {
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

    pub(super) fn at(&self, path: &str) -> Option<Node<'_>> {
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

    pub(super) fn type_of(&self, node: &Node<'_>) -> String {
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

    pub(super) fn list(&self, path: &str, node: &Node<'_>) -> Vec<Property> {
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
            "/machine/peripheral" | "/machine/peripheral-anon" => self.devices_in(path).collect(),
            "/machine/unattached" => {
                let all = self.boot_cpus().into_iter().map(|path| {
                    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                    Property::child(&name, &self.cpus.model, &path)
                });
                all.chain(self.devices_in(path)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn devices_in<'m>(&'m self, path: &'m str) -> impl Iterator<Item = Property> + 'm {
        let inside =
            move |device: &&Device| device.path.rsplit_once('/').map(|(d, _)| d) == Some(path);
        self.devices.iter().filter(inside).map(|device| {
            let name = device.path.rsplit('/').next().unwrap_or_default();
            Property::child(name, &device.driver, &device.path)
        })
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
}

/// The properties of the machine that can be read and set, with defaults in JSON.
pub(super) const MACHINE_PROPERTIES: [(&str, &str); 24] = [
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
            _ if property.name == "drive" && device.drive.is_some() => json!(device.drive),
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
pub(super) fn guest_stats() -> Value {
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
