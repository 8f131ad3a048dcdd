//! A report about a virtual machine: collected in one round trip, and printed as text for people or
//! as JSON for programs.
//!
//! Anything that a QEMU does not report is absent: an old release lacks a command, a build lacks a
//! display, a machine lacks a balloon.

mod collect;
mod render;

use serde::Serialize;

pub use collect::collect;

/// A report about a virtual machine.
///
/// `vm-info --json` prints its serialized form, in which every member but `version` may be absent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Report {
    /// The machine's name, as given by `-name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The machine's UUID, unless it is all zeros.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The version of QEMU.
    pub version: String,
    /// The run state, such as `running` or `paused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The guest's processor architecture, such as `x86_64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The machine type, such as `pc-q35-10.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The accelerator: `kvm` or `tcg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// The virtual CPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<Cpu>,
    /// The number of CPUs that can still be plugged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pluggable_cpus: Option<i64>,
    /// The guest's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Block devices, with their images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block: Vec<BlockDevice>,
    /// Block nodes that belong to none of the devices above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Image>,
    /// Network cards whose filters can be queried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<Nic>,
    /// Character devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chardevs: Vec<Chardev>,
    /// Remote displays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub displays: Vec<Display>,
    /// Pointing devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mice: Vec<Mouse>,
    /// PCI functions; those on a bridge's bus follow the bridge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<PciFunction>,
    /// I/O threads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub iothreads: Vec<IoThread>,
    /// Jobs that are running, or that have concluded but have not been dismissed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Job>,
    /// The current migration, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
}

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
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
}

/// Sizes of the guest's memory, in bytes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Memory {
    /// The size that the machine was started with.
    pub base: u64,
    /// The size of the memory that has been plugged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugged: Option<u64>,
    /// The size that the balloon leaves to the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balloon: Option<i64>,
}

/// A block device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BlockDevice {
    /// The device's name, or its QOM path if it has none.
    pub name: String,
    /// Whether the medium can be removed.
    pub removable: bool,
    /// Whether the guest has locked the device's tray.
    pub locked: bool,
    /// The device's I/O status, such as `ok` or `nospace`, if the device reports one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_status: Option<String>,
    /// The image; `None` if the drive is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The number of bytes that the guest has read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<i64>,
    /// The number of bytes that the guest has written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<i64>,
}

/// A disk image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Image {
    /// The name of its block node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The image's file name, as QEMU spells it.
    pub file: String,
    /// The image's format: the name of its block driver, such as `qcow2`.
    pub format: String,
    /// The size that the guest sees, in bytes.
    pub size: i64,
    /// The space that the image takes on the host, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<i64>,
    /// Whether the image is read-only.
    pub read_only: bool,
    /// Whether the image is encrypted.
    pub encrypted: bool,
    /// The name of the backing file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing: Option<String>,
}

/// A network card.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Nic {
    /// The name of the network client.
    pub name: String,
    /// The MAC address.
    pub mac: String,
    /// Whether the card is in promiscuous mode.
    pub promiscuous: bool,
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
    /// The host and port on which the display listens.
    pub address: String,
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
    /// The ID given to the device with `id=`, or an empty string.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
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

/// A job.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Job {
    /// The job's ID.
    pub id: String,
    /// The type of the job, such as `mirror`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The job's status, such as `running`.
    pub status: String,
    /// The progress, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// The reason why the job failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A migration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Migration {
    /// The migration's status, such as `active`.
    pub status: String,
    /// The number of bytes of memory that have been sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transferred: Option<i64>,
    /// The number of bytes of memory that remain to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
    /// The reason why the migration failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
