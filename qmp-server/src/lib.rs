//! The server's side of QMP, QEMU's machine protocol.
//!
//! - A [`Router`] says which commands a machine of yours executes: a typed handler for each, which
//!   returns what the command returns, and emits events by way of its [`Context`]. What has no
//!   handler is answered as QEMU answers a command that it does not have.
//! - A [`Server`] is a machine, its router, and everybody who is connected: several clients at
//!   once, over Unix and TCP sockets, over any [`Stream`], or within the process.
//! - A [`Connection`] is one client, without I/O, for event loops of your own. Below it is the
//!   [`Session`], the protocol alone, without machine and router.
//! - A `Simulator` (feature `simulator`, on by default) is a machine that is not there, for tools
//!   and tests that need one to talk to.
//!
//! The protocol is QEMU's to the letter, since clients and people have met QEMU: greeting,
//! negotiation and out-of-band execution; JSON with or without newlines and with single quotes; the
//! words of its errors, and the way on after them; checks of all arguments against the schema;
//! rate limits for the events that a guest could cause in floods. Memory is bounded whatever a
//! client sends, or does not read ([`Limits`]).
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
//! let server = Server::new(Version::default(), router, Machine { running: true });
//!
//! let client = server.connect();
//! client.receive(b"{'execute': 'qmp_capabilities'}");
//! client.receive(b"{'execute': 'stop', 'arguments': {'now': true}}");
//! let said = String::from_utf8(client.take_output())?;
//! assert!(said.ends_with("\"desc\": \"Parameter 'now' is unexpected\"}}\r\n"));
//! client.receive(b"{'execute': 'query-commands'}");
//! let said = String::from_utf8(client.take_output())?;
//! assert!(said.contains("query-status") && !said.contains("query-block"));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A vocabulary of one's own
//!
//! Commands need not be QEMU's. A build script generates those of your schema, with the
//! constructors that replies and events need, and with what [`Router::introspection`] takes; this
//! crate and `qmp-types` bring no other vocabulary without their default features.
//!
//! ```text
//! qmp_codegen::Builder::new()
//!     .schema("schema/vmm.json")
//!     .constructors_for_all()
//!     .introspection()
//!     .generate("vmm")
//! ```

mod arguments;
mod connection;
mod introspection;
mod json;
mod ordered;
mod peer;
mod request;
mod router;
mod serve;
mod server;
mod session;
mod shared;
#[cfg(feature = "simulator")]
mod simulator;
mod sync;
mod throttle;

pub use connection::Connection;
pub use request::Request;
pub use router::{Context, Router};
pub use serve::Stream;
pub use server::Server;
pub use session::{Closed, Limits, Session};
#[cfg(feature = "simulator")]
pub use simulator::{Machine, Simulator, SimulatorBuilder};
