//! Memory: back ends, modules and devices that give memory to the guest.

use qmp_types::QmpError;
use qmp_types::qmp::commands::{QueryMemdev, QueryMemoryDevices, QueryMemorySizeSummary};
use qmp_types::qmp::events::MemoryDeviceSizeChange;
use serde_json::{Value, json};

use super::machine::{Device, Machine, Object};
use super::replies::{Handle, refuse};
use crate::router::Router;

/// The granularity in bytes of a `virtio-mem` device.
const BLOCK_SIZE: u64 = 2 << 20;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<QueryMemorySizeSummary>(|machine, _, _| {
            let plugged: u64 = machine.modules().map(|device| machine.module_size(device)).sum();
            Ok(json!({"base-memory": machine.memory, "plugged-memory": plugged}))
        })
        .on::<QueryMemoryDevices>(|machine, _, _| Ok(machine.query_memory_devices()))
        .on::<QueryMemdev>(|machine, _, _| Ok(machine.query_memdev()))
        .event::<MemoryDeviceSizeChange>()
}

impl Machine {
    fn modules(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| {
            matches!(device.model.name, "pc-dimm" | "nvdimm" | "virtio-mem-pci" | "virtio-pmem-pci")
        })
    }

    fn module_size(&self, device: &Device) -> u64 {
        if device.model.name == "virtio-mem-pci" {
            return device.requested();
        }
        let backend = device.string("memdev").and_then(|id| self.memory_backend(id));
        backend.map(backend_size).unwrap_or_default()
    }

    fn memory_backend(&self, id: &str) -> Option<&Object> {
        let id = id.strip_prefix("/objects/").unwrap_or(id);
        self.objects
            .iter()
            .find(|object| object.id == id && object.kind.starts_with("memory-backend"))
    }

    /// Checks that memory can be added with this device.
    pub(super) fn realize_memory(&self, device: &mut Device) -> Result<(), QmpError> {
        let (slots, max) = self.memory_slots;
        let is_module = matches!(device.model.name, "pc-dimm" | "nvdimm");
        let memdev = device.string("memdev").map(str::to_owned);
        if device.model.name == "nvdimm" {
            return refuse("nvdimm is not enabled: missing 'nvdimm' in '-M'");
        }
        let used = self.modules().filter(|other| other.model.name == "pc-dimm").count() as u64;
        if is_module && slots == 0 {
            return refuse("no slots where allocated, please specify the 'slots' option");
        }
        if max == 0 {
            return refuse(
                "the configuration is not prepared for memory devices (e.g., for memory hotplug), \
                 consider specifying the maxmem option",
            );
        }
        let Some(memdev) = memdev else {
            return refuse("'memdev' property is not set");
        };
        if self.modules().any(|other| other.string("memdev") == Some(&memdev)) {
            let owner = if is_module {
                "can't use already busy memdev"
            } else {
                "'memdev' property specifies a busy memory backend"
            };
            return refuse(format!("{owner}: {memdev}"));
        }
        if is_module && used >= slots {
            return refuse("no free slots available");
        }
        let size = self.memory_backend(&memdev).map(backend_size).unwrap_or_default();
        let plugged: u64 = self.modules().map(|device| self.module_size(device)).sum();
        let room = max.saturating_sub(self.memory).saturating_sub(plugged);
        if size > room {
            return refuse(format!(
                "not enough space, currently 0x{plugged:x} in use of total space for memory devices 0x{:x}",
                max.saturating_sub(self.memory)
            ));
        }
        if is_module {
            let taken = |slot: i64| self.modules().any(|other| number(other, "slot") == Some(slot));
            let free = (0..).find(|slot| !taken(*slot));
            device.properties.entry("slot").or_insert_with(|| free.unwrap_or_default().into());
            let slot = number(device, "slot").unwrap_or_default();
            if slot >= 0 && u64::try_from(slot).unwrap_or_default() >= slots {
                return refuse(format!(
                    "invalid slot number {slot}, valid range is [0-{}]",
                    slots - 1
                ));
            }
            let address = (4_u64 << 30).saturating_add(plugged);
            device.properties.entry("addr").or_insert_with(|| address.into());
        } else {
            let requested = device.requested();
            check_requested(requested, size)?;
        }
        Ok(())
    }

    /// Sets how much memory a `virtio-mem` device is to give to the guest.
    pub(super) fn request_memory(&mut self, path: &str, requested: u64) -> Result<(), QmpError> {
        let Some(device) = self.devices.iter().find(|device| device.path == path) else {
            return Ok(());
        };
        let memdev = device.string("memdev").unwrap_or_default();
        let size = self.memory_backend(memdev).map(backend_size).unwrap_or_default();
        check_requested(requested, size)?;
        if let Some(device) = self.device_at(path) {
            device.properties.insert("requested-size".to_owned(), requested.into());
        }
        Ok(())
    }

    fn query_memory_devices(&self) -> Value {
        let infos = self.modules().map(|device| {
            let memdev = device.string("memdev").unwrap_or_default();
            let memdev = memdev.strip_prefix("/objects/").unwrap_or(memdev);
            let path = format!("/objects/{memdev}");
            let size = self.memory_backend(memdev).map(backend_size).unwrap_or_default();
            let mut data = json!({
                "memdev": path,
                "node": number(device, "node").unwrap_or_default(),
                "size": self.module_size(device),
            });
            if let Some(id) = &device.id {
                data["id"] = id.as_str().into();
            }
            let kind = match device.model.name {
                "virtio-mem-pci" => {
                    data["memaddr"] = (4_u64 << 30).into();
                    data["requested-size"] = device.requested().into();
                    // No driver of the guest has taken any of it.
                    data["size"] = 0.into();
                    data["max-size"] = size.into();
                    data["block-size"] = BLOCK_SIZE.into();
                    "virtio-mem"
                }
                _ => {
                    data["addr"] = device.properties.get("addr").cloned().unwrap_or(0.into());
                    data["slot"] = number(device, "slot").unwrap_or_default().into();
                    data["hotplugged"] = device.hotplugged.into();
                    data["hotpluggable"] = true.into();
                    "dimm"
                }
            };
            json!({"type": kind, "data": data})
        });
        infos.collect()
    }

    fn query_memdev(&self) -> Value {
        let backends =
            self.objects.iter().rev().filter(|object| object.kind.starts_with("memory-backend"));
        let infos = backends.map(|object| {
            let flag = |name: &str, default: bool| {
                object.properties.get(name).and_then(Value::as_bool).unwrap_or(default)
            };
            let is_shared =
                object.kind != "memory-backend-ram" && object.kind != "memory-backend-file";
            json!({
                "id": object.id,
                "size": backend_size(object),
                "merge": flag("merge", true),
                "dump": flag("dump", true),
                "prealloc": flag("prealloc", false),
                "share": flag("share", is_shared),
                "reserve": flag("reserve", true),
                "host-nodes": object.properties.get("host-nodes").cloned().unwrap_or(json!([])),
                "policy": object.properties.get("policy").cloned().unwrap_or("default".into()),
            })
        });
        let main = json!({
            "id": "pc.ram",
            "size": self.memory,
            "merge": true,
            "dump": true,
            "prealloc": false,
            "share": false,
            "reserve": true,
            "host-nodes": [],
            "policy": "default",
        });
        infos.chain([main]).collect()
    }

    /// Returns whether a memory back end is used by a device.
    pub(super) fn is_mapped(&self, id: &str) -> bool {
        self.modules().any(|device| {
            device
                .string("memdev")
                .is_some_and(|memdev| memdev.strip_prefix("/objects/").unwrap_or(memdev) == id)
        })
    }
}

impl Device {
    /// Returns the size in bytes that a `virtio-mem` device is to have.
    fn requested(&self) -> u64 {
        self.properties.get("requested-size").and_then(Value::as_u64).unwrap_or_default()
    }
}

fn check_requested(requested: u64, size: u64) -> Result<(), QmpError> {
    if requested % BLOCK_SIZE != 0 {
        return refuse(format!(
            "'requested-size' has to be multiples of 'block-size' (0x{BLOCK_SIZE:x})"
        ));
    }
    if requested > size {
        return refuse(format!(
            "'requested-size' cannot exceed the memory backend size(0x{size:x})"
        ));
    }
    Ok(())
}

fn number(device: &Device, name: &str) -> Option<i64> {
    device.properties.get(name).and_then(Value::as_i64)
}

fn backend_size(object: &Object) -> u64 {
    object.properties.get("size").and_then(Value::as_u64).unwrap_or_default()
}
