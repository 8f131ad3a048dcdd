//! Which devices and properties a schema can have, and why not the others.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::kind::{Kind, Kinds, mangled};
use super::{DeviceProperty, DeviceType};
use crate::check::{is_foreign_member, is_foreign_value, is_member_name};
use crate::schema::Builtin;

/// The longest name, in bytes.
const MAX_NAME: usize = 128;
/// The longest line of documentation, in characters.
const MAX_DOC: usize = 200;

/// The devices that a schema can have.
#[derive(Debug, Default)]
pub(super) struct Accepted<'d> {
    pub(super) devices: Vec<Device<'d>>,
    /// The properties of all devices, each once.
    pub(super) properties: Vec<Property<'d>>,
    pub(super) left_out: Vec<(String, &'static str)>,
    pub(super) children: usize,
}

/// A device, with its properties as indexes, in the order of their names.
#[derive(Debug)]
pub(super) struct Device<'d> {
    pub(super) source: &'d DeviceType,
    pub(super) properties: Vec<usize>,
}

/// A property. Those of two devices are the same if all of it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Property<'d> {
    pub(super) name: &'d str,
    pub(super) kind: Kind<'d>,
    pub(super) doc: String,
}

/// Accepts devices in the order of their names.
pub(super) fn accept<'d>(devices: &'d [DeviceType], kinds: &Kinds<'d>) -> Accepted<'d> {
    let mut sorted: Vec<&DeviceType> = devices.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let mut accepted = Accepted::default();
    let mut known = HashMap::new();
    let mut names = HashSet::new();
    for device in sorted {
        let name = &device.name;
        let can_be_written =
            is_member_name(name) || is_foreign_value(name) || begins_with_digit(name);
        if name.len() > MAX_NAME || !can_be_written {
            accepted.left_out.push((name.clone(), "the name cannot be written"));
        } else if !names.insert(mangled(name)) {
            accepted
                .left_out
                .push((name.clone(), "another device has this name, or an alias of it"));
        } else {
            let properties = accepted.properties_of(device, kinds, &mut known);
            accepted.devices.push(Device { source: device, properties });
        }
    }
    accepted.left_out.sort_unstable();
    accepted
}

fn begins_with_digit(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit()) && is_member_name(&format!("d{name}"))
}

impl<'d> Accepted<'d> {
    fn properties_of(
        &mut self,
        device: &'d DeviceType,
        kinds: &Kinds<'d>,
        known: &mut HashMap<Property<'d>, usize>,
    ) -> Vec<usize> {
        // Of aliases, the name that QAPI has is the best.
        let mut by_name: BTreeMap<String, &DeviceProperty> = BTreeMap::new();
        for property in &device.properties {
            if property.ty.starts_with("child<") {
                self.children += 1;
            } else if let Some(reason) = refused(property) {
                self.left_out.push((format!("{}.{}", device.name, property.name), reason));
            } else {
                let best = by_name.entry(mangled(&property.name)).or_insert(property);
                if rank(&property.name) < rank(&best.name) {
                    *best = property;
                }
            }
        }
        let mut found: Vec<&DeviceProperty> = by_name.into_values().collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        let accepted = found.into_iter().filter_map(|property| {
            let kind = kinds.kind(&property.ty)?;
            Some(Property { name: &property.name, kind, doc: doc(property, kind) })
        });
        let mut indexes = Vec::new();
        for property in accepted {
            let next = self.properties.len();
            let index = *known.entry(property.clone()).or_insert(next);
            if index == next {
                self.properties.push(property);
            }
            indexes.push(index);
        }
        indexes
    }
}

/// Returns why a property cannot be in a schema.
fn refused(property: &DeviceProperty) -> Option<&'static str> {
    let name = &property.name;
    if property.ty == "link<irq>" {
        return Some("an interrupt line, which the machine connects");
    }
    if ["driver", "id", "bus"].contains(&mangled(name).as_str()) {
        return Some("device_add has an argument of this name");
    }
    if name.len() > MAX_NAME || !(is_member_name(name) || is_foreign_member(name)) {
        return Some("the name cannot be written");
    }
    None
}

/// Ranks the aliases of a name: QAPI's names first, and of those the one with the most hyphens.
fn rank(name: &str) -> (bool, usize, &str) {
    let other = name.bytes().filter(|byte| matches!(byte, b'_' | b'.' | b',' | b'+')).count();
    (is_foreign_member(name), other, name)
}

/// Returns the documentation of a property: what QEMU says, and the default.
fn doc(property: &DeviceProperty, kind: Kind<'_>) -> String {
    let mut text = match &property.description {
        // It says no more than the type.
        Some(description) if kind != Kind::Builtin(Builtin::Bool) => line(description),
        _ => String::new(),
    };
    if let Some(target) = property.ty.strip_prefix("link<") {
        let target = line(target.trim_end_matches('>'));
        text = format!("ID or path of an object of the type {target}");
    }
    if matches!(kind, Kind::Builtin(Builtin::Any)) && !property.ty.is_empty() {
        let ty = line(&property.ty);
        text = if text.is_empty() { format!("QEMU's type: {ty}") } else { format!("{text}; {ty}") };
    }
    if let Some(default) = &property.default {
        let default = line(&default.as_str().map_or_else(|| default.to_string(), str::to_owned));
        text = format!("{text} (default: {default})");
    }
    text.trim().to_owned()
}

/// Returns a text as one line that has no meaning in documentation comments.
fn line(text: &str) -> String {
    let printable = text.chars().take(MAX_DOC).map(|c| match c {
        // References, markup, and the ends of comments.
        '@' | '`' | '*' | '|' | '#' | '\\' | '<' | '>' | '[' | ']' | '_' | '{' | '}' => ' ',
        c if c.is_ascii_graphic() => c,
        _ => ' ',
    });
    let printable: String = printable.collect();
    let text = printable.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    // A text that begins with punctuation can be a heading or a list.
    let begins = |c: char| c.is_ascii_alphanumeric() || c == '(';
    text.trim_start_matches(|c: char| !begins(c)).to_owned()
}
