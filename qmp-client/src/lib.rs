//! A client of QMP, the protocol by which programs drive QEMU.
//!
//! - A *command* is a struct; executing it gives what it returns. `qmp::commands` has all of
//!   QEMU's, [`Raw`] is one by its name.
//! - An *event* is a struct too; `qmp::AnyEvent` is one of them all, [`RawEvent`] one as text.
//! - A *client* executes commands and collects events over one connection:
//!   `blocking::Client`, or the asynchronous one, `Client`.
//! - Everything that is protocol is in the [machine](machine::Machine), which does no input or
//!   output. Clients move its bytes; so can you.
//!
//! ```no_run
//! # #[cfg(all(feature = "qmp", feature = "blocking"))] {
//! use qmp_client::{blocking::Client, qmp::commands::QueryStatus};
//!
//! let mut vm = Client::connect("unix:/run/vm.sock")?;
//! println!("{}", vm.execute(QueryStatus::new())?.status);
//! # }
//! # Ok::<(), qmp_client::Error>(())
//! ```
//!
//! # Asynchronous programs
//!
//! With the feature `tokio`, `Client` is a handle that is cheap to clone and works through `&self`:
//!
//! ```no_run
//! # #[cfg(all(feature = "qmp", feature = "tokio"))]
//! # async fn example() -> qmp_client::Result<()> {
//! use qmp_client::qmp::commands::{DeviceDel, QueryName, QueryStatus};
//! use qmp_client::qmp::events::{DeviceDeleted, Watchdog};
//! use qmp_client::Client;
//!
//! let vm = Client::connect("unix:/run/vm.sock").await?;
//!
//! // Calls that are polled together are in flight together.
//! let (status, name) = tokio::join!(vm.execute(QueryStatus::new()), vm.execute(QueryName::new()));
//! println!("{} {:?}", status?.status, name?.name);
//!
//! // A command, and the event that it brings about.
//! let deleted = |event: &DeviceDeleted| event.device.as_deref() == Some("d0");
//! vm.execute(DeviceDel::new("d0")).until(deleted).await?;
//!
//! // A subscription; any number of them, each with a queue of its own.
//! let mut barks = vm.events_of::<Watchdog>();
//! while let Some(bark) = barks.next().await {
//!     println!("{:?}", bark?.event.action);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Any future may be dropped at any moment, and harms nothing else: `Client` says what that means
//! for the command. A workflow that is dropped half way cleans up behind itself, and so does a
//! guard. With the feature `futures-io`, the same client works over streams of
//! `futures-io`, as smol has them: module `futures_io`.
//!
//! # A QEMU of one's own
//!
//! `Launch` starts one with its monitor on a socket pair: nothing to be waited for, nobody else
//! can connect, and if it ends instead, the error is what it said. `Launch::start` gives a blocking
//! client; an asynchronous one comes with the `Process` beside it, as `Launched`. To a process
//! that opens a socket itself, `Client::connect_to_child` waits no longer than that lives.
//!
//! # Workflows
//!
//! What takes several commands and events is a method, and survives what servers do in between:
//!
//! ```no_run
//! # #[cfg(all(feature = "qmp", feature = "blocking", target_os = "linux"))] {
//! use std::time::Duration;
//!
//! use qmp_client::blocking::Client;
//! use qmp_client::qmp::commands::{BlockdevMirror, Migrate};
//! use qmp_client::qmp::types::MirrorSyncMode;
//! use qmp_client::Unplugged;
//!
//! const PATIENCE: Duration = Duration::from_secs(60);
//! let mut vm = Client::connect("unix:/run/vm.sock")?;
//!
//! if vm.unplug("d0", PATIENCE)? == Unplugged::Refused {
//!     println!("the guest holds on to it");
//! }
//! let mirror = BlockdevMirror::new("d1", "copy", MirrorSyncMode::Full)
//!     .job_id("mirror")
//!     .auto_dismiss(false);
//! if let Some(error) = vm.run_job(mirror, "mirror", PATIENCE)?.error {
//!     println!("the mirror failed: {error}");
//! }
//! let image = vm.screenshot()?;
//! vm.type_text("root\n")?;
//! let moved = vm.migrate(Migrate::new().uri("tcp:there:4444"), PATIENCE, |info| {
//!     println!("{:?}", info.ram.as_ref().map(|ram| ram.remaining));
//! })?;
//! println!("{:?}", moved.status);
//! let ended = vm.shut_down(PATIENCE)?;
//! println!("ended by {:?}, {:?}", ended.by, ended.reason);
//! # }
//! # Ok::<(), qmp_client::Error>(())
//! ```
//!
//! The asynchronous client has the same, to be awaited. Jobs that one transaction begins are seen
//! through together: by `finish_jobs`, or on the asynchronous client by `watch_jobs`, which is
//! called before.
//!
//! What must not stay is held by a guard. Dropping it undoes that; a method of its own does so,
//! too, and says if it fails:
//!
//! ```no_run
//! # #[cfg(all(unix, feature = "qmp", feature = "qga", feature = "tokio"))]
//! # async fn example(vm: qmp_client::Client, guest: qmp_client::Agent)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use qmp_client::qmp::commands::{BlockdevSnapshotSync, DumpGuestMemory};
//!
//! // QEMU holds the descriptor for as long as the guard is there.
//! let file = vm.add_descriptor(std::fs::File::create("memory")?).await?;
//! vm.execute(DumpGuestMemory::new(false, format!("file:{}", file.path()))).await?;
//! file.remove().await?;
//!
//! // The guest thaws whatever happens: an error, a panic, or nobody awaiting this any more.
//! let frozen = guest.freeze().await?;
//! vm.execute(BlockdevSnapshotSync::new("overlay.qcow2").node_name("disk")).await?;
//! println!("{} file systems", frozen.thaw().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # Cookbook
//!
//! The directory `examples` has a small program for each thing that programs do most, to copy from;
//! its `README.md` lists them by what one wants to do. Among them: `overview`, `wait_for_start`,
//! `shut_down`, `watch_shutdown`, `transcript`; `hotplug_disk`, `unplug_disk`, `hotplug_nic`,
//! `hotplug_cpu`, `hotplug_memory`; `live_migration`, `save_to_file`; `backup`, `mirror`, `commit`,
//! `stream`, `nbd_export`; `guest_exec`, `screen`; `raw`, `capabilities`, `handle_errors`.
//!
//! # What does not compile
//!
//! A command that may not be executed out-of-band, in `Client::execute_oob`:
//!
//! ```compile_fail,E0277
//! # fn example(mut vm: qmp_client::blocking::Client) {
//! vm.execute_oob(qmp_client::qmp::commands::QueryStatus::new());
//! # }
//! ```
//!
//! Where this one may be:
//!
//! ```
//! # #[cfg(all(feature = "qmp", feature = "blocking"))]
//! # fn example(mut vm: qmp_client::blocking::Client) {
//! vm.execute_oob(qmp_client::qmp::commands::MigratePause::new());
//! # }
//! ```
//!
//! A mandatory argument that is missing, and one of another type:
//!
//! ```compile_fail,E0061
//! qmp_client::qmp::commands::DeviceDel::new();
//! ```
//!
//! ```compile_fail,E0308
//! qmp_client::qmp::commands::AddFd::new().fdset_id("seven");
//! ```
//!
//! # Systems
//!
//! Everything is there on Linux and on other Unix systems, but for abstract socket names and paths
//! beyond the system's limit, which are Linux's, and `screenshot`, which needs a file in memory. On
//! Windows, and wherever else Unix sockets are not, there are TCP and any stream of one's own; an
//! address of a Unix socket gives an [error](Error::Transport) of the kind
//! [`Unsupported`](std::io::ErrorKind::Unsupported). Passing descriptors, and what is made of them,
//! and `Launch` do not exist there.
//!
//! # Features
//!
//! Features add, and change nothing. What needs one is not linked here: the modules and types below
//! are those of the features that this page was made with.
//!
//! - `blocking` (default): the client that blocks its thread, module `blocking`. It brings no
//!   asynchronous runtime.
//! - `tokio`: the asynchronous client on tokio, module `tokio`.
//! - `futures-io`: the same on streams of `futures-io`, module `futures_io`.
//! - `qmp` (default): the vocabulary of QEMU's monitor, and the workflows.
//! - `qga`: the vocabulary of the guest agent, and clients of it.
//! - `tracing`: every message as an event of `tracing`, at level `TRACE`, target `qmp_client`.

