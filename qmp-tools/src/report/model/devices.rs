//! CPUs, memory and devices.

use serde::Serialize;

/// A virtual CPU.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Cpu {
    /// The CPU's index.
    pub index: i64,
    /// The ID of the host thread that runs the CPU.
    pub thread: i64,
    /// The CPU's place in the topology, such as `socket 0, core 1, thread 0`.
    pub place: Option<String>,
}

/// Sizes of the guest's memory, in bytes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Memory {
    /// The size that the machine was started with.
    pub base: u64,
    /// The size of the memory that has been plugged in.
    pub plugged: Option<u64>,
    /// The size that the balloon leaves to the guest.
    pub balloon: Option<i64>,
}

/// A network card.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Nic {
    /// The ID of the card, or the name that QEMU gave it, such as `e1000.0`.
    pub name: String,
    /// The model, such as `virtio-net-pci`; `null` if it is not known.
    pub model: Option<String>,
    /// The MAC address.
    pub mac: Option<String>,
    /// The ID of the back end that the card is connected to.
    pub backend: Option<String>,
    /// The type of that back end, such as `user` or `tap`.
    pub backend_type: Option<String>,
    /// More about the back end, as QEMU writes it, such as `ifname=tap0`.
    pub backend_details: Option<String>,
    /// Whether the card is in promiscuous mode; `null` if the model does not tell.
    pub promiscuous: Option<bool>,
    /// The QOM path of the card.
    pub path: Option<String>,
}

/// A character device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Chardev {
    /// The label of the character device.
    pub label: String,
    /// The backend, such as `unix:/run/vm.sock,server=on`.
    pub backend: String,
    /// Whether a device of the machine has opened the character device.
    pub open: bool,
}

/// A remote display.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Display {
    /// The protocol: `vnc` or `spice`.
    pub protocol: String,
    /// The ID of the server; `null` if the protocol has none.
    pub id: Option<String>,
    /// The host and port on which the display listens, or `unix:` and the path of the socket;
    /// `null` if a server does not listen.
    pub address: Option<String>,
    /// Whether clients connect with WebSocket.
    pub websocket: bool,
    /// The method of authentication, such as `none`.
    pub auth: Option<String>,
    /// The number of connected clients.
    pub clients: usize,
}

/// A pointing device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Mouse {
    /// The name of the pointing device.
    pub name: String,
    /// Whether the device currently receives input.
    pub current: bool,
    /// Whether the device reports absolute positions rather than movements.
    pub absolute: bool,
}

/// A function of a PCI device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PciFunction {
    /// The bus, slot and function numbers, formatted as by `lspci`.
    pub address: String,
    /// The vendor and device IDs, formatted as by `lspci -n`.
    pub id: String,
    /// The device class, such as `Ethernet controller`.
    pub class: String,
    /// The ID given to the device with `id=`.
    pub device: Option<String>,
    /// The number of bridges above it.
    pub depth: usize,
}

/// An I/O thread.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct IoThread {
    /// The ID of the I/O thread object.
    pub id: String,
    /// The ID of the host thread.
    pub thread: i64,
}
