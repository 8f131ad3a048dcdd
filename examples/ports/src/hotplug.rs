//! The hotplug module of a container runtime: one virtual machine for each sandbox, which grows when a
//! container is added to it, and shrinks when one is removed.
//!
//! Each method does a whole operation, or fails and leaves nothing in QEMU: [`Workflows`] undoes the
//! steps that were taken. Removing ends when the guest has released the device, not when QEMU has
//! accepted the request.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    BlockdevAdd, DeviceAdd, NetdevAdd, NetdevDel, ObjectAdd, ObjectDel, QueryHotpluggableCpus,
    QueryMemoryDevices, QueryPci,
};
use qmp_client::qmp::types::{
    BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile, BlockdevOptionsRaw,
    MemoryBackendFileProperties, MemoryDeviceInfo, Netdev, NetdevSocketOptions, NetdevTapOptions,
    NetdevType, ObjectOptions, ObjectOptionsQomType, PciDeviceInfo,
};
use qmp_client::{Options, Result};
use qmp_vm::{NicNames, Unplugged, Workflows};

/// A virtual machine that containers run in.
#[derive(Debug)]
pub struct Sandbox {
    vm: Client,
    /// The time that the guest has to release a device.
    patience: Duration,
}

/// The host's side of a NIC.
#[derive(Debug)]
pub enum Network {
    /// The queues of a tap device.
    Tap(Vec<OwnedFd>),
    /// A stream to a program that carries the frames.
    Socket(OwnedFd),
}

impl Sandbox {
    /// Connects to the monitor of a QEMU that may still be starting.
    ///
    /// # Errors
    /// QEMU does not listen in time, or does not speak QMP.
    pub fn connect(address: &str, patience: Duration) -> Result<Self> {
        let options = Options::new().wait_for_socket(patience).name(address);
        Ok(Self::new(Client::connect_with(address, &options)?, patience))
    }

    /// Uses an existing connection.
    #[must_use]
    pub fn new(vm: Client, patience: Duration) -> Self {
        Self { vm, patience }
    }

