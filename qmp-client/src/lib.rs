//! A client of QMP, the protocol by which programs control QEMU.
//!
//! - A *command* is a struct; executing it returns its reply, which has a type, too. `qmp::commands`
//!   has all commands of QEMU; [`Raw`] is a command by its name.
//! - An *event* is a struct, too. `qmp::AnyEvent` is the enum of them all; [`RawEvent`] is an event
//!   that has not been decoded.
//! - A *client* executes commands and subscribes to events over one connection: the asynchronous
//!   [`Client`], or the one in the module `blocking`.
//! - The *protocol* itself is in the crate [`qmp-protocol`](protocol), which does no I/O.
//!
//! Everything that takes more than one command (unplugging, jobs, migration, shutdown), the guest
//! agent, and launching QEMU are in the crate [`qmp-vm`](https://docs.rs/qmp-vm).
//!
//! ```no_run
//! # #[cfg(all(feature = "qmp", feature = "blocking"))] {
//! use qmp_client::{blocking::Client, qmp::commands::QueryStatus};
//!
//! let vm = Client::connect("unix:/run/vm.sock")?;
//! println!("{}", vm.execute(QueryStatus::new())?.status);
//! # }
//! # Ok::<(), qmp_client::Error>(())
//! ```
//!
//! # Two clients, one vocabulary
//!
//! Both clients have the same methods, so that moving a program from one to the other means adding
//! or deleting `.await`. Both are handles: cheap to clone, and used through `&self`, by threads or by
//! tasks.
//!
//! | | blocking | asynchronous |
//! | --- | --- | --- |
//! | connect | `Client::connect("unix:/run/vm.sock")?` | `Client::connect("unix:/run/vm.sock").await?` |
//! | your own stream | `Client::over(stream, &options)?` | `Client::over(stream, &options).await?` |
//! | a command | `vm.execute(Stop::new())?` | `vm.execute(Stop::new()).await?` |
//! | with options | `vm.call(c).within(d).with_fd(fd).execute()?` | `vm.call(c).within(d).with_fd(fd).execute().await?` |
//! | and an event | `vm.call(c).until(\|e: &E\| ..)?` | `vm.call(c).until(\|e: &E\| ..).await?` |
//! | and a guard that undoes it | `vm.call(c).execute_undoable(undo)?` | `vm.call(c).execute_undoable(undo).await?` |
//! | several at once | `vm.send(c)?`, then `ticket.receive()?` | `vm.send(c)?`, then `ticket.receive().await?` |
//! | all events | `vm.events::<AnyEvent>()` | `vm.events::<AnyEvent>()` |
//! | events of one type | `vm.events_of::<E>().matching(\|e\| ..)` | `vm.events_of::<E>().matching(\|e\| ..)` |
//! | the next event | `events.next_within(d)` | `events.next_within(d).await` |
//! | undecoded | `vm.raw_events()`, `vm.execute(Raw::new("x"))?` | `vm.raw_events()`, `vm.execute(Raw::new("x")).await?` |
//! | the end | `vm.closed()`, `vm.ended()`, `vm.close()` | `vm.closed().await`, `vm.ended()`, `vm.close()` |
//!
//! # Asynchronous programs
//!
//! With the feature `tokio`, [`Client`] connects by itself:
//!
//! ```no_run
//! # #[cfg(all(feature = "qmp", feature = "tokio"))]
//! # async fn example() -> qmp_client::Result<()> {
//! use qmp_client::Client;
//! use qmp_client::qmp::commands::{DeviceDel, QueryName, QueryStatus};
//! use qmp_client::qmp::events::{DeviceDeleted, Watchdog};
//!
//! let vm = Client::connect("unix:/run/vm.sock").await?;
//!
//! // Calls that are polled together are in flight together.
//! let (status, name) = tokio::join!(vm.execute(QueryStatus::new()), vm.execute(QueryName::new()));
//! println!("{} {:?}", status?.status, name?.name);
//!
//! // A command, and an event that follows it.
//! let deleted = |event: &DeviceDeleted| event.device.as_deref() == Some("d0");
//! vm.call(DeviceDel::new("d0")).until(deleted).await?;
//!
//! // A subscription; any number of them, each with a queue of its own.
//! let mut watchdogs = vm.events_of::<Watchdog>();
//! while let Some(watchdog) = watchdogs.next().await {
//!     println!("{:?}", watchdog?.event.action);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `connect` spawns a task, the *driver*, which does the I/O of the connection and closes the socket at
//! the end. On a current-thread runtime, the socket stays open after the last handle has been dropped
//! until the runtime is polled again.
//!
//! Any future may be dropped at any moment without affecting other calls: [`Client`] says what that
//! means for the command. With the feature `futures-io`, the same client works over streams of
//! `futures-io`, as smol has them. For any other runtime, implement the two traits of [`runtime`].
//!
//! # Deadlines and errors
//!
//! Every call has a deadline: its own, that of the [options](Options::calls_within), or the
//! [recommended one](deadlines::recommended) of its command, a minute for most. When it passes, only
//! that call fails, and a late reply is dropped when it arrives.
//!
//! The variant of an [`Error`] says why a call failed. Its [`report`](Error::report) is one line for a
//! log, in which whatever a peer sent is escaped.
//!
//! # What does not compile
//!
//! A command that may not be executed out-of-band, in `execute_oob`:
//!
//! ```compile_fail,E0277
//! # fn example(vm: qmp_client::blocking::Client) {
//! vm.execute_oob(qmp_client::qmp::commands::QueryStatus::new());
//! # }
//! ```
//!
//! This one may be:
//!
//! ```
//! # #[cfg(all(feature = "qmp", feature = "blocking"))]
//! # fn example(vm: qmp_client::blocking::Client) {
//! vm.execute_oob(qmp_client::qmp::commands::MigratePause::new());
//! # }
//! ```
//!
//! A mandatory argument that is missing, and an argument of the wrong type:
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
//! Everything works on Linux, and on other Unix systems except for abstract socket names and paths
//! beyond the system's limit, which only Linux has. On Windows, and on other systems without Unix
//! sockets, TCP and any stream of your own work. Connecting to the address of a Unix socket is an
//! [error](Error::Transport) of the kind [`Unsupported`](std::io::ErrorKind::Unsupported) there, and
//! the methods that pass file descriptors do not exist.
//!
//! # Features
//!
//! Features add items, and change nothing that exists.
//!
//! - `blocking` (default): the client that blocks its threads, module `blocking`, without an
//!   asynchronous runtime.
//! - `tokio`: the asynchronous client on tokio, module `tokio`.
//! - `futures-io`: the asynchronous client on streams of `futures-io`, module `futures_io`.
//! - `qmp` (default): the *vocabulary* (commands, events and types) of QEMU's monitor, module `qmp`.
//! - `qga`: the vocabulary of the guest agent, module `qga`.
//! - `devices`: common devices as types, module `devices`.
//! - `tracing`: spans and events of `tracing`.
//!
//! # Statistics and traces
//!
//! `stats()` of either client returns its [`Stats`]: calls by outcome, latencies, events and bytes.
//!
//! With the feature `tracing`, each call is a span `call` at level `DEBUG`, target `qmp_client`. Its
//! fields are `command`, `id`, `monitor` (the address, or the [name](Options::name)), `outcome` and
//! `latency_us`. The outcome is `ok`, the class of the server's error, `timed out`, `canceled` (the
//! future or the ticket was dropped), `closed`, `mismatched` or `failed`. Each event of QEMU is an event
//! of `tracing`, too, with its name. Messages are only recorded at level `TRACE`, target `qmp_protocol`,
//! with their secrets masked. Events and messages are recorded while the client holds its lock: a
//! subscriber should be quick, and must not use the client.

