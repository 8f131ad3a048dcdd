//! The properties of a type of devices, as a live QEMU tells them.

use std::collections::HashMap;

use qmp_client::{Error, Result};
use qmp_types::ErrorClass;
use qmp_types::qmp::commands::DeviceListProperties;
use qmp_types::qmp::types::ObjectPropertyInfo;

use crate::monitor::Monitor;

pub(crate) async fn capabilities<M: Monitor>(
    vm: &M,
    driver: &str,
) -> Result<Option<DeviceCapabilities>> {
    match vm.execute(DeviceListProperties::new(driver)).await {
        Ok(properties) => Ok(Some(DeviceCapabilities::new(properties))),
        Err(Error::Server(error)) if error.error.class == ErrorClass::DeviceNotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The properties of a type of devices, from `device-list-properties`: see
/// [`device_capabilities`](crate::Workflows::device_capabilities).
#[derive(Clone, Debug)]
pub struct DeviceCapabilities {
    properties: HashMap<String, ObjectPropertyInfo>,
}

impl DeviceCapabilities {
    /// Reads a reply to `device-list-properties`.
    ///
    /// ```
    /// let device = qmp_vm::DeviceCapabilities::new(Vec::new());
    /// assert!(!device.has("iothread-vq-mapping"));
    /// ```
    #[must_use]
    pub fn new(properties: Vec<ObjectPropertyInfo>) -> Self {
        let named = properties.into_iter().map(|property| (property.name.clone(), property));
        Self { properties: named.collect() }
    }

    /// Returns whether the device has a property with this name.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_vm::Workflows;
    ///
    /// let disk = vm.device_capabilities("virtio-blk-pci")?;
    /// println!("{}", disk.is_some_and(|disk| disk.has("iothread-vq-mapping")));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn has(&self, property: &str) -> bool {
        self.properties.contains_key(property)
    }

    /// Returns what QEMU tells of a property: its type, such as `uint16` or `link<iothread>`, its
    /// default and its description, each as far as QEMU knows it.
    ///
    /// ```
    /// # fn example(device: &qmp_vm::DeviceCapabilities) {
    /// if let Some(property) = device.property("num-queues") {
    ///     println!("num-queues: {}", property.type_);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&ObjectPropertyInfo> {
        self.properties.get(name)
    }

    /// Returns all properties, in no particular order. Children, whose type is `child<...>`, and
    /// properties that can only be read are among them.
    ///
    /// ```
    /// # fn example(device: &qmp_vm::DeviceCapabilities) {
    /// for property in device.properties() {
    ///     println!("{}: {}", property.name, property.type_);
    /// }
    /// # }
    /// ```
    pub fn properties(&self) -> impl Iterator<Item = &ObjectPropertyInfo> {
        self.properties.values()
    }
}
