//! A server for QMP, the QEMU Machine Protocol.
//!
//! - A [`Router`] maps commands to typed handlers. A handler borrows your machine and returns the
//!   result, or takes a [`Reply`] and sends it later, from any thread or task; a handler may also
//!   run on a thread of its own or be an `async fn`. A command without a handler gets the error that
//!   QEMU sends for a command it does not have.
//! - A [`Server`] combines a machine, its router and all connected clients. Clients connect over
//!   Unix sockets or TCP, served on threads or in tasks of tokio, or from within the process.
//! - [`Events`] emits events from anywhere, without waiting for the machine or for a client.
//! - A [`Connection`] is one client without I/O, for event loops of your own. Below it is the
//!   [`Session`], which implements the protocol alone, without a machine or a router.
//! - A `Simulator` (feature `simulator`, enabled by default) is a simulated virtual machine for
//!   tools and tests to talk to, and an `agent::AgentSimulator` (feature `agent`) a simulated guest
//!   agent.
//! - For tests of client code, a [`Script`](script::Script) states what a server expects, answers and
//!   does wrong, and a [`Replay`](replay::Replay) answers from the recording of a session.
//!
//! The server behaves exactly as QEMU does, because clients and people are used to QEMU: greeting,
//! capabilities negotiation and out-of-band execution; JSON with or without newlines and with
//! single quotes; the texts of errors, and recovery after them; checks of all arguments against the
//! schema; file descriptors that arrive with commands; rate limits for events that could be emitted
//! in floods. Memory use is bounded no matter what clients send or leave unread, for one client and
//! for all together (see [`Limits`] and [`Usage`]). A panic in a handler is an error reply.
//!
//! ```
//! # #[cfg(feature = "simulator")] {
//! use qmp_server::{Context, Router, Server};
//! use qmp_types::qmp::commands::{QueryStatus, Stop};
//! use qmp_types::qmp::types::{RunState, StatusInfo};
//! use qmp_types::{Empty, Version, qmp};
//!
//! struct Machine {
//!     running: bool,
//! }
//!
//! let router = Router::new()
//!     .introspection(qmp::INTROSPECTION)
//!     .command(|machine: &mut Machine, _: QueryStatus, _: &mut Context| {
//!         let status = if machine.running { RunState::Running } else { RunState::Paused };
//!         Ok(StatusInfo::new(machine.running, status))
//!     })
//!     .command(|machine: &mut Machine, _: Stop, context: &mut Context| {
//!         if std::mem::take(&mut machine.running) {
//!             context.emit(&qmp::events::Stop::new());
//!         }
//!         Ok(Empty {})
//!     });
//! let server = Server::new(Version::default(), router, Machine { running: true })?;
//!
//! let client = server.connect();
//! client.receive(b"{'execute': 'qmp_capabilities'}");
//! client.receive(b"{'execute': 'stop', 'arguments': {'now': true}}");
//! let output = String::from_utf8(client.take_output())?;
//! assert!(output.ends_with("\"desc\": \"Parameter 'now' is unexpected\"}}\r\n"));
//! client.receive(b"{'execute': 'query-commands'}");
//! let output = String::from_utf8(client.take_output())?;
//! assert!(output.contains("query-status") && !output.contains("query-block"));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Threads or tasks
//!
//! On threads, [`serve_unix`](Server::serve_unix), [`serve_tcp`](Server::serve_tcp),
//! [`serve`](Server::serve) and [`spawn`](Server::spawn) share a few threads, of which one waits for
//! all idle clients. The thread that reads a command executes it and writes the reply, and a thread
//! that emits an event writes it to all clients, without waiting for any of them. With the feature
//! `tokio`, the functions of the same names in the module `tokio` make each client a task.
//! [`SocketFile`] creates a Unix socket with permissions, and removes it at the end.
//!
//! # Your own vocabulary
//!
//! Commands need not be QEMU's. A build script can generate types from your own schema, together
//! with the constructors that replies and events need and the text that [`Router::introspection`]
//! takes; for the text, `qmp-codegen` needs its feature `introspection`. `examples/toy-vmm` in the
//! repository is a whole VMM of this kind. Without their default features, this crate and `qmp-types`
//! contain no vocabulary.
//!
//! ```text
//! qmp_codegen::Builder::new()
//!     .schema("schema/vmm.json")
//!     .constructors_for_all()
//!     .introspection()
//!     .generate("vmm")
//! ```

// docs.rs labels what a feature adds.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The traits without `serde` itself, which only programs that derive them have to compile.
extern crate serde_core as serde;

mod accept;
#[cfg(feature = "agent")]
pub mod agent;
mod arguments;
mod budget;
mod build_error;
mod call;
mod client;
mod clock;
mod close_reason;
mod connection;
mod context;
mod descriptors;
mod dispatch;
mod effects;
mod emitted;
mod events;
mod exclusive;
mod handle;
mod handler;
mod hub;
mod incoming;
mod input;
mod introspection;
mod json;
mod limits;
mod link;
mod negotiation;
mod ordered;
mod output;
mod peer;
mod places;
pub mod replay;
mod reply;
mod request;
mod router;
mod schema;
mod server;
mod session;
mod shared;
#[cfg(feature = "simulator")]
mod simulator;
#[cfg(unix)]
mod socket;
#[cfg(unix)]
mod socket_file;
mod sync;
#[cfg(unix)]
mod threads;
#[cfg(not(unix))]
#[path = "threads/portable.rs"]
mod threads;
mod throttle;
mod usage;

pub mod script;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use accept::accept;
pub use build_error::BuildError;
pub use call::Call;
pub use client::{Client, Credentials, Identity};
pub use clock::{Clock, SystemClock};
pub use close_reason::CloseReason;
pub use connection::Connection;
pub use context::Context;
pub use descriptors::Descriptor;
pub use events::Events;
pub use handle::{MachineHandle, WeakMachineHandle};
pub use introspection::SchemaError;
pub use limits::Limits;
pub use reply::Reply;
pub use request::{Request, Ticket};
pub use router::Router;
pub use schema::Schema;
pub use server::{Server, ServerBuilder};
pub use session::{Budgets, Session};
#[cfg(feature = "simulator")]
pub use simulator::{Machine, Simulator, SimulatorBuilder};
#[cfg(unix)]
pub use socket::Socket;
#[cfg(unix)]
pub use socket_file::SocketFile;
pub use throttle::RateLimit;
pub use usage::Usage;

/// Compiles the program in the README as a doctest.
#[cfg(all(doctest, feature = "simulator", unix))]
#[doc = include_str!("../README.md")]
struct Readme;