// docs.rs labels what a feature adds.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The traits without `serde` itself, which only programs that derive them have to compile.
extern crate serde_core as serde;

mod address;
mod attempts;
#[cfg(any(feature = "blocking", feature = "futures-io", feature = "tokio"))]
mod endpoint;
mod error;
mod inbox;
mod nonblocking;
mod obstacle;
mod options;
mod pending;
mod queue;
#[cfg(any(feature = "blocking", feature = "futures-io", feature = "tokio"))]
mod resolve;
pub mod runtime;
mod selector;
#[cfg(unix)]
pub mod socket;
mod stats;
mod term;

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(feature = "futures-io")]
pub mod futures_io;
#[cfg(any(doc, doctest))]
pub mod testing;
#[cfg(feature = "tokio")]
pub mod tokio;
mod trace;
mod transcript;
#[cfg(feature = "blocking")]
pub mod transport;

pub use address::{Address, AddressError, ToAddress};
pub use error::{Error, LaunchError, Result, TransportError};
pub use nonblocking::{Call, Client, Connecting, Driver, Events, Next, Reply, Ticket, Undo, Until};
pub use options::Options;
pub use pending::Pending;
pub use stats::{CallStats, EventStats, Histogram, Refusals, Stats};

pub use qmp_protocol as protocol;
pub use qmp_protocol::{
    Closed, Dialect, Direction, Dropped, End, Garbage, Mismatch, Misuse, Occurrence, OutOfBand,
    ProtocolError, Raw, RawEvent, Request, ServerError, Service, Subject, Timeout, WaitedFor,
    deadlines,
};
pub use qmp_types::recording;
pub use qmp_types::{
    AllowOob, Command, Empty, ErrorClass, Event, Greeting, QmpError, Timestamp, Version, Vocabulary,
};

#[cfg(feature = "devices")]
pub use qmp_types::devices;
#[cfg(feature = "qga")]
pub use qmp_types::qga;
#[cfg(feature = "qmp")]
pub use qmp_types::qmp;

#[cfg(all(doctest, feature = "blocking", feature = "qmp"))]
#[doc = include_str!("../README.md")]
struct Readme;
