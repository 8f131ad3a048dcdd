//! The state of a simulated virtual machine.

use std::collections::BTreeMap;

use qmp_types::qmp::types::{PanicAction, RebootAction, RunState, ShutdownAction, WatchdogAction};
use serde_json::{Map, Value, json};

use super::block::drive::Drive;
use super::block::exports::Export;
use super::block::formats;
use super::block::nodes::Nodes;
use super::chardevs::Chardev;
use super::clock::Clock;
use super::descriptors::Descriptors;
use super::facts::Driver;
use super::files::{File, Files};
use super::identity;
use super::jobs::Job;
use super::migration::Migration;
use super::replies::Arguments;
use crate::handle::WeakMachineHandle;

/// The state of a simulated virtual machine.
#[derive(Debug)]
pub struct Machine {
    pub(super) name: Option<String>,
    pub(super) uuid: String,
    /// The name of the machine type, such as `pc-i440fx-11.1`.
    pub(super) machine_type: String,
    pub(super) has_vga: bool,
    pub(super) cpus: Cpus,
    /// The size of memory in bytes.
    pub(super) memory: u64,
    /// The number of slots for memory modules, and the largest size of memory in bytes.
    pub(super) memory_slots: (u64, u64),
    /// The size in bytes of the memory that the balloon leaves to the guest.
    pub(super) balloon: u64,
    /// The size in bytes that `balloon` has requested and the guest has not followed yet.
    pub(super) balloon_target: Option<u64>,
    /// The interval of the guest's memory statistics in seconds.
    pub(super) balloon_interval: i64,
    pub(super) state: RunState,
    pub(super) actions: Actions,
    pub(super) obeys_powerdown: bool,
    pub(super) releases_devices: bool,
    pub(super) clock: Clock,
    /// The server that the machine belongs to, for threads that wait for something.
    pub(super) shared: Option<WeakMachineHandle<Self>>,
    pub(super) files: Files,
    /// The bytes per second that jobs copy; `None` if they take no time.
    pub(super) disk_speed: Option<u64>,
    pub(super) failures: Vec<PlannedFailure>,
    pub(super) nodes: Nodes,
    pub(super) nbd_server: Option<Map<String, Value>>,
    pub(super) exports: Vec<Export>,
    pub(super) devices: Vec<Device>,
    pub(super) drives: Vec<Drive>,
    /// The number for the path of the next device without `id`.
    pub(super) next_anonymous: usize,
    pub(super) netdevs: Vec<Netdev>,
    pub(super) chardevs: Vec<Chardev>,
    pub(super) objects: Vec<Object>,
    pub(super) descriptors: Descriptors,
    pub(super) jobs: Vec<Job>,
    /// The number of the next transaction whose jobs complete together.
    pub(super) next_group: u64,
    pub(super) migration: Migration,
    /// The result of the last dump, as `query-dump` returns it.
    pub(super) last_dump: Option<Value>,
    /// The properties of the machine object that were set.
    pub(super) properties: BTreeMap<String, Value>,
}

/// The CPUs: those that are there at the start, and those that can be added.
#[derive(Clone, Debug)]
pub(super) struct Cpus {
    pub(super) boot: u32,
    pub(super) max: u32,
    /// The QOM type.
    pub(super) model: String,
}

/// The actions that `set-action` sets for events in the guest.
#[derive(Debug)]
pub(super) struct Actions {
    pub(super) reboot: RebootAction,
    pub(super) shutdown: ShutdownAction,
    pub(super) panic: PanicAction,
    pub(super) watchdog: WatchdogAction,
}

/// A job that is to fail.
#[derive(Clone, Debug)]
pub(super) struct PlannedFailure {
    pub(super) job: String,
    /// The part of the work after which it fails.
    pub(super) percent: u8,
    pub(super) error: String,
}

