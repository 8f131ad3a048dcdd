//! Imports devices as a QEMU lists them. What is imported is a valid schema, as text too, from which
//! Rust is generated. Each line is a device with its ancestors, or, if it is indented, a property of the
//! device before: its name, its type, and a description.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmp_codegen::devices::{DeviceProperty, DeviceType, import};
use qmp_codegen::{Builder, Root, load, text};

fuzz_target!(|listed: &str| {
    let mut devices: Vec<DeviceType> = Vec::new();
    for line in listed.lines() {
        let mut words = line.trim_start().split('\t').map(str::to_owned);
        let name = words.next().unwrap_or_default();
        match devices.last_mut().filter(|_| line.starts_with(' ')) {
            Some(device) => device.properties.push(DeviceProperty {
                name,
                ty: words.next().unwrap_or_default(),
                description: words.next(),
                ..DeviceProperty::default()
            }),
            None => devices.push(DeviceType { name, ancestors: words.collect(), properties: Vec::new() }),
        }
    }
    let Ok(imported) = import(&devices) else { return };
    let root = Root::Text { name: "devices.json".to_owned(), text: text::write(&imported.schema) };
    let loaded = load([root]).unwrap_or_else(|error| panic!("{:?}", error.diagnostics));
    let tokens = Builder::new().tokens(&loaded.schema).expect("it can be generated");
    syn::parse2::<syn::File>(tokens).expect("it is Rust");
});
