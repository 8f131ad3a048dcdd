//! Managing QEMU virtual machines: everything that takes more than one command, and everything about
//! the process.
//!
//! - A *client* ([`qmp_client::Client`] or `qmp_client::blocking::Client`) executes commands and
//!   receives events.
//! - A *workflow* is a sequence of commands and events with one result, such as unplugging a device
//!   or following a migration. Workflows are methods of both clients, from the trait [`Workflows`].
//! - [`Launch`] starts a QEMU with its monitor connected to this program alone. The result is
//!   [`Launched`]: a client, and the [`Process`].
//! - `Agent` is a client of the guest agent: programs, files and file systems in the guest.
//! - A *supervised connection* ([`supervise`]) reconnects whenever it ends.
//! - [`mirror::Mirror`] keeps the state of a virtual machine as typed values, even if events or
//!   connections are lost.
//! - A *guard* ([`FdsetGuard`], `Frozen`) undoes something when it is dropped.
//!
//! ```no_run
//! # #[cfg(all(feature = "blocking", target_os = "linux"))] {
//! use std::time::Duration;
//!
//! use qmp_client::blocking::Client;
//! use qmp_client::qmp::commands::{BlockdevMirror, Migrate};
//! use qmp_client::qmp::types::MirrorSyncMode;
//! use qmp_vm::{Launch, Unplugged, Workflows};
//!
//! const PATIENCE: Duration = Duration::from_secs(60);
//!
//! // This starts a QEMU. To connect to a running one, use `Client::connect`.
//! let vm = Launch::new("qemu-system-x86_64").args(["-display", "none"]).start::<Client>()?;
//!
//! // A device is unplugged when the guest has released it, which it may refuse.
//! if vm.unplug("d0", PATIENCE)? == Unplugged::Refused {
//!     println!("the guest refuses to release d0");
//! }
//!
//! // A job is completed, finalized and dismissed when it is in the state for it.
//! let mirror = BlockdevMirror::new("d1", "copy", MirrorSyncMode::Full)
//!     .job_id("mirror")
//!     .auto_dismiss(false);
//! vm.run_job(mirror, "mirror", PATIENCE)?.into_result()?;
//!
//! // A screenshot needs no file, and text is typed key by key.
//! let image = vm.screenshot()?;
//! vm.type_text("root\n")?;
//!
//! // A migration is followed until it has completed, failed or been canceled.
//! let migrate = Migrate::new().uri("tcp:there:4444");
//! let migrated = vm.migrate(migrate, PATIENCE, |info| {
//!     println!("{:?}", info.ram.as_ref().map(|ram| ram.remaining));
//! })?;
//! println!("{:?}", migrated.into_result()?.total_time);
//!
//! // The guest is asked to shut down; then QEMU ends, and if it does not, it is killed.
//! let ended = vm.shut_down(PATIENCE)?;
//! println!("ended by {:?}, {:?}", ended.by, ended.reason);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the asynchronous client, the same methods are awaited:
//!
//! ```no_run
//! # #[cfg(all(unix, feature = "tokio"))]
//! # async fn example() -> qmp_client::Result<()> {
//! # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
//! use qmp_client::Client;
//! use qmp_vm::{Launch, Workflows};
//!
//! let vm = Launch::new("qemu-system-x86_64").args(["-display", "none"]).start::<Client>().await?;
//! let unplugged = vm.unplug("d0", PATIENCE).await?;
//! vm.shut_down(PATIENCE).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each workflow is written once for both clients. In signatures, its result is the
//! [`Outcome`](Monitor::Outcome) of a [`Monitor`]: the value itself, or a future of it.
//!
//! # Jobs
//!
//! [`run_job`](Workflows::run_job) starts one job and waits for it. For several jobs, such as those of
//! one transaction, call [`watch_jobs`](Workflows::watch_jobs) before they start, so that the end of none
//! is missed, and [`finish`](Jobs::finish) to wait for all of them. Between these, the program can do
//! something else, such as thaw the guest.
//!
//! # Guards
//!
//! Dropping a guard undoes the effect that it is for: after an error, a panic, or when a future is
//! dropped. Each guard also has a method that does so and reports failure.
//!
//! ```no_run
//! # #[cfg(all(unix, feature = "qga", feature = "tokio"))]
//! # async fn example(vm: qmp_client::Client, guest: qmp_vm::Agent)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use qmp_client::qmp::commands::{BlockdevSnapshotSync, DumpGuestMemory};
//! use qmp_vm::Workflows;
//!
//! // QEMU holds the descriptor for as long as the guard exists.
//! let file = vm.add_descriptor(std::fs::File::create("memory")?).await?;
//! vm.execute(DumpGuestMemory::new(false, format!("file:{}", file.path()))).await?;
//! file.remove().await?;
//!
//! // The guest is thawed, whatever happens.
//! let frozen = guest.freeze().await?;
//! vm.execute(BlockdevSnapshotSync::new("overlay.qcow2").node_name("disk")).await?;
//! println!("{} file systems", frozen.thaw().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # Cookbook
//!
//! The package has a program for each task, which is meant to be copied: see its [list of
//! examples](https://docs.rs/crate/qmp-vm/latest/source/examples/README.md). The documentation of each
//! function that they use shows how.
//!
//! # More monitors
//!
//! [`Workflows::open_monitor`] returns another client of the same machine, which receives events and
//! executes commands while the first is busy. QEMU can add monitors since 11.1. With the feature `proxy`,
//! [`open_monitor`](Workflows::open_monitor) works with every release, if QEMU was started with
//! `Launch::shared`, or connected with `proxy::connect_shared`.
//!
//! # Cancel safety
//!
//! The futures of the asynchronous client may be dropped at any moment without affecting other calls.
//! Most workflows that are dropped halfway undo their steps in the background; each method says what
//! happens.
//!
//! # The end of QEMU
//!
//! [`Workflows::quit`] and [`Workflows::shut_down`] succeed when QEMU has closed the connection.
//! [`Launched::quit`] and [`Launched::shut_down`] succeed when the process has ended, and the latter
//! kills it if it does not end otherwise. What happens to QEMU when this program itself is killed is
//! described at [`Launch`].
//!
//! # Systems
//!
//! Passing descriptors, launching, and whatever uses them exist only on Unix systems, and
//! [`screenshot`](Workflows::screenshot) only on Linux, because it needs a file in memory. Everything else
//! exists on all systems.
//!
//! # Features
//!
//! Features add items, and change nothing that exists.
//!
//! - `blocking` (default): the client that blocks its thread; module `blocking`.
//! - `tokio`: connecting and launching on tokio; module `tokio`.
//! - `futures-io`: launching and supervising on streams of `futures-io`, as smol has them; module
//!   `futures_io`.
//! - `qga`: the guest agent; module `agent`.
//! - `devices`: common devices as types, in `qmp_client::devices`.
//! - `proxy`: many clients on one monitor; module `proxy`.
//! - `tracing`: spans and events of `tracing`, as in `qmp-client`.

