//! The state of the simulated machine.

use qmp_types::qmp::types::WatchdogAction;
use qmp_types::qmp::types::{JobInfo, PanicAction, RebootAction, RunState, ShutdownAction};
use serde_json::{Map, Value, json};

/// The state of a simulated machine.
#[derive(Debug)]
pub struct Machine {
    pub(super) name: Option<String>,
    pub(super) uuid: String,
    pub(super) cpus: u32,
    /// Bytes of memory.
    pub(super) memory: u64,
    /// Bytes of memory that the guest has at present.
    pub(super) balloon: u64,
    /// Bytes that it was asked to have while it could not react.
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

/// What happens next, after a guest has done something: `set-action`.
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
    /// Bytes that the guest sees.
    pub(super) size: u64,
    pub(super) read_only: bool,
    /// The roles and names of the nodes below.
    pub(super) children: Vec<(String, String)>,
    /// Whether `blockdev-add` of this very node made it, and `blockdev-del` may remove it.
    pub(super) owned_by_monitor: bool,
}

/// A device that the guest sees.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: Option<String>,
    pub(super) driver: String,
    /// Its place in the object tree.
    pub(super) path: String,
    /// Properties as they were given.
    pub(super) properties: Map<String, Value>,
    pub(super) hotpluggable: bool,
    /// The number on the PCI bus, for those that are on it.
    pub(super) slot: Option<u8>,
    /// For drives with removable media.
    pub(super) tray_open: bool,
    /// `device_del` has asked the guest for it.
    pub(super) unplug_pending: bool,
    pub(super) link_up: bool,
}

/// The host's side of a NIC.
#[derive(Debug)]
pub(super) struct Netdev {
    pub(super) id: String,
    pub(super) link_up: bool,
}

/// An object made by `object-add`.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) properties: Map<String, Value>,
}

impl Machine {
    /// A machine as a person would start it who wants one of everything.
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

    pub(super) fn stay_after_shutdown(&mut self, stays: bool) {
        self.actions.shutdown =
            if stays { ShutdownAction::Pause } else { ShutdownAction::Poweroff };
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == RunState::Running
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// A device by its `id` or its path.
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

    /// A property that is text.
    pub(super) fn text(&self, property: &str) -> Option<&str> {
        self.properties.get(property).and_then(Value::as_str)
    }

    /// How events and replies call it: by its `id`, or an empty name.
    pub(super) fn name(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Virtio devices are two objects: one on the PCI bus, one on the virtio bus behind it.
    pub(super) fn back_end(&self) -> Option<String> {
        self.driver.starts_with("virtio-").then(|| format!("{}/virtio-backend", self.path))
    }
}

impl Object {
    fn iothread(id: &str) -> Self {
        Self { id: id.to_owned(), kind: "iothread".to_owned(), properties: Map::new() }
    }
}