/// A device of the guest.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) id: Option<String>,
    /// The name of the model as QOM reports it.
    pub(super) driver: String,
    pub(super) model: &'static Driver,
    /// The QOM path.
    pub(super) path: String,
    /// The properties as given to `device_add`.
    pub(super) properties: Map<String, Value>,
    /// The name of the drive that the device is attached to, if it has one.
    pub(super) drive: Option<String>,
    /// Whether the device was added to a running machine.
    pub(super) hotplugged: bool,
    pub(super) bus: Option<String>,
    /// The slot and the function, for devices on a PCI bus.
    pub(super) address: Option<(u8, u8)>,
    /// Whether the tray is open, for drives with removable media.
    pub(super) tray_open: bool,
    /// Whether `device_del` has asked the guest to release the device.
    pub(super) unplug_pending: bool,
    /// The name of a NIC's side of the network: its `id`, or one made of the model and a number.
    pub(super) network_name: String,
    pub(super) link_up: bool,
}

/// The network back end of a NIC.
#[derive(Clone, Debug)]
pub(super) struct Netdev {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) options: Map<String, Value>,
    pub(super) link_up: bool,
}

/// An object created by `object-add`.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) properties: Map<String, Value>,
}

impl Machine {
    /// Returns a virtual machine without devices.
    pub(super) fn bare() -> Self {
        let memory = 1 << 30;
        Self {
            name: Some("simulated".to_owned()),
            uuid: "7d4e9c1a-52f3-4b8e-9a60-0c1d2e3f4a5b".to_owned(),
            machine_type: identity::MACHINE_TYPE.to_owned(),
            has_vga: true,
            cpus: Cpus { boot: 2, max: 2, model: identity::CPU_TYPE.to_owned() },
            memory,
            memory_slots: (0, 0),
            balloon: memory,
            balloon_target: None,
            balloon_interval: 0,
            state: RunState::Running,
            actions: Actions {
                reboot: RebootAction::Reset,
                shutdown: ShutdownAction::Poweroff,
                panic: PanicAction::Shutdown,
                watchdog: WatchdogAction::Reset,
            },
            obeys_powerdown: true,
            releases_devices: true,
            clock: Clock::real(),
            shared: None,
            files: Files::new(),
            disk_speed: None,
            failures: Vec::new(),
            nodes: Nodes::default(),
            nbd_server: None,
            exports: Vec::new(),
            devices: Vec::new(),
            drives: Vec::new(),
            next_anonymous: 0,
            netdevs: Vec::new(),
            chardevs: vec![Chardev::monitor()],
            objects: Vec::new(),
            descriptors: Descriptors::default(),
            jobs: Vec::new(),
            next_group: 1,
            migration: Migration::new(),
            last_dump: None,
            properties: BTreeMap::new(),
        }
    }

    /// Returns a virtual machine with one device of each common kind.
    pub(super) fn standard() -> Self {
        let mut machine = Self::bare();
        machine.add_file("disk.qcow2", "qcow2", 8 << 30);
        machine.add_file("install.iso", "raw", 700 << 20);
        let nodes = [
            json!({"driver": "file", "node-name": "disk0-file", "filename": "disk.qcow2"}),
            json!({"driver": "qcow2", "node-name": "disk0", "file": "disk0-file"}),
            json!({"driver": "raw", "node-name": "cd0-medium", "read-only": true,
                   "file": {"driver": "file", "filename": "install.iso"}}),
        ];
        machine.objects.push(Object::iothread("iothread0"));
        let options = Map::new();
        let (id, kind) = ("net0-host".to_owned(), "user".to_owned());
        machine.netdevs.push(Netdev { id, kind, options, link_up: true });
        let devices = [
            json!({"driver": "virtio-blk-pci", "id": "disk0-device", "drive": "disk0",
                   "addr": "3"}),
            json!({"driver": "virtio-net-pci", "id": "net0", "netdev": "net0-host", "addr": "4",
                   "mac": "52:54:00:12:34:56"}),
            json!({"driver": "virtio-balloon-pci", "id": "balloon0", "addr": "5"}),
            json!({"driver": "i6300esb", "id": "watchdog0", "addr": "6"}),
            json!({"driver": "ide-cd", "id": "cd0", "drive": "cd0-medium"}),
        ];
        for node in nodes {
            // These options are known to be valid.
            let added = machine.add_node(node.as_object().unwrap_or(&Map::new()), true);
            debug_assert!(added.is_ok(), "{added:?}");
        }
        for device in devices {
            let added = machine.add_cold_device(&Arguments::of(&device));
            debug_assert!(added.is_ok(), "{added:?}");
        }
        machine
    }

