//! A connection that reconnects whenever it ends.
//!
//! [`Supervised`] is a handle, on either client. In the background, a *keeper* connects, negotiates, finds
//! out which QEMU answers, and does so again whenever the connection has ended; it waits longer after each
//! failure. The keeper is a task of tokio, a future that you spawn on another runtime, or a thread for the
//! blocking client.
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn example() -> qmp_client::Result<()> {
//! use qmp_client::qmp::commands::QueryStatus;
//! use qmp_client::qmp::events::Shutdown;
//! use qmp_vm::supervise::{Gap, Item, Supervision};
//!
//! let vm = qmp_vm::tokio::supervise("unix:/run/vm.sock", Supervision::new())?;
//! println!("{}", vm.execute(QueryStatus::new()).await?.status);
//!
//! let mut shutdowns = vm.events_of::<Shutdown>();
//! while let Some(item) = shutdowns.next().await {
//!     match item? {
//!         Item::Event(shutdown) => println!("{:?}", shutdown.event.reason),
//!         Item::Gap(Gap::Reconnected(connection)) => println!("{}", connection.same_qemu),
//!         Item::Gap(gap) => println!("{gap}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What becomes of a call
//!
//! [`Supervised::execute`] waits for the connection if there is none, within the call's deadline. Its
//! error says what became of the command ([`CallError::fate`]): answered, certainly not executed, or
//! perhaps executed. A command that has no effect ([`Command::READ_ONLY`](qmp_client::Command)) is
//! repeated on the next connection, within the same deadline. Any other command is executed once at
//! most. If the QEMU has been replaced since the call began, as far as that is
//! [known](SameQemu::is_another), the command is not sent. Over TCP, and on systems other than Linux, a
//! machine that was started again with the same UUID and name is not known to have been replaced.
//!
//! # Events
//!
//! A [subscription](Supervised::events) outlasts connections. Where events may be missing, it has an
//! item that says so, a [`Gap`], in order: everything that is older comes before it, and nothing that
//! happens later is missed.
//!
//! [`Supervised::changes`] tells of the connections themselves. Everything that takes a client, such
//! as [`Workflows`](crate::Workflows), works on the client of the [present
//! connection](Supervised::client_within), and ends with that.
//!
//! # The same QEMU?
//!
//! Each [`Connection`] compares its QEMU with that of the connection before: [`SameQemu`] says how.
//!
//! # The end
//!
//! When the last handle is dropped ([`Supervised`], [`Call`], [`Changes`] and [`Events`] are handles),
//! the keeper ends and the connection is closed, also for clients that were handed out.
//!
//! ```text
//!   Supervised, Call, Changes, Events ──lock──> State ──lock── keep ──> a source, a client
//!              (handles)                  phase, waiters      (keeper)
//! ```
//!
//! The loop of the keeper is written once. A client says how a stream is opened, how its I/O is done,
//! and how callers wait for the state to change ([`Supervisable`]).

mod backoff;
#[cfg(feature = "blocking")]
pub(crate) mod blocking;
mod call;
mod changes;
mod connection;
mod events;
mod front;
mod handle;
mod identity;
mod keep;
mod nonblocking;
mod process;
mod shared;
mod supervision;
mod waiters;
mod written;

pub use call::{Call, CallError, Fate};
pub use changes::{Change, Changes};
pub use connection::{Connection, Ended, Status};
pub use events::{Events, Gap, Item};
pub use front::Supervisable;
pub use handle::Supervised;
pub use identity::{Identity, SameQemu};
pub use nonblocking::{Keeper, Opened, Source, start};
pub use supervision::Supervision;

#[cfg(all(unix, feature = "blocking"))]
pub(crate) use blocking::wait_readable;

#[cfg(any(feature = "futures-io", feature = "tokio"))]
pub(crate) use nonblocking::no_stream;
#[cfg(all(unix, any(feature = "blocking", feature = "futures-io")))]
pub(crate) use process::peer_of;
