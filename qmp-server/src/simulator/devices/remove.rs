//! `device_del`, and what happens when the guest releases a device.

use qmp_types::QmpError;
use qmp_types::qmp::events::DeviceDeleted;

use super::buses::provides;
use crate::context::Context;
use crate::simulator::machine::{Device, Machine};
use crate::simulator::qom::Named;
use crate::simulator::replies::{Reply, done, not_found, refuse};

impl Machine {
    pub(in crate::simulator) fn delete_device(
        &mut self,
        name: &str,
        context: &mut Context,
    ) -> Reply {
        let path = self.removable_device(name)?;
        let releases = self.releases_devices && self.is_running();
        let is_running = self.is_running();
        let Some(device) = self.device_at(&path) else { return Err(not_found(name)) };
        // A guest that runs may be asked again.
        if device.unplug_pending && !is_running {
            return refuse(format!("Device {name} is already in the process of unplug"));
        }
        let needs_guest = matches!(device.model.bus, Some("PCI") | None);
        if needs_guest {
            device.unplug_pending = true;
            if releases {
                // The guest takes its time, so the events are sent after the reply.
                context.after_reply(|context| self.finish_unplugs(context));
            }
        } else {
            let at = self.devices.iter().position(|device| device.path == path);
            at.into_iter().for_each(|at| self.unplug(at, context));
        }
        done()
    }

    /// Returns the path of the device that a command names, if it can be removed.
    fn removable_device(&self, name: &str) -> Result<String, QmpError> {
        let device = match self.named_device(name)? {
            Named::Device(device) => device,
            Named::BackEnd(_) => return refuse("Bus 'virtio-bus' does not support hotplugging"),
            Named::BootCpu => return refuse("Boot CPU is unpluggable"),
        };
        let buses = self.buses();
        let bus = device.bus.as_ref().and_then(|name| buses.iter().find(|bus| bus.name == *name));
        if let Some(bus) = bus.filter(|bus| !bus.is_hotpluggable) {
            return refuse(format!("Bus '{}' does not support hotplugging", bus.name));
        }
        Ok(device.path.clone())
    }

    /// Removes the devices for which an unplug is pending, because the guest has released them or
    /// because of a reset.
    pub(in crate::simulator) fn finish_unplugs(&mut self, context: &mut Context) {
        loop {
            let pending = self.devices.iter().position(|device| device.unplug_pending);
            let Some(at) = pending else { return };
            self.unplug(at, context);
        }
    }

    /// Removes a device, after those that are plugged into it and into those.
    fn unplug(&mut self, at: usize, context: &mut Context) {
        for path in self.plugged_into(&self.devices[at].path) {
            let found = self.devices.iter().position(|device| device.path == path);
            let Some(at) = found else { continue };
            let device = &self.devices[at];
            let medium = device.drive.as_ref().and(device.string("drive")).map(str::to_owned);
            if let Some(medium) = medium {
                self.cancel_jobs_on(&medium, context);
            }
            let device = self.devices.remove(at);
            if let Some(back_end) = device.back_end() {
                context.emit(&DeviceDeleted::new(back_end));
            }
            context.emit(&deleted(&device));
            self.release_drive(&device);
        }
    }

    /// Returns the paths of the devices on the buses of a device and of those devices, the lowest
    /// ones first, and of the device itself.
    fn plugged_into(&self, path: &str) -> Vec<String> {
        let (mut found, mut pending) = (Vec::new(), vec![path.to_owned()]);
        while let Some(path) = pending.pop() {
            let mut devices = self.devices.iter();
            let device = devices.find(|device| device.path == path && !found.contains(&path));
            found.extend(device.map(|device| device.path.clone()));
            let kind = device.and_then(|device| Some((device, provides(&device.driver)?)));
            if let Some((device, kind)) = kind {
                let bus = self.bus_name(device, kind);
                pending.extend(self.on_bus(&bus).map(|child| child.path.clone()));
            }
        }
        found.reverse();
        found
    }
}

fn deleted(device: &Device) -> DeviceDeleted {
    let event = DeviceDeleted::new(device.path.as_str());
    match &device.id {
        Some(id) => event.device(id),
        None => event,
    }
}
