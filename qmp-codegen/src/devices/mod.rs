//! Devices, as a QEMU lists them, as a schema.
//!
//! QAPI does not describe devices: `device_add` takes a name and any properties. A QEMU tells them:
//! `qom-list-types` the types, and `device-list-properties` the properties of each.
//!
//! ```text
//! DeviceType (name, ancestors, properties as answered)
//!     ──accept──> names that can be written, types of the schema; the rest is left out, with reasons
//!     ──bases───> what all devices of an ancestor have, once
//!     ──build───> Schema: an enumeration of drivers, a struct for each device, a union of them by
//!                 `driver`, and the command `device_add`, which takes that union
//! ```
//!
//! What QEMU answers is not trusted: names that cannot be written are left out, text is reduced to
//! one printable line, and the numbers of devices and properties are limited.

mod accept;
mod bases;
mod build;
mod kind;

use serde_json::Value;

use crate::schema::Schema;

/// The largest number of devices.
pub const MAX_DEVICES: usize = 10_000;
/// The largest number of properties of all devices. QEMU 11.1 has a tenth of it.
pub const MAX_PROPERTIES: usize = 1_000_000;

/// A type of devices, as a QEMU describes it.
#[derive(Clone, Debug, Default)]
pub struct DeviceType {
    /// The name, which `device_add` takes as `driver`.
    pub name: String,
    /// The types that it inherits from, the nearest first.
    pub ancestors: Vec<String>,
    /// The reply to `device-list-properties`.
    pub properties: Vec<DeviceProperty>,
}

/// A property of a device, as a QEMU describes it.
#[derive(Clone, Debug, Default)]
pub struct DeviceProperty {
    /// The name.
    pub name: String,
    /// QEMU's name of the type, such as `uint32`, `OnOffAuto` or `link<iothread>`.
    pub ty: String,
    /// A description, which may list values, such as `on/off/auto`.
    pub description: Option<String>,
    /// The default.
    pub default: Option<Value>,
}

/// A schema of devices.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The schema, whose only command is `device_add`.
    pub schema: Schema,
    /// The devices and properties that the schema does not have, as `DRIVER` or `DRIVER.PROPERTY`,
    /// each with the reason. Names are as received.
    pub left_out: Vec<(String, &'static str)>,
    /// The number of properties that are children, which no client can set, and which are left out.
    pub children: usize,
}

/// Converts the devices of a QEMU to a schema.
///
/// Every name stays as it is on the wire: the pragma `foreign-name-exceptions` permits those that
/// QAPI does not have, such as `sse4.1`. Of names that only differ in `-`, `_` and `.`, which QEMU has
/// as aliases, one is in the schema. Values of enumerations are those that descriptions list. A link
/// is a string, and a value of a type that is not known is `any`. Which properties can be written is
/// not known, and neither are the elements of the arrays of QEMU before 9.0, such as `ports[0]`.
///
/// # Errors
/// The number of devices or of properties is beyond [`MAX_DEVICES`] or [`MAX_PROPERTIES`], or no
/// device remains.
pub fn import(devices: &[DeviceType]) -> Result<Imported, String> {
    let properties = devices.iter().map(|device| device.properties.len()).sum::<usize>();
    if devices.len() > MAX_DEVICES || properties > MAX_PROPERTIES {
        return Err(format!(
            "{} devices with {properties} properties are too many: at most {MAX_DEVICES} and \
             {MAX_PROPERTIES} can be imported",
            devices.len()
        ));
    }
    let kinds = kind::Kinds::of(devices);
    let accepted = accept::accept(devices, &kinds);
    if accepted.devices.is_empty() {
        return Err("no devices to import".to_owned());
    }
    let bases = bases::Bases::of(&accepted.devices);
    let schema = build::schema(&accepted, &bases, &kinds);
    Ok(Imported { schema, left_out: accepted.left_out, children: accepted.children })
}
