//! What there is to know of a virtual machine: collected in one round trip, shown to people as
//! text and to programs as JSON.
//!
//! What a QEMU does not answer is absent: an older one lacks the command, a build the display, a
//! machine the balloon.

mod collect;
mod render;

use serde::Serialize;

pub use collect::collect;

/// The report. Its serialised form is what `vm-info --json` prints: every member but `version` may
/// be absent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Report {
    /// What the user calls the machine (`-name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The machine's identity, unless it is all zeroes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The version of QEMU.
    pub version: String,
    /// The run state, such as `running` or `paused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The processor architecture that is emulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The type of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// What runs the guest's code: `kvm`, `tcg`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// The virtual CPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<Cpu>,
    /// How many CPUs could be plugged in addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pluggable_cpus: Option<i64>,
    /// The guest's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Block devices, with what is in them.
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
    /// PCI functions, those behind bridges after the bridge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<PciFunction>,
    /// Threads that do I/O.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub iothreads: Vec<IoThread>,
    /// Jobs under way, or concluded and not dismissed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Job>,
    /// The migration, if there is or was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
}

/// A virtual CPU.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Cpu {
    /// Its number.
    pub index: i64,
    /// The host's thread that runs it.
    pub thread: i64,
    /// Where it is plugged, such as `socket 0, core 1, thread 0`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
}

/// The guest's memory, in bytes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Memory {
    /// What the machine was started with.
    pub base: u64,
    /// What was plugged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugged: Option<u64>,
    /// What the balloon leaves to the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balloon: Option<i64>,
}

/// A block device of the machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BlockDevice {
    /// What it is called: its device id, or the path of its device.
    pub name: String,
    /// Whether its medium can be removed.
    pub removable: bool,
    /// Whether the guest has locked it.
    pub locked: bool,
    /// The state of its I/O, where the device reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_status: Option<String>,
    /// The image in it; none, if the drive is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Bytes read by the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<i64>,
    /// Bytes written by the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<i64>,
}

/// An image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Image {
    /// The name of its block node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Where it is.
    pub file: String,
    /// Its format.
    pub format: String,
    /// What the guest sees, in bytes.
    pub size: i64,
    /// What it takes on the host, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<i64>,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The image that it is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing: Option<String>,
}

/// A network card.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Nic {
    /// Its name.
    pub name: String,
    /// Its address.
    pub mac: String,
    /// Whether it takes in everything.
    pub promiscuous: bool,
}

/// A character device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Chardev {
    /// Its name.
    pub label: String,
    /// What is behind it.
    pub backend: String,
    /// Whether the machine has it open.
    pub open: bool,
}

/// A remote display.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Display {
    /// Its protocol: `vnc` or `spice`.
    pub protocol: String,
    /// Where it listens.
    pub address: String,
    /// How many clients watch.
    pub clients: usize,
}

/// A pointing device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Mouse {
    /// What it is.
    pub name: String,
    /// Whether it is the one that gets input.
    pub current: bool,
    /// Whether it reports positions and not movements.
    pub absolute: bool,
}

/// A function of a PCI device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PciFunction {
    /// Bus, slot and function, as `lspci` writes them.
    pub address: String,
    /// Vendor and device, as `lspci -n` writes them.
    pub id: String,
    /// What it is.
    pub class: String,
    /// The id of its device, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
}

/// A thread that does I/O.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct IoThread {
    /// Its name.
    pub id: String,
    /// The host's thread.
    pub thread: i64,
}

/// A job.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Job {
    /// Its name.
    pub id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: String,
    /// How it stands.
    pub status: String,
    /// How far it is, between 0 and 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A migration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Migration {
    /// How it stands.
    pub status: String,
    /// Bytes of memory sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transferred: Option<i64>,
    /// Bytes of memory to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
