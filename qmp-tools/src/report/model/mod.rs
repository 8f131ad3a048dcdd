//! The report as data: what `qmp info --json` prints.
//!
//! Every member is always there: what the machine did not tell is `null`, and a section without
//! entries is an empty array.

mod block;
mod devices;

use serde::Serialize;

pub use block::{Bitmap, BlockDevice, Export, Image, Job};
pub use devices::{Chardev, Cpu, Display, IoThread, Memory, Mouse, Nic, PciFunction};

/// A report about a virtual machine or a storage daemon.
///
/// `qmp info --json` prints its serialized form. Every member is always present: what the machine did
/// not tell is `null`, and a section without entries is an empty array.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Report {
    /// The kind of server.
    pub kind: Kind,
    /// The machine's name, as given by `-name`.
    pub name: Option<String>,
    /// The machine's UUID, unless it is all zeros.
    pub uuid: Option<String>,
    /// The version of QEMU, from its greeting.
    pub version: String,
    /// The run state, such as `running` or `paused`.
    pub state: Option<String>,
    /// The guest's processor architecture, such as `x86_64`.
    pub target: Option<String>,
    /// The machine type, such as `pc-q35-10.0`.
    pub machine: Option<String>,
    /// The accelerator that runs the guest, such as `kvm` or `tcg`; `null` if QEMU did not tell.
    pub accelerator: Option<String>,
    /// The virtual CPUs.
    pub cpus: Vec<Cpu>,
    /// The number of CPUs that can still be plugged in.
    pub pluggable_cpus: Option<i64>,
    /// The guest's memory.
    pub memory: Option<Memory>,
    /// Block devices, with their images.
    pub block: Vec<BlockDevice>,
    /// Block nodes that belong to none of the devices above, nor to the images below them.
    pub nodes: Vec<Image>,
    /// Dirty bitmaps.
    pub bitmaps: Vec<Bitmap>,
    /// Exports of block nodes, such as over NBD.
    pub exports: Vec<Export>,
    /// Network cards.
    pub network: Vec<Nic>,
    /// Character devices.
    pub chardevs: Vec<Chardev>,
    /// Remote displays.
    pub displays: Vec<Display>,
    /// Pointing devices.
    pub mice: Vec<Mouse>,
    /// PCI functions; those on a bridge's bus follow the bridge.
    pub pci: Vec<PciFunction>,
    /// I/O threads.
    pub iothreads: Vec<IoThread>,
    /// Jobs that are running, or that have concluded but have not been dismissed.
    pub jobs: Vec<Job>,
    /// The current migration, or the last one.
    pub migration: Option<Migration>,
    /// Queries that the machine answered with an error.
    pub refused: Vec<Problem>,
    /// Queries that were not answered in time.
    pub unanswered: Vec<Problem>,
    /// Queries whose replies do not match the schema.
    pub undecodable: Vec<Problem>,
    /// Queries that this QEMU does not have, by name.
    pub unsupported: Vec<String>,
}

/// A kind of server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A virtual machine.
    Machine,
    /// A storage daemon, which has block nodes and exports, and no machine.
    StorageDaemon,
}

/// A query without a usable answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Problem {
    /// The query, such as `query-balloon`.
    pub query: String,
    /// The reason: QEMU's error message, the deadline, or the place in the reply.
    pub reason: String,
}

/// A migration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Migration {
    /// The migration's status, such as `active`.
    pub status: String,
    /// The number of bytes of memory that have been sent.
    pub transferred: Option<i64>,
    /// The number of bytes of memory that remain to be sent.
    pub remaining: Option<i64>,
    /// The size of the guest's memory in bytes, as the migration sees it.
    pub total: Option<i64>,
    /// The reason why the migration failed.
    pub error: Option<String>,
    /// The reasons why the machine cannot be migrated.
    pub blocked_by: Vec<String>,
}
