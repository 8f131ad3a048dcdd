//! `device_add`.

use qmp_types::QmpError;
use serde_json::{Map, Value};

use super::buses::Bus;
use super::values;
use crate::simulator::facts::{self, Driver};
use crate::simulator::machine::{Device, Machine};
use crate::simulator::replies::{Arguments, is_identifier, refuse};

impl Machine {
    /// Adds a device while the machine runs. The checks are in QEMU's order, so that a request with
    /// several errors gets the same reply.
    pub(super) fn add_device(&mut self, arguments: &Arguments) -> Result<(), QmpError> {
        let given = arguments.required("driver");
        let (name, driver) = model(given)?;
        let bus = self.find_bus(&name, driver, arguments.text("bus"))?;
        if let Some(bus) = bus.as_ref().filter(|bus| !bus.is_hotpluggable) {
            return refuse(format!("Bus '{}' does not support hotplugging", bus.name));
        }
        if !is_hotpluggable(driver) {
            return refuse(format!("Device '{name}' does not support hotplugging"));
        }
        self.create_device(&name, driver, bus, arguments, true)
    }

    /// Adds a device that the machine is built with.
    pub(in crate::simulator) fn add_cold_device(
        &mut self,
        arguments: &Arguments,
    ) -> Result<(), QmpError> {
        let (name, driver) = model(arguments.required("driver"))?;
        let bus = self.find_bus(&name, driver, arguments.text("bus"))?;
        self.create_device(&name, driver, bus, arguments, false)
    }

    fn create_device(
        &mut self,
        name: &str,
        driver: &'static Driver,
        bus: Option<Bus>,
        arguments: &Arguments,
        is_hotplugged: bool,
    ) -> Result<(), QmpError> {
        let id = arguments.text("id").map(str::to_owned);
        if let Some(id) = &id {
            if !is_identifier(id) {
                return refuse(format!("Invalid qdev ID '{id}'"));
            }
            if self.devices.iter().any(|device| device.id.as_ref() == Some(id)) {
                return refuse(format!("Duplicate device ID '{id}'"));
            }
        }
        self.check_room(self.devices.len(), 1, "devices")?;
        let mut properties: Map<String, Value> = arguments.0.clone();
        for name in ["driver", "id", "bus"] {
            properties.remove(name);
        }
        for (property, value) in &properties {
            self.check_property(name, driver, property, value)?;
        }
        let path = match &id {
            Some(id) => format!("/machine/peripheral/{id}"),
            None => {
                let number = self.next_anonymous;
                self.next_anonymous += 1;
                format!("/machine/peripheral-anon/device[{number}]")
            }
        };
        let network_name = id.clone().unwrap_or_else(|| {
            let same = self.devices.iter().filter(|device| device.driver == name);
            format!("{name}.{}", same.count())
        });
        let mut device = Device {
            id,
            driver: name.to_owned(),
            model: driver,
            path,
            properties,
            drive: None,
            hotplugged: is_hotplugged,
            bus: bus.map(|bus| bus.name),
            address: None,
            tray_open: false,
            unplug_pending: false,
            network_name,
            link_up: true,
        };
        self.attach_drive(&mut device)?;
        self.realize(&mut device)?;
        self.note_attached(&device);
        self.devices.push(device);
        Ok(())
    }

    fn check_property(
        &self,
        name: &str,
        driver: &'static Driver,
        property: &str,
        value: &Value,
    ) -> Result<(), QmpError> {
        let Some(known) = driver.property(property) else {
            return refuse(format!("Property '{name}.{property}' not found"));
        };
        let owner = match driver.backend.filter(|_| known.is_inner) {
            Some(backend) => backend,
            None => name,
        };
        values::check(known, owner, value)?;
        self.check_reference(known, owner, value)
    }
}

/// Finds the model that a user names.
fn model(given: &str) -> Result<(String, &'static Driver), QmpError> {
    if facts::is_type(given) && facts::is_abstract(given) && facts::is_a(given, "device") {
        return refuse("Parameter 'driver' expects a non-abstract device type");
    }
    let Some(driver) = facts::driver_or_alias(given) else {
        return refuse(match facts::is_a(given, "device") {
            true => "Parameter 'driver' expects a pluggable device type".to_owned(),
            false => format!("'{given}' is not a valid device model name"),
        });
    };
    if driver.bus == Some("System") {
        return refuse("Parameter 'driver' expects a dynamic sysbus device type for the machine");
    }
    if driver.is_cold {
        return refuse("Parameter 'driver' expects a pluggable device type");
    }
    let name = if facts::is_type(given) { given } else { driver.name };
    Ok((name.to_owned(), driver))
}

/// Returns whether devices of a model can be added to a running machine.
fn is_hotpluggable(driver: &Driver) -> bool {
    !matches!(
        driver.name,
        "VGA"
            | "ati-vga"
            | "bochs-display"
            | "cirrus-vga"
            | "secondary-vga"
            | "virtio-gpu-pci"
            | "virtio-iommu-pci"
            | "virtio-vga"
            | "vhost-user-gpu-pci"
            | "vhost-user-vga"
            | "vmcoreinfo"
            | "vmgenid"
            | "vmware-svga"
            | "vfio-pci-nohotplug"
    )
}