// docs.rs labels what a feature adds.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The traits without `serde` itself, which only programs that derive them have to compile.
extern crate serde_core as serde;

#[cfg(feature = "qga")]
pub mod agent;
#[cfg(unix)]
mod another;
#[cfg(feature = "blocking")]
pub mod blocking;
mod capabilities;
mod connect;
mod cpu;
mod device;
mod disk;
#[cfg(feature = "futures-io")]
pub mod futures_io;
mod guest;
mod human;
mod input;
mod job;
mod keyboard;
#[cfg(unix)]
mod launch;
mod limit;
mod memory;
mod migration;
pub mod mirror;
mod monitor;
#[cfg(unix)]
mod nic;
mod power;
#[cfg(unix)]
mod process;
#[cfg(all(unix, feature = "proxy"))]
pub mod proxy;
#[cfg(target_os = "linux")]
mod screen;
#[cfg(unix)]
mod sentinel;
pub mod supervise;
#[cfg(feature = "tokio")]
pub mod tokio;
mod unplug;
mod workflows;

#[cfg(all(unix, feature = "qga"))]
pub use agent::ThawWatch;
#[cfg(feature = "qga")]
pub use agent::{Exec, ExecOutput, Frozen, Running, ShutdownMode, SuspendMode};
#[cfg(unix)]
pub use another::AnotherMonitor;
pub use capabilities::Capabilities;
pub use connect::{Connect, ConnectOver};
pub use device::DeviceCapabilities;
pub use disk::Fdset;
#[cfg(unix)]
pub use disk::FdsetGuard;
pub use human::HumanText;
pub use job::{JobError, JobOutcome, Jobs};
#[cfg(unix)]
pub use launch::{Launch, Launched, Launching};
pub use migration::{MigrationError, MigrationOutcome};
pub use monitor::Monitor;
#[cfg(unix)]
pub use nic::NicNames;
pub use power::{EndedBy, ShutDown};
#[cfg(unix)]
pub use process::{Exit, Process};
pub use unplug::Unplugged;
pub use workflows::Workflows;

/// The guest agent's asynchronous client.
#[cfg(feature = "qga")]
pub type Agent = agent::Agent<qmp_client::Client>;

#[cfg(all(doctest, feature = "blocking"))]
#[doc = include_str!("../README.md")]
struct Readme;
