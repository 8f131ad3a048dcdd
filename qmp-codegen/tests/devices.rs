//! Imports devices: recorded ones, and those of a QEMU that answers anything.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::path::Path;

use qmp_codegen::devices::{DeviceProperty, DeviceType, MAX_DEVICES, import};
use qmp_codegen::diff::diff;
use qmp_codegen::schema::{Schema, Type, TypeKind};
use qmp_codegen::{Builder, Root, load, text};
use serde_json::Value;

const RECORDED: &str = include_str!("data/devices.json");

fn recorded() -> Vec<DeviceType> {
    let devices: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let property = |value: &Value| DeviceProperty {
        name: text(&value["name"]),
        ty: text(&value["type"]),
        description: value.get("description").map(text),
        default: value.get("default-value").cloned(),
    };
    let device = |value: &Value| DeviceType {
        name: text(&value["name"]),
        ancestors: value["ancestors"].as_array().unwrap().iter().map(text).collect(),
        properties: value["properties"].as_array().unwrap().iter().map(property).collect(),
    };
    devices.iter().map(device).collect()
}

fn device(name: &str, properties: &[(&str, &str)]) -> DeviceType {
    let property = |(name, ty): &(&str, &str)| DeviceProperty {
        name: (*name).to_owned(),
        ty: (*ty).to_owned(),
        ..DeviceProperty::default()
    };
    DeviceType {
        name: name.to_owned(),
        ancestors: vec!["device".to_owned()],
        properties: properties.iter().map(property).collect(),
    }
}

fn loaded(text: &str) -> Schema {
    let root = Root::Text { name: "devices.json".to_owned(), text: text.to_owned() };
    load([root]).unwrap_or_else(|error| panic!("{error}")).schema
}

fn found<'s>(schema: &'s Schema, name: &str) -> &'s Type {
    schema.types.iter().find(|ty| ty.definition.name == name).unwrap()
}

/// Returns the names of the members of a struct itself.
fn own<'s>(schema: &'s Schema, name: &str) -> Vec<&'s str> {
    let TypeKind::Struct(data) = &found(schema, name).kind else { panic!("{name}") };
    data.members.iter().map(|member| member.name.as_str()).collect()
}

/// The golden is compiled, with warnings denied, by the test of all goldens.
#[test]
fn recorded_devices_become_a_schema() {
    let imported = import(&recorded()).unwrap();
    let text = text::write(&imported.schema);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/devices.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "BLESS=1 rewrites it");
    let schema = loaded(&text);
    assert!(diff(&imported.schema, &schema).changes.is_empty());
    let rust = Builder::new().generate_from(&schema).unwrap();
    assert_eq!(rust, Builder::new().generate_from(&imported.schema).unwrap());
}

#[test]
fn names_stay_as_they_are_on_the_wire() {
    let schema = import(&recorded()).unwrap().schema;
    let TypeKind::Enum(drivers) = &found(&schema, "DeviceDriver").kind else { panic!() };
    let drivers: Vec<&str> = drivers.values.iter().map(|value| value.name.as_str()).collect();
    assert!(
        drivers.contains(&"cfi.pflash01") && drivers.contains(&"486-x86_64-cpu"),
        "{drivers:?}"
    );
    // Of `sse4.1`, `sse4-1` and `sse4_1`, which are the same, it is the one that QAPI has.
    let cpu = own(&schema, "Device486X8664Cpu");
    let sse: Vec<&str> = cpu.iter().copied().filter(|name| name.starts_with("sse4")).collect();
    assert_eq!(sse, ["sse4-1", "sse4-2", "sse4a"]);
    assert!(cpu.contains(&"3dnow"), "{cpu:?}");
    // What all devices of a type have is in its base.
    assert!(own(&schema, "PciDeviceBase").contains(&"multifunction"));
    assert!(!own(&schema, "PcieRootPort").contains(&"multifunction"));
    assert_eq!(own(&schema, "DeviceBase"), ["id", "bus"]);
}

