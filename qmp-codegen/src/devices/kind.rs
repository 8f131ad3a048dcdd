//! The types of properties.

use std::collections::BTreeMap;

use super::DeviceType;
use crate::schema::Builtin;

/// The type of a property, in the schema.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind<'d> {
    Builtin(Builtin),
    /// An enumeration, by its name.
    Enum(&'d str),
}

/// The largest number of values of an enumeration. QEMU's largest has eight.
const MAX_VALUES: usize = 100;

/// The enumerations: the values that descriptions list, by the name of the type.
#[derive(Debug, Default)]
pub(super) struct Kinds<'d> {
    pub(super) enums: BTreeMap<&'d str, Vec<&'d str>>,
}

impl<'d> Kinds<'d> {
    /// Collects the values of enumerations. Not every property of a type has a list.
    pub(super) fn of(devices: &'d [DeviceType]) -> Self {
        let mut enums: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for property in devices.iter().flat_map(|device| &device.properties) {
            let Some(description) = &property.description else { continue };
            if builtin(&property.ty).is_some() || !is_type_name(&property.ty) {
                continue;
            }
            let Some(listed) = values(description) else { continue };
            let known = enums.entry(&property.ty).or_default();
            for value in listed.split('/') {
                let mangled = |known: &&&str| is_same_in_c(known, value);
                if known.len() < MAX_VALUES && !known.iter().any(|one| mangled(&one)) {
                    known.push(value);
                }
            }
        }
        Self { enums }
    }

    /// Returns the type of a property; `None` for a child, which is not given to a device.
    pub(super) fn kind(&self, ty: &str) -> Option<Kind<'d>> {
        if ty.starts_with("child<") {
            return None;
        }
        let known = builtin(ty).map(Kind::Builtin);
        let named = || self.enums.get_key_value(ty).map(|(name, _)| Kind::Enum(name));
        Some(known.or_else(named).unwrap_or(Kind::Builtin(Builtin::Any)))
    }
}

fn builtin(ty: &str) -> Option<Builtin> {
    Some(match ty {
        "bool" => Builtin::Bool,
        "int" => Builtin::Int,
        "int8" => Builtin::Int8,
        "int16" => Builtin::Int16,
        "int32" => Builtin::Int32,
        "int64" => Builtin::Int64,
        "number" | "double" => Builtin::Number,
        "size" => Builtin::Size,
        // A MAC address, the slot of a PCI device and a UUID are strings, too.
        "str" | "string" | "QemuUUID" => Builtin::Str,
        "uint8" => Builtin::Uint8,
        "uint16" => Builtin::Uint16,
        "uint32" => Builtin::Uint32,
        "uint64" => Builtin::Uint64,
        link if link.starts_with("link<") => Builtin::Str,
        _ => return None,
    })
}

/// Returns whether a name can be that of a type in QAPI.
fn is_type_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !name.ends_with("List")
}

/// Returns the first list of values in a description, such as `on/off/auto`.
fn values(description: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    let mut words = description.split(|c: char| !is_part(c));
    words.find(|word| {
        word.split('/').count() > 1
            && word.split('/').all(|value| {
                value.starts_with(|c: char| c.is_ascii_alphanumeric()) && value.len() <= 64
            })
    })
}

/// Returns whether two names are the same in C, where `-` and `.` become `_`.
pub(super) fn is_same_in_c(one: &str, other: &str) -> bool {
    mangled(one) == mangled(other)
}

/// Returns a name as it is in C.
pub(super) fn mangled(name: &str) -> String {
    name.replace(['-', '.', ',', '+'], "_")
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn values_are_found_in_descriptions() {
        for (description, expected) in [
            ("on/off/auto", Some("on/off/auto")),
            ("Error handling policy (report/ignore/stop)", Some("report/ignore/stop")),
            ("2_5/5/8", Some("2_5/5/8")),
            ("A power of two between 512 B and 2 MiB", None),
            ("see /usr/share", None),
            ("a//b", None),
            ("", None),
        ] {
            assert_eq!(values(description), expected, "{description}");
        }
    }
}
