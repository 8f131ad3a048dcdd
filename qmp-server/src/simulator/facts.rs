//! The devices, objects, CPU models and machine types of QEMU, as `facts/record` has recorded them
//! from a running one.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

const DEVICES: &str = include_str!("../../facts/devices.txt");
const TYPES: &str = include_str!("../../facts/types.txt");
const OBJECTS: &str = include_str!("../../facts/objects.txt");
const CPUS: &str = include_str!("../../facts/cpus.txt");
const MACHINES: &str = include_str!("../../facts/machines.txt");
const OPTIONS: &str = include_str!("../../facts/options.txt");
const STATS: &str = include_str!("../../facts/stats.txt");

/// A device model.
#[derive(Clone, Debug)]
pub(super) struct Driver {
    pub(super) name: &'static str,
    alias: Option<&'static str>,
    /// The type of bus that the device is plugged into.
    pub(super) bus: Option<&'static str>,
    /// The type of the device on the virtio bus, for virtio devices on another bus.
    pub(super) backend: Option<&'static str>,
    /// Whether the device can only be part of the machine.
    pub(super) is_cold: bool,
    pub(super) pci: Option<Pci>,
    pub(super) properties: Vec<Property>,
}

/// The identity of a device on the PCI bus.
#[derive(Clone, Debug)]
pub(super) struct Pci {
    pub(super) class: u16,
    pub(super) desc: Option<String>,
    /// Vendor, device, vendor of the subsystem, subsystem.
    pub(super) id: [u16; 4],
    pub(super) pin: u8,
    pub(super) regions: Vec<Value>,
}

/// A property of a device or an object.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) name: &'static str,
    /// The type, or the format of a string, as recorded.
    pub(super) kind: &'static str,
    pub(super) default: Option<Value>,
    /// Whether the property belongs to the device on the virtio bus.
    pub(super) is_inner: bool,
    pub(super) is_read_only: bool,
}

impl Property {
    fn parse(line: &'static str) -> Option<Self> {
        let (name, rest) = line.trim_start().split_once(' ')?;
        let (rest, is_inner) = match rest.strip_suffix(" @") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (rest, is_read_only) = match rest.strip_suffix(" !") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (kind, default) = match rest.split_once(' ') {
            Some((kind, default)) => (kind, serde_json::from_str(default).ok()),
            None => (rest, None),
        };
        Some(Self { name, kind, default, is_inner, is_read_only })
    }

    /// Returns the type as `qom-list` reports it.
    pub(super) fn type_name(&self) -> &'static str {
        match self.kind {
            "mac" | "drive" | "netdev" | "chardev" | "audiodev" => "str",
            "slot" => "int32",
            "blocksize" => "size",
            "enum:on/off/auto" => "OnOffAuto",
            "enum:report/ignore/enospc/stop/auto" => "BlockdevOnError",
            kind if kind.starts_with("enum:") => "str",
            kind => kind,
        }
    }
}

impl Driver {
    fn parse(head: &'static str, groups: &BTreeMap<&str, Vec<Property>>) -> Option<Self> {
        let mut words = head.split(' ');
        let mut driver = Self {
            name: words.next()?,
            alias: None,
            bus: None,
            backend: None,
            is_cold: false,
            pci: None,
            properties: Vec::new(),
        };
        let mut pci = Pci { class: 0, desc: None, id: [0; 4], pin: 0, regions: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some(("bus", bus)) => driver.bus = Some(bus),
                Some(("alias", alias)) => driver.alias = Some(alias),
                Some(("backend", backend)) => driver.backend = Some(backend),
                Some(("class", class)) => {
                    pci.class = u16::from_str_radix(class, 16).unwrap_or_default();
                }
                Some(("is", desc)) => pci.desc = Some(desc.replace('_', " ")),
                Some(("pin", pin)) => pci.pin = pin.parse().unwrap_or_default(),
                Some(("bar", bar)) => pci.regions.extend(region(bar)),
                Some(("id", ids)) => {
                    for (to, id) in pci.id.iter_mut().zip(ids.split(':')) {
                        *to = u16::from_str_radix(id, 16).unwrap_or_default();
                    }
                }
                _ if word == "cold" => driver.is_cold = true,
                _ => {
                    let group = word.strip_prefix('+').and_then(|name| groups.get(name));
                    driver.properties.extend(group.into_iter().flatten().cloned());
                }
            }
        }
        driver.pci = (pci.id[0] != 0).then_some(pci);
        Some(driver)
    }

    pub(super) fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.property(name).is_some()
    }
}