    /// Plugs in a disk whose image is an open file, and returns where the guest finds it: the slots on
    /// its way through PCI bridges, such as `02/00`.
    ///
    /// # Errors
    /// QEMU refuses a step. The earlier ones are undone.
    pub fn plug_disk(&self, id: &str, image: File, bus: Option<&str>) -> Result<Option<String>> {
        let node = node_of(id);
        let add_node = |path: &str| {
            let file = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(path));
            let raw = BlockdevOptionsRaw::new(BlockdevOptions::new(file));
            BlockdevAdd::new(BlockdevOptions::new(raw).node_name(node.as_str()))
        };
        let disk = DeviceAdd::new("virtio-blk-pci").id(id).property("drive", node.as_str());
        self.vm.plug_disk(image, &node, add_node, on(disk, bus))?;
        self.pci_path(id)
    }

    /// Removes a disk and closes its image.
    ///
    /// # Errors
    /// QEMU refuses, or the guest does not release the disk in time.
    pub fn unplug_disk(&self, id: &str) -> Result<Unplugged> {
        self.vm.unplug_disk(id, &node_of(id), self.patience)
    }

    /// Plugs in a NIC, and returns where the guest finds it.
    ///
    /// # Errors
    /// QEMU refuses a step. The earlier ones are undone, and the descriptors are closed.
    pub fn plug_nic(
        &self,
        id: &str,
        mac: &str,
        network: Network,
        bus: Option<&str>,
    ) -> Result<Option<String>> {
        let backend = backend_of(id);
        let (queues, is_tap) = match network {
            Network::Tap(queues) => (queues, true),
            Network::Socket(socket) => (vec![socket], false),
        };
        let nic = DeviceAdd::new("virtio-net-pci")
            .id(id)
            .property("netdev", backend.as_str())
            .property("mac", mac)
            .property("mq", queues.len() > 1)
            // One interrupt for each direction of each queue, one for control, one for changes.
            .property("vectors", 2 * queues.len() + 2);
        let add_backend = |names: &NicNames| {
            let names = names.queues.as_str();
            let options = match is_tap {
                true => NetdevType::Tap(NetdevTapOptions::new().fds(names)),
                false => NetdevType::Socket(NetdevSocketOptions::new().fd(names)),
            };
            NetdevAdd::new(Netdev::new(backend.as_str(), options))
        };
        self.vm.plug_nic(&backend, queues, [], add_backend, on(nic, bus))?;
        self.pci_path(id)
    }

    /// Removes a NIC and its backend.
    ///
    /// # Errors
    /// QEMU refuses, or the guest does not release the NIC in time.
    pub fn unplug_nic(&self, id: &str) -> Result<Unplugged> {
        let unplugged = self.vm.unplug(id, self.patience)?;
        if unplugged == Unplugged::Deleted {
            self.vm.execute(NetdevDel::new(backend_of(id)))?;
        }
        Ok(unplugged)
    }

    /// Plugs in CPUs, and returns how many: fewer than `count` if there are not enough free slots.
    ///
    /// # Errors
    /// QEMU refuses one. Those before it remain.
    pub fn plug_cpus(&self, count: u32) -> Result<u32> {
        let taken = self.plugged_cpus()?.len();
        for plugged in 0..count {
            // QEMU says what identifies a slot: nothing here depends on the architecture.
            if self.vm.plug_cpu(&format!("cpu-{}", taken + plugged as usize))?.is_none() {
                return Ok(plugged);
            }
        }
        Ok(count)
    }

    /// Removes the CPUs that were plugged in last, and returns how many the guest has released.
    ///
    /// # Errors
    /// QEMU refuses, or the guest does not answer in time.
    pub fn unplug_cpus(&self, count: u32) -> Result<u32> {
        let mut released = 0;
        for cpu in self.plugged_cpus()?.iter().rev().take(count as usize) {
            if self.vm.unplug(cpu, self.patience)? == Unplugged::Deleted {
                released += 1;
            }
        }
        Ok(released)
    }

    /// Plugs in memory that is shared with the processes that serve the guest's file systems.
    ///
    /// # Errors
    /// QEMU refuses a step. The memory is freed.
    pub fn plug_memory(&self, id: &str, bytes: u64) -> Result<()> {
        let backend = backend_of(id);
        let properties = MemoryBackendFileProperties::new(bytes, "/dev/shm").share(true);
        let properties = ObjectOptionsQomType::MemoryBackendFile(properties);
        let object = ObjectAdd::new(ObjectOptions::new(properties, backend.as_str()));
        let dimm = DeviceAdd::new("pc-dimm").id(id).property("memdev", backend.as_str());
        self.vm.plug_memory(&backend, object, dimm)
    }

    /// Removes memory. It is freed when the guest has released it, and not before.
    ///
    /// # Errors
    /// QEMU refuses, or the guest does not release the memory in time.
    pub fn unplug_memory(&self, id: &str) -> Result<Unplugged> {
        let unplugged = self.vm.unplug(id, self.patience)?;
        if unplugged == Unplugged::Deleted {
            self.vm.execute(ObjectDel::new(backend_of(id)))?;
        }
        Ok(unplugged)
    }

    /// Returns the number of bytes of memory that are plugged in.
    ///
    /// # Errors
    /// Those of `Client::execute`.
    pub fn plugged_memory(&self) -> Result<u64> {
        let devices = self.vm.execute(QueryMemoryDevices::new())?;
        let sizes = devices.iter().map(|device| match device {
            MemoryDeviceInfo::Dimm(dimm) if dimm.data.hotplugged => {
                u64::try_from(dimm.data.size).unwrap_or(0)
            }
            MemoryDeviceInfo::VirtioMem(memory) => memory.data.size,
            _ => 0,
        });
        Ok(sizes.fold(0, u64::saturating_add))
    }

    /// Returns the ids of the CPUs that this program has plugged in, in that order.
    fn plugged_cpus(&self) -> Result<Vec<String>> {
        let slots = self.vm.execute(QueryHotpluggableCpus::new())?;
        let mut numbers: Vec<u32> = slots
            .iter()
            .filter_map(|slot| {
                let id = slot.qom_path.as_deref()?.strip_prefix("/machine/peripheral/cpu-")?;
                id.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        Ok(numbers.iter().map(|number| format!("cpu-{number}")).collect())
    }

    /// Returns where the guest finds a PCI device.
    fn pci_path(&self, id: &str) -> Result<Option<String>> {
        let buses = self.vm.execute(QueryPci::new())?;
        Ok(buses.iter().find_map(|bus| slots_to(&bus.devices, id)).map(|slots| slots.join("/")))
    }
}

fn node_of(id: &str) -> String {
    format!("node-{id}")
}

fn backend_of(id: &str) -> String {
    format!("backend-{id}")
}

fn on(device: DeviceAdd, bus: Option<&str>) -> DeviceAdd {
    match bus {
        Some(bus) => device.bus(bus),
        None => device,
    }
}

/// Returns the slots of the bridges on the way to a device, and its own. The client limits how deeply a
/// reply is nested.
fn slots_to(devices: &[PciDeviceInfo], id: &str) -> Option<Vec<String>> {
    devices.iter().find_map(|device| {
        let slot = format!("{:02x}", device.slot);
        if device.qdev_id == id {
            return Some(vec![slot]);
        }
        let below = device.pci_bridge.as_ref()?.devices.as_deref()?;
        let mut slots = slots_to(below, id)?;
        slots.insert(0, slot);
        Some(slots)
    })
}
