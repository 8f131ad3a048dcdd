//! Many clients on one monitor.
//!
//! QEMU serves one client per monitor. A [`Proxy`] is that client, and serves any number of others:
//! over sockets at which it [listens](Proxy::listen), and within this program through
//! [`Proxy::connect`].
//!
//! ```no_run
//! use qmp_client::blocking::Client;
//! use qmp_client::qmp::commands::QueryStatus;
//! use qmp_client::transport::Unix;
//! use qmp_server::SocketFile;
//! use qmp_vm::proxy::{Access, Policy, Proxy};
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = Proxy::connect_to(&"unix:/run/vm.sock".parse()?)?;
//! // A dashboard may look, but not touch.
//! let watch = Access::new().policy(Policy::read_only());
//! proxy.listen(SocketFile::bind("/run/vm-watch.sock", 0o660)?, watch)?;
//! // Another monitor, for this program alone.
//! let vm = Client::over(Unix::from_stream(proxy.connect(Access::new())?)?, &Default::default())?;
//! println!("{}", vm.execute(QueryStatus::new())?.status);
//! # Ok(())
//! # }
//! ```
//!
//! [`Proxy::connect`] returns a stream, for each of the clients: on tokio, it is set to non-blocking
//! mode and goes through `tokio::net::UnixStream::from_std`.
//!
//! # How it works
//!
//! ```text
//!  client ──> Session ──Request──┐                       ┌──> QEMU
//!  client ──> Session ──Request──┼──> Connection ────────┤
//!  client ──> Session ──Request──┘    (ids, window,      └<── replies, events
//!      ^                               deadlines)               │
//!      └──────────── reply to who asked, event to who wants it ─┘
//! ```
//!
//! Both halves exist: `qmp_server::Session` is the server's side of a connection without I/O, and
//! [`qmp_protocol::Connection`](qmp_client::protocol::Connection) the client's side. This module
//! connects them, and one thread does the I/O of all connections.
//!
//! - *Clients are independent.* Each has its own greeting (QEMU's, with the capabilities that the proxy
//!   has enabled), negotiation, ids, [events](Access::events), [policy](Policy) and
//!   [deadline](Access::calls_within). Ids are repeated exactly as they were sent.
//! - *Text passes as it is.* Arguments, return values and the data of events keep the spelling of
//!   numbers and the order of members. Only strings in single quotes are written anew.
//! - *Order and fairness.* A client's in-band commands are executed one at a time, in order, as in
//!   QEMU. Up to eight commands of different clients are in flight, the others take turns: a client
//!   that sends many commands waits for its own. Out-of-band commands of clients that have enabled them
//!   pass all of these.
//! - *Descriptors* travel with `add-fd` and `getfd`, over Unix sockets. Other commands do not get any:
//!   QEMU would keep them for a later command, of another client.
//!
//! # Further monitors
//!
//! A client opens another one with [`Workflows::open_monitor`](crate::Workflows::open_monitor), as on a
//! QEMU that has monitors to be added: it passes a socket with the command [`OPEN_MONITOR`], and the
//! proxy serves that as a further client with the same rights. The socket may lead anywhere, even to the
//! proxy itself: the client is disconnected at its first error before the end of its negotiation, and
//! after a few messages in a row that are not commands. The greeting of a proxy that opens monitors has
//! the capability `__qmp-vm_open-monitor`. QEMU's own monitors are preferred where they exist, unless the
//! client's [`Access`] is restricted, or the proxy records: then `__qmp-vm_open-monitor-only` is in the
//! greeting as well, and an `object-add` of such a monitor is denied, because it would be neither restricted nor recorded.
//! `human-monitor-command` can do the same, and much else: deny it, too.
//!
//! [`connect_shared`] and [`Launch::shared`](crate::Launch::shared) put a proxy below a client only for
//! that purpose. A [`Proxy`] that is [detached](Proxy::detach) ends with its last client.
//!
//! # What clients share
//!
//! There is one monitor behind the proxy. The names that `getfd` gives belong to all clients, and like
//! everything else that a client has created, descriptors stay when it leaves: sets of descriptors
//! belong to the machine, and another client may use them. Only what a client cannot have known of is
//! undone: descriptors of an `add-fd` or a `getfd` whose reply did not reach its client are removed
//! again.
//!
//! `quit` ends QEMU for everyone; deny it where that is not wanted. `query-commands` and
//! `query-qmp-schema` are QEMU's, and list denied commands, too.
//!
//! # Clients that misbehave
//!
//! A client that sends garbage gets QEMU's errors. One that sends half a message uses memory within
//! [`Limits`](qmp_server::Limits), those of one connection and of all together. If a client does not
//! read, the proxy executes none of its commands while half of `output_bytes` waits for it, and an
//! event that exceeds `output_bytes` disconnects it. If a client disconnects, its commands that QEMU has
//! not received are dropped, and the replies to others discarded.
//!
//! # The end
//!
//! When QEMU closes the connection, each command that was not answered gets an error that says whether
//! it may have been executed; then all clients are disconnected. [`Proxy::wait`] returns the reason.
//! The proxy does not reconnect: what clients know of the machine may no longer hold.

mod access;
mod commands;
mod end;
mod handle;
mod listener;
mod mailbox;
mod masked;
mod policy;
mod poller;
mod service;
pub(crate) mod shared;
mod switchboard;
mod text;
mod upstream;

pub use access::Access;
pub use end::ProxyEnd;
pub use handle::{Proxy, ProxyOptions};
pub use listener::Listener;
pub use policy::Policy;
pub use shared::connect_shared;
pub use switchboard::Counts;

/// The command of a proxy that serves the socket which travels with it as a further client, with the
/// rights of the client that executes it. It has no arguments and returns nothing. The name is that of an
/// extension in the manner of QAPI, which QEMU never uses itself.
pub const OPEN_MONITOR: &str = crate::another::OPEN_MONITOR;