fn region(text: &str) -> Option<Value> {
    let mut parts = text.split(':');
    let bar: u8 = parts.next()?.parse().ok()?;
    let kind = parts.next()?;
    let size: u64 = parts.next()?.parse().ok()?;
    let flags = parts.next().unwrap_or_default();
    let mut region = json!({"bar": bar, "type": kind, "size": size, "address": -1});
    if kind == "memory" {
        region["prefetch"] = flags.contains('p').into();
        region["mem_type_64"] = flags.contains('6').into();
    }
    Some(region)
}

fn drivers() -> &'static BTreeMap<&'static str, Driver> {
    static DRIVERS: OnceLock<BTreeMap<&'static str, Driver>> = OnceLock::new();
    DRIVERS.get_or_init(|| {
        let mut groups: BTreeMap<&str, Vec<Property>> = BTreeMap::new();
        let mut drivers = BTreeMap::new();
        let (mut group, mut driver) = (None, None);
        for line in DEVICES.lines() {
            if let Some(name) = line.strip_prefix('+') {
                group = Some(name);
            } else if line.starts_with(' ') {
                let into = match (&mut driver, group) {
                    (Some(name), _) => {
                        drivers.get_mut(name).map(|driver: &mut Driver| &mut driver.properties)
                    }
                    (None, group) => group.map(|name| groups.entry(name).or_default()),
                };
                if let (Some(into), Some(property)) = (into, Property::parse(line)) {
                    into.push(property);
                }
            } else if let Some(parsed) = Driver::parse(line, &groups) {
                driver = Some(parsed.name);
                drivers.insert(parsed.name, parsed);
            }
        }
        drivers
    })
}

/// Returns the model with a name. The models of virtio devices that only differ in their revision
/// of virtio share one.
pub(super) fn driver(name: &str) -> Option<&'static Driver> {
    let base =
        name.strip_suffix("-non-transitional").or_else(|| name.strip_suffix("-transitional"));
    let name = match (base, name.ends_with("-x86_64-cpu") && is_type(name)) {
        (Some(base), _) => base,
        (None, true) => "qemu64-x86_64-cpu",
        (None, false) => name,
    };
    drivers().get(name)
}

/// Returns the model that `device_add` creates for a name, which may be an alias.
pub(super) fn driver_or_alias(name: &str) -> Option<&'static Driver> {
    driver(name).or_else(|| drivers().values().find(|driver| driver.alias == Some(name)))
}

struct Type {
    parent: Option<&'static str>,
    is_abstract: bool,
}

fn types() -> &'static BTreeMap<&'static str, Type> {
    static ALL: OnceLock<BTreeMap<&'static str, Type>> = OnceLock::new();
    ALL.get_or_init(|| {
        let types = TYPES.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let (name, parent) = (words.next()?, words.next()?);
            let parent = Some(parent).filter(|parent| *parent != "-");
            Some((name, Type { parent, is_abstract: words.next().is_some() }))
        });
        types.collect()
    })
}

pub(super) fn is_type(name: &str) -> bool {
    types().contains_key(name)
}

pub(super) fn is_abstract(name: &str) -> bool {
    types().get(name).is_some_and(|kind| kind.is_abstract)
}

/// Returns whether a type is another one or inherits from it.
pub(super) fn is_a(name: &str, ancestor: &str) -> bool {
    let mut current = Some(name);
    while let Some(name) = current {
        if name == ancestor {
            return true;
        }
        current = types().get(name).and_then(|kind| kind.parent);
    }
    false
}