// Without a front end, what they share is unused.
#![cfg_attr(
    not(all(feature = "blocking", any(feature = "tokio", feature = "futures-io"))),
    allow(dead_code, unused_imports)
)]

mod address;
#[cfg(feature = "qga")]
mod agent;
#[cfg(any(feature = "blocking", feature = "tokio", feature = "futures-io"))]
mod attempts;
#[cfg(feature = "qmp")]
mod capabilities;
pub mod deadlines;
mod error;
mod events;
#[cfg(all(unix, any(feature = "blocking", feature = "tokio", feature = "futures-io")))]
mod launch;
pub mod machine;
#[cfg(any(feature = "tokio", feature = "futures-io"))]
mod nonblocking;
mod options;
#[cfg(all(unix, any(feature = "blocking", feature = "tokio", feature = "futures-io")))]
mod process;
mod request;
#[cfg(all(unix, any(feature = "blocking", feature = "tokio", feature = "futures-io")))]
mod socket;
#[cfg(feature = "qmp")]
mod workflow;

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(feature = "futures-io")]
pub mod futures_io;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "blocking")]
pub mod transport;

pub use address::{Address, AddressError};
#[cfg(feature = "qga")]
pub use agent::{Exec, ExecOutput, ShutdownMode, SuspendMode};
#[cfg(feature = "qmp")]
pub use capabilities::Capabilities;
pub use error::{
    Closed, End, Error, LaunchError, Mismatch, Misuse, ProtocolError, Result, ServerError, Subject,
    Timeout, TransportError, WaitedFor,
};
pub use events::{Occurrence, RawEvent};
#[cfg(all(unix, any(feature = "blocking", feature = "tokio", feature = "futures-io")))]
pub use launch::Launch;
pub use machine::{Direction, Garbage};
#[cfg(all(unix, feature = "qmp", any(feature = "tokio", feature = "futures-io")))]
pub use nonblocking::FdsetGuard;
#[cfg(all(feature = "qmp", any(feature = "tokio", feature = "futures-io")))]
pub use nonblocking::Jobs;
#[cfg(all(feature = "qga", any(feature = "tokio", feature = "futures-io")))]
pub use nonblocking::{Agent, ConnectingAgent, Frozen};
#[cfg(any(feature = "tokio", feature = "futures-io"))]
pub use nonblocking::{Call, Client, Connecting, Driver, Events, Next, Until};
#[cfg(all(unix, any(feature = "tokio", feature = "futures-io")))]
pub use nonblocking::{Launched, Launching};
pub use options::Options;
#[cfg(all(unix, any(feature = "blocking", feature = "tokio", feature = "futures-io")))]
pub use process::{Exit, Process};
pub use request::{OutOfBand, Raw, Request};
#[cfg(feature = "qmp")]
pub use workflow::{EndedBy, Fdset, JobOutcome, ShutDown, Unplugged};

pub use qmp_types as types;
#[cfg(feature = "qga")]
pub use qmp_types::qga;
#[cfg(feature = "qmp")]
pub use qmp_types::qmp;
