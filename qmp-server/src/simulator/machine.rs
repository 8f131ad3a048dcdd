//! The state of a simulated virtual machine.

use qmp_types::qmp::types::{
    JobInfo, PanicAction, RebootAction, RunState, ShutdownAction, WatchdogAction,
};
use serde_json::{Map, Value, json};

/// The state of a simulated virtual machine.
#[derive(Debug)]
pub struct Machine {
    pub(super) name: Option<String>,
    pub(super) uuid: String,
    pub(super) cpus: u32,
    /// The size of memory in bytes.
    pub(super) memory: u64,
    /// The size in bytes of the memory that the balloon leaves to the guest.
    pub(super) balloon: u64,
    /// The size in bytes that `balloon` has requested and the guest has not followed yet.
    pub(super) balloon_target: Option<u64>,
    pub(super) state: RunState,
    pub(super) actions: Actions,
    pub(super) obeys_powerdown: bool,
    pub(super) releases_devices: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) devices: Vec<Device>,
    pub(super) netdevs: Vec<Netdev>,
    pub(super) objects: Vec<Object>,
    pub(super) jobs: Vec<JobInfo>,
}

/// The actions that `set-action` sets for events in the guest.
#[derive(Debug)]
pub(super) struct Actions {
    pub(super) reboot: RebootAction,
    pub(super) shutdown: ShutdownAction,
    pub(super) panic: PanicAction,
    pub(super) watchdog: WatchdogAction,
}

/// A node of the block graph.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) driver: String,
    pub(super) filename: String,
    /// The virtual size in bytes.
    pub(super) size: u64,
    pub(super) read_only: bool,
    /// The roles and names of the child nodes.
    pub(super) children: Vec<(String, String)>,
    /// Whether `blockdev-del` may remove the node: it was not defined inline by another node.
    pub(super) owned_by_monitor: bool,
}

/// A device of the guest.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: Option<String>,
    pub(super) driver: String,
    /// The QOM path.
    pub(super) path: String,
    /// The properties as given to `device_add`.
    pub(super) properties: Map<String, Value>,
    pub(super) hotpluggable: bool,
    /// The slot, for devices on the PCI bus.
    pub(super) slot: Option<u8>,
    /// Whether the tray is open, for drives with removable media.
    pub(super) tray_open: bool,
    /// Whether `device_del` has asked the guest to release the device.
    pub(super) unplug_pending: bool,
    pub(super) link_up: bool,
}

/// The network back end of a NIC.
#[derive(Debug)]
pub(super) struct Netdev {
    pub(super) id: String,
    pub(super) link_up: bool,
}

/// An object created by `object-add`.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) properties: Map<String, Value>,
}

impl Machine {
    /// Returns a virtual machine with one device of each common kind.
    pub(super) fn standard() -> Self {
        let memory = 1 << 30;
        Self {
            name: Some("simulated".to_owned()),
            uuid: "7d4e9c1a-52f3-4b8e-9a60-0c1d2e3f4a5b".to_owned(),
            cpus: 2,
            memory,
            balloon: memory,
            balloon_target: None,
            state: RunState::Running,
            actions: Actions {
                reboot: RebootAction::Reset,
                shutdown: ShutdownAction::Poweroff,
                panic: PanicAction::Shutdown,
                watchdog: WatchdogAction::Reset,
            },
            obeys_powerdown: true,
            releases_devices: true,
            nodes: vec![
                Node::new("disk0-file", "file", "disk.qcow2", 196_616),
                Node::new("disk0", "qcow2", "disk.qcow2", 8 << 30).above("disk0-file"),
                Node::new("cd0-medium", "raw", "install.iso", 700 << 20).read_only(),
            ],
            devices: vec![
                Device::standard("disk0-device", "virtio-blk-pci", json!({"drive": "disk0"}), 3),
                Device::standard(
                    "net0",
                    "virtio-net-pci",
                    json!({"netdev": "net0-host", "mac": "52:54:00:12:34:56"}),
                    4,
                ),
                Device::standard("balloon0", "virtio-balloon-pci", json!({}), 5),
                Device::standard("watchdog0", "i6300esb", json!({}), 6),
                Device::built_in("cd0", "ide-cd", json!({"drive": "cd0-medium"})),
            ],
            netdevs: vec![Netdev { id: "net0-host".to_owned(), link_up: true }],
            objects: vec![Object::iothread("iothread0")],
            jobs: Vec::new(),
        }
    }

    pub(super) fn set_stays_after_shutdown(&mut self, stays: bool) {
        self.actions.shutdown =
            if stays { ShutdownAction::Pause } else { ShutdownAction::Poweroff };
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == RunState::Running
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Finds a device by its `id` or its QOM path.
    pub(super) fn device(&mut self, name: &str) -> Option<&mut Device> {
        self.devices
            .iter_mut()
            .find(|device| device.id.as_deref() == Some(name) || device.path == name)
    }

    pub(super) fn has_device(&self, driver: &str) -> bool {
        self.devices.iter().any(|device| device.driver == driver)
    }
}

impl Node {
    pub(super) fn new(name: &str, driver: &str, filename: &str, size: u64) -> Self {
        Self {
            name: name.to_owned(),
            driver: driver.to_owned(),
            filename: filename.to_owned(),
            size,
            read_only: false,
            children: Vec::new(),
            owned_by_monitor: true,
        }
    }

    fn above(mut self, file: &str) -> Self {
        self.children.push(("file".to_owned(), file.to_owned()));
        self
    }

    fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

impl Device {
    fn standard(id: &str, driver: &str, properties: Value, slot: u8) -> Self {
        let device = Self::built_in(id, driver, properties);
        Self { hotpluggable: true, slot: Some(slot), ..device }
    }

    fn built_in(id: &str, driver: &str, properties: Value) -> Self {
        let properties = match properties {
            Value::Object(properties) => properties,
            _ => Map::new(),
        };
        Self {
            id: Some(id.to_owned()),
            driver: driver.to_owned(),
            path: format!("/machine/peripheral/{id}"),
            properties,
            hotpluggable: false,
            slot: None,
            tray_open: false,
            unplug_pending: false,
            link_up: true,
        }
    }

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
        self.driver.starts_with("virtio-").then(|| format!("{}/virtio-backend", self.path))
    }
}

impl Object {
    fn iothread(id: &str) -> Self {
        Self { id: id.to_owned(), kind: "iothread".to_owned(), properties: Map::new() }
    }
}