/// Returns the types that inherit from one, for `qom-list-types`.
pub(super) fn implementations(of: &str, with_abstract: bool) -> Value {
    let found = types().iter().filter(|(name, kind)| {
        (with_abstract || !kind.is_abstract) && (of == "object" || is_a(name, of))
    });
    let infos = found.map(|(name, kind)| {
        let mut info = json!({"name": name});
        if kind.is_abstract {
            info["abstract"] = true.into();
        }
        if let Some(parent) = kind.parent {
            info["parent"] = parent.into();
        }
        info
    });
    infos.collect()
}

/// Returns the properties of the objects of a type, with their defaults.
pub(super) fn object(kind: &str) -> Vec<Property> {
    let mut lines = OBJECTS.lines().skip_while(|line| *line != kind).skip(1);
    let own = lines.by_ref().take_while(|line| line.starts_with(' '));
    own.filter_map(Property::parse).collect()
}

/// Returns the machine types.
pub(super) fn machines() -> Value {
    MACHINES.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect()
}

/// Returns the machine type with a name, which may be an alias.
pub(super) fn machine(name: &str) -> Option<Value> {
    let Value::Array(machines) = machines() else { return None };
    machines.into_iter().find(|machine| machine["name"] == name || machine["alias"] == name)
}

/// Returns the options of the command line, without descriptions.
pub(super) fn command_line_options() -> Value {
    let options = OPTIONS.lines().map(|line| {
        let mut words = line.split(' ');
        let option = words.next().unwrap_or_default();
        let parameters = words.map(|word| {
            let mut parts = word.splitn(3, ':');
            let mut next = || parts.next().unwrap_or_default().to_owned();
            let mut parameter = json!({"name": next(), "type": next()});
            let default = next();
            if !default.is_empty() {
                parameter["default"] = default.into();
            }
            parameter
        });
        json!({"option": option, "parameters": parameters.collect::<Value>()})
    });
    options.collect()
}

/// Returns the schemas of statistics.
pub(super) fn stats_schemas() -> Value {
    STATS.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect()
}

/// Returns the definitions of CPU models.
pub(super) fn cpu_definitions() -> Value {
    let models = CPUS.lines().filter(|line| !line.starts_with('='));
    let definitions = models.filter_map(|line| {
        let mut words = line.split(' ');
        let (name, flags, alias, missing) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let missing = missing.split(',').filter(|feature| *feature != "-");
        let mut definition = json!({
            "name": name,
            "typename": format!("{name}-x86_64-cpu"),
            "static": flags.contains('s'),
            "migration-safe": flags.contains('m'),
            "deprecated": flags.contains('d'),
            "unavailable-features": missing.collect::<Vec<_>>(),
        });
        if alias != "-" {
            definition["alias-of"] = alias.into();
        }
        Some(definition)
    });
    definitions.collect()
}

/// Returns the properties of a CPU model as a static expansion has them, if they are recorded.
pub(super) fn cpu_model(name: &str) -> Option<Map<String, Value>> {
    let pairs = |words: std::str::Split<'static, char>| {
        words.filter_map(|word| {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => {
                    (name, serde_json::from_str(&value.replace("%20", " ")).ok()?)
                }
                None => (word, Value::Bool(true)),
            };
            Some((name.to_owned(), value))
        })
    };
    let base = CPUS.lines().find_map(|line| line.strip_prefix("=base "))?;
    let mut model: Map<String, Value> = pairs(base.split(' ')).collect();
    if name == "base" {
        return Some(model);
    }
    let line = CPUS.lines().find(|line| line.split(' ').next() == Some(name))?;
    let mut own = line.split(' ');
    let own = pairs({
        own.by_ref().take(4).for_each(drop);
        own
    });
    let before = model.len();
    let mut count = 0;
    for (name, value) in own {
        count += 1;
        model.insert(name, value);
    }
    (count > 0 && before > 0).then_some(model)
}

/// Returns whether a CPU model exists.
pub(super) fn is_cpu_model(name: &str) -> bool {
    CPUS.lines().any(|line| line.split(' ').next() == Some(name))
}