/// Whatever a QEMU answers, the text is valid, and describes the same schema.
#[test]
fn any_answer_becomes_a_valid_schema_or_is_left_out() {
    let hostile = "'} }\n##\n# @x: \u{1b}[2J\u{202e} Returns: = * `a` <b>";
    let mut devices = vec![
        device("", &[("a", "str")]),
        device(hostile, &[("a", "str")]),
        device(&"long-".repeat(1000), &[("a", "str")]),
        device("same-name", &[("a", "str")]),
        device("same_name", &[("a", "str")]),
        device("List", &[("u", "str"), ("has-x", "int"), ("q-x", "bool"), ("type", "size")]),
        device("device", &[("id", "str"), ("bus", "str"), ("driver", "str"), ("x.y,z+1", "bool")]),
        device("Device-driver", &[(hostile, "str"), ("a", hostile), ("", "str"), ("A_b", "OnOff")]),
        device("9", &[("a-b", "str"), ("a_b", "int"), ("a.b", "bool"), ("c", "child<x>")]),
    ];
    for property in devices.iter_mut().flat_map(|device| &mut device.properties) {
        property.description = Some(format!("{hostile} on/off/ON/o-f/o_f/{}", "x".repeat(500)));
        property.default = Some(Value::from(hostile));
    }
    // Ancestors that are a circle, and a device that is its own ancestor.
    devices[5].ancestors = vec!["List".to_owned(), "device".to_owned(), "List".to_owned()];
    devices[6].ancestors = vec!["9".to_owned(), "List".to_owned()];
    devices[8].ancestors = vec!["List".to_owned(), "9".to_owned()];
    let imported = import(&devices).unwrap();
    let text = text::write(&imported.schema);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    assert!(text.is_ascii(), "{text}");
    let schema = loaded(&text);
    assert!(diff(&imported.schema, &schema).changes.is_empty());
    Builder::new().generate_from(&schema).unwrap();
    let left_out: Vec<&str> = imported.left_out.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["", hostile, "same_name", "device.id", "device.bus", "device.driver"] {
        assert!(left_out.contains(&name), "{name}: {left_out:?}");
    }
    assert_eq!(imported.children, 1);
}

#[test]
fn the_size_is_limited() {
    let devices = vec![DeviceType::default(); MAX_DEVICES + 1];
    assert!(import(&devices).unwrap_err().contains("too many"));
    assert!(import(&[]).is_err());
    assert!(import(&[device("\n", &[])]).is_err());
}

/// Names that are different to QEMU can be the same as types; finding free ones takes linear time.
#[test]
fn thousands_of_names_are_the_same_as_types() {
    // In `CamelCase`, an `A` is the same with and without a hyphen before it.
    let name = |number: usize| -> String {
        let letters = (0..13).map(|bit| if (number >> bit) & 1 == 1 { "-A" } else { "A" });
        format!("disk{}", letters.collect::<String>())
    };
    let devices: Vec<DeviceType> = (0..1 << 13).map(|number| device(&name(number), &[])).collect();
    let imported = import(&devices).unwrap();
    assert!(imported.left_out.is_empty());
    let last = format!("Disk{}8192", "A".repeat(13));
    assert!(imported.schema.types.iter().any(|ty| ty.definition.name == last));
}

/// A property that another release has, has no longer, or has with another type.
#[test]
fn a_difference_names_devices_and_properties() {
    let old = device("disk", &[("gone", "bool"), ("size", "uint32")]);
    let new = device("disk", &[("new", "bool"), ("size", "str")]);
    let schema = |devices: &[DeviceType]| import(devices).unwrap().schema;
    let difference = diff(&schema(&[old.clone(), device("old", &[])]), &schema(&[new]));
    let lines: Vec<String> = difference.changes.iter().map(ToString::to_string).collect();
    for expected in
        ["value 'old' removed", "disk).gone: removed", "disk).new: added", "disk).size: type"]
    {
        assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:#?}");
    }
}
