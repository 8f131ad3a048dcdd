//! A report about a virtual machine: collected in a few round trips, and printed as text for people
//! or as JSON for programs.
//!
//! Nothing in it is inferred: what a QEMU does not tell is absent, and queries that are refused, or
//! not answered, are named.

mod collect;
pub mod metrics;
mod model;
mod render;
mod table;
pub mod tree;
pub(crate) mod units;

pub use collect::{Live, collect, live};
pub use metrics::metrics;
pub use model::{
    Bitmap, BlockDevice, Chardev, Cpu, Display, Export, Image, IoThread, Job, Kind, Memory,
    Migration, Mouse, Nic, PciFunction, Problem, Report,
};
