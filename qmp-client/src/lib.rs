//! A client of QMP, the protocol by which programs drive QEMU.
//!
//! - A *command* is a struct; executing it gives what it returns. `qmp::commands` has all of
//!   QEMU's, [`Raw`] is one by its name.
//! - An *event* is a struct too; `qmp::AnyEvent` is one of them all, [`RawEvent`] one as text.
//! - A *client* executes commands and collects events over one connection:
//!   [`blocking::Client`].
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
//! # Features
//!
//! - `blocking` (default): the client that blocks its thread.
//! - `qmp` (default), `qga`: the vocabularies of QEMU's monitor and of the guest agent.

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
pub mod machine;
#[cfg(any(feature = "tokio", feature = "futures-io"))]
mod nonblocking;
mod options;
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
pub use agent::{Exec, ExecOutput};
#[cfg(feature = "qmp")]
pub use capabilities::Capabilities;
pub use error::{
    Closed, End, Error, LaunchError, Mismatch, Misuse, ProtocolError, Result, ServerError, Subject,
    Timeout, TransportError, WaitedFor,
};
pub use events::{Occurrence, RawEvent};
pub use machine::Garbage;
#[cfg(all(feature = "qga", any(feature = "tokio", feature = "futures-io")))]
pub use nonblocking::{Agent, ConnectingAgent};
#[cfg(any(feature = "tokio", feature = "futures-io"))]
pub use nonblocking::{Call, Client, Connecting, Driver, Events, Next, Until};
pub use options::Options;
pub use request::{OutOfBand, Raw, Request};
#[cfg(feature = "qmp")]
pub use workflow::{JobOutcome, ShutDown, Unplugged};

pub use qmp_types as types;
#[cfg(feature = "qga")]
pub use qmp_types::qga;
#[cfg(feature = "qmp")]
pub use qmp_types::qmp;
