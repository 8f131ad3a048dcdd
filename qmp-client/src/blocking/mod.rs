//! The client that blocks its threads.
//!
//! [`Client`] is a loop around the [protocol](crate::protocol): no runtime, and no thread of its own.
//! A thread that waits for something reads what arrives, for itself and for all other threads that
//! use the connection. Every wait has a deadline, for the whole wait and not for each read.
//!
//! ```no_run
//! # #[cfg(feature = "qmp")] {
//! use std::time::Duration;
//!
//! use qmp_client::blocking::Client;
//! use qmp_client::qmp::AnyEvent;
//! use qmp_client::qmp::commands::{DeviceDel, QueryName, QueryStatus, QueryUuid, Stop};
//! use qmp_client::qmp::events::DeviceDeleted;
//!
//! let vm = Client::connect("unix:/run/vm.sock")?;
//!
//! // One command, one reply.
//! println!("{}", vm.execute(QueryStatus::new())?.status);
//!
//! // Several commands at once.
//! let (name, uuid) = (vm.send(QueryName::new())?, vm.send(QueryUuid::new())?);
//! println!("{:?} {}", name.receive()?.name, uuid.receive()?.uuid);
//!
//! // A command, and an event that follows it.
//! let deleted = |event: &DeviceDeleted| event.device.as_deref() == Some("d0");
//! vm.call(DeviceDel::new("d0")).within(Duration::from_secs(10)).until(deleted)?;
//!
//! // A subscription; any number of them, each with a queue of its own.
//! let mut events = vm.events::<AnyEvent>();
//! vm.execute(Stop::new())?;
//! if let Some(event) = events.next_within(Duration::from_secs(1)) {
//!     println!("{:?}", event?.event);
//! }
//! # }
//! # Ok::<(), qmp_client::Error>(())
//! ```
//!
//! One thread can wait for events while others execute commands:
//!
//! ```no_run
//! # #[cfg(feature = "qmp")] {
//! use qmp_client::blocking::Client;
//! use qmp_client::qmp::{AnyEvent, commands::Cont};
//!
//! let vm = Client::connect("unix:/run/vm.sock")?;
//! let events = vm.events::<AnyEvent>();
//! let watcher = std::thread::spawn(move || {
//!     for event in events {
//!         println!("{event:?}");
//!     }
//! });
//! vm.execute(Cont::new())?;
//! // Closing the connection wakes the thread.
//! vm.close();
//! let _ = watcher.join();
//! # }
//! # Ok::<(), qmp_client::Error>(())
//! ```

mod burst;
mod call;
mod client;
mod connect;
mod connecting;
mod events;
mod here;
mod reply;
mod shared;
mod state;
mod ticket;
mod undo;
mod wait;
mod wire;

pub use call::Call;
pub use client::Client;
pub use connecting::{Connecting, over};
pub use events::Events;
pub use ticket::Ticket;
pub use undo::Undo;