    /// Adds a file that exists only in the simulation: an empty image.
    pub(super) fn add_file(&mut self, path: &str, format: &str, size: u64) {
        let file = match format {
            "qcow2" => {
                let (head, length) = formats::new_qcow2(size, None);
                File { size: length, head, allocated: length.next_multiple_of(4096) }
            }
            _ => File { size, head: Vec::new(), allocated: 4096 },
        };
        self.files.add(path, file);
    }

    pub(super) fn set_stays_after_shutdown(&mut self, stays: bool) {
        self.actions.shutdown =
            if stays { ShutdownAction::Pause } else { ShutdownAction::Poweroff };
    }

    /// Returns whether the machine has been built, so that clients change it.
    pub(super) fn is_served(&self) -> bool {
        self.shared.is_some()
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == RunState::Running
    }

    /// Finds a device by its QOM path.
    pub(super) fn device_at(&mut self, path: &str) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.path == path)
    }

    pub(super) fn device_with_id(&mut self, id: &str) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.id.as_deref() == Some(id))
    }

    pub(super) fn is_q35(&self) -> bool {
        self.machine_type.contains("q35")
    }

    pub(super) fn is_none_machine(&self) -> bool {
        self.machine_type == "none"
    }
}

impl Device {
    /// Returns a property if it is a string.
    pub(super) fn string(&self, property: &str) -> Option<&str> {
        self.properties.get(property).and_then(Value::as_str)
    }

    /// Returns the device's `id`, or the empty string, as events and replies do.
    pub(super) fn name(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Returns the QOM path of the second object that makes up a virtio device: the back end, on the
    /// virtio bus of the device on the PCI bus.
    pub(super) fn back_end(&self) -> Option<String> {
        self.model.backend.map(|_| format!("{}/virtio-backend", self.path))
    }

    /// Returns the name or path of a device in the replies to block queries.
    pub(super) fn qdev(&self) -> String {
        match (self.back_end(), &self.id) {
            (Some(path), _) => path,
            (None, Some(id)) => id.clone(),
            (None, None) => self.path.clone(),
        }
    }

    /// Returns whether the device is a drive, with or without a medium.
    pub(super) fn is_drive(&self) -> bool {
        self.model.has("drive")
    }

    pub(super) fn is_cd(&self) -> bool {
        matches!(self.model.name, "ide-cd" | "scsi-cd")
    }

    /// Returns whether the drive has a tray, which all removable drives but floppy drives have.
    pub(super) fn has_tray(&self) -> bool {
        self.is_removable() && self.model.name != "floppy"
    }

    /// Returns whether the drive's medium can be changed.
    pub(super) fn is_removable(&self) -> bool {
        self.is_cd()
            || self.model.name == "floppy"
            || self.properties.get("removable") == Some(&Value::Bool(true))
    }

    pub(super) fn is_nic(&self) -> bool {
        self.model.has("netdev")
    }

    pub(super) fn is_balloon(&self) -> bool {
        self.model.backend == Some("virtio-balloon-device")
    }
}

impl Object {
    pub(super) fn iothread(id: &str) -> Self {
        Self { id: id.to_owned(), kind: "iothread".to_owned(), properties: Map::new() }
    }
}
