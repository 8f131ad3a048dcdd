//! Checks the values of properties, with QEMU's error messages.

use qmp_types::QmpError;
use serde_json::Value;

use crate::simulator::facts::Property;
use crate::simulator::replies::refuse;

/// Checks that a value is one of a property's. `owner` is the type that has the property.
pub(in crate::simulator) fn check(
    property: &Property,
    owner: &str,
    value: &Value,
) -> Result<(), QmpError> {
    let name = property.name;
    // What a device reports cannot be set. The recorded facts do not tell.
    let reports = matches!(
        (owner, name),
        ("pc-dimm" | "nvdimm" | "virtio-mem", "size") | ("virtio-balloon-device", "guest-stats")
    ) || (name == "attached" && owner.starts_with("usb-"));
    if reports {
        return refuse(format!("Property '{owner}.{name}' is not writable"));
    }
    match property.kind {
        "bool" => expect(value.is_boolean(), name, "boolean"),
        "uint8" => unsigned(name, value, Some(8)),
        "uint16" => unsigned(name, value, Some(16)),
        "uint32" => unsigned(name, value, Some(32)),
        "uint64" | "size" | "blocksize" => {
            unsigned(name, value, None)?;
            match property.kind {
                "blocksize" => block_size(name, value),
                _ => Ok(()),
            }
        }
        "int8" => signed(name, value, 8),
        "int16" => signed(name, value, 16),
        "int32" => signed(name, value, 32),
        "int" | "int64" => expect(value.is_i64(), name, "integer"),
        "slot" if value.is_string() || value.is_i64() || value.is_u64() || value.is_f64() => {
            slot(name, owner, value)
        }
        "slot" => refuse(format!("Invalid parameter type for '{name}', expected int or str")),
        "mac" => {
            expect(value.is_string(), name, "string")?;
            let text = value.as_str().unwrap_or_default();
            match parse_mac(text) {
                Some(_) => Ok(()),
                None => refuse(format!("Property '{owner}.{name}' doesn't take value '{text}'")),
            }
        }
        "list" | "IOThreadVirtQueueMappingList" => list(name, value),
        kind if kind.starts_with("enum:") => {
            expect(value.is_string(), name, "string")?;
            let text = value.as_str().unwrap_or_default();
            match kind["enum:".len()..].split('/').any(|known| known == text) {
                true => Ok(()),
                false => refuse(format!("Parameter '{name}' does not accept value '{text}'")),
            }
        }
        kind if kind.starts_with("child<") => {
            refuse(format!("Property '{owner}.{name}' is not writable"))
        }
        "busnr" => refuse(format!("Property '{owner}.{name}' is not writable")),
        _ => expect(value.is_string(), name, "string"),
    }
}

/// Checks the elements of a list, whose types only the names of properties tell.
fn list(name: &str, value: &Value) -> Result<(), QmpError> {
    expect(value.is_array(), name, "array")?;
    let elements = value.as_array().into_iter().flatten().enumerate();
    for (at, element) in elements {
        let name = format!("{name}[{at}]");
        match name.split('[').next().unwrap_or_default() {
            "stats-intervals" => unsigned(&name, element, Some(32))?,
            "iothread-vq-mapping" => expect(element.is_object(), &name, "object")?,
            _ => expect(element.is_string(), &name, "string")?,
        }
    }
    Ok(())
}

fn expect(fits: bool, name: &str, kind: &str) -> Result<(), QmpError> {
    match fits {
        true => Ok(()),
        false => refuse(format!("Invalid parameter type for '{name}', expected: {kind}")),
    }
}

/// QEMU takes negative numbers as the unsigned ones with the same bits.
fn unsigned(name: &str, value: &Value, bits: Option<u32>) -> Result<(), QmpError> {
    let number = value.as_u64().or_else(|| value.as_i64().map(unsigned_bits));
    match (number, bits) {
        (None, _) => refuse(format!("Parameter '{name}' expects uint64")),
        (Some(number), Some(bits)) if number >> bits != 0 => {
            refuse(format!("Parameter '{name}' expects uint{bits}_t"))
        }
        _ => Ok(()),
    }
}

fn signed(name: &str, value: &Value, bits: u32) -> Result<(), QmpError> {
    expect(value.is_i64(), name, "integer")?;
    let limit = 1_i64 << (bits - 1);
    match value.as_i64().is_some_and(|number| (-limit..limit).contains(&number)) {
        true => Ok(()),
        false => refuse(format!("Parameter '{name}' expects int{bits}_t")),
    }
}

fn block_size(name: &str, value: &Value) -> Result<(), QmpError> {
    let fits = value.as_u64().is_some_and(|size| {
        size == 0 || (size.is_power_of_two() && (512..=2 << 20).contains(&size))
    });
    match fits {
        true => Ok(()),
        false => refuse(format!("parameter {name} must be a power of 2 between 512 and 2097152")),
    }
}

fn slot(name: &str, owner: &str, value: &Value) -> Result<(), QmpError> {
    let Some(text) = value.as_str() else { return signed(name, value, 32) };
    match parse_slot(text) {
        Some(_) => Ok(()),
        None => refuse(format!("Property '{owner}.{name}' doesn't take value '{text}'")),
    }
}

/// Reads a PCI address: a slot in hexadecimal, and optionally a function.
pub(super) fn parse_slot(text: &str) -> Option<(u8, u8)> {
    let (slot, function) = text.split_once('.').unwrap_or((text, "0"));
    let slot = u8::from_str_radix(slot, 16).ok().filter(|slot| *slot < 32)?;
    let function = u8::from_str_radix(function, 16).ok().filter(|function| *function < 8)?;
    Some((slot, function))
}

/// Reads a MAC address, with colons or hyphens, and returns it as QEMU shows it.
pub(super) fn parse_mac(text: &str) -> Option<String> {
    let is_byte = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<_> = text.split([':', '-']).collect();
    let is_mac = parts.len() == 6 && parts.iter().all(|part| is_byte(part));
    is_mac.then(|| parts.join(":").to_ascii_lowercase())
}

/// Returns the unsigned number with the same bits.
fn unsigned_bits(number: i64) -> u64 {
    u64::from_ne_bytes(number.to_ne_bytes())
}
