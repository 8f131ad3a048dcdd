//! The asynchronous client: a handle that is cheap to clone, and a driver.
//!
//! Nothing here knows a runtime. The driver is a future that owns the socket and the timer, by way
//! of a [`Link`](crate::runtime::Link) and a [`Clock`](crate::runtime::Clock). The handles share the
//! connection with it, guarded by a lock:
//!
//! ```text
//!   Client, Call, Events ──lock──> State ──lock── Driver ──> Link, Clock
//!        (handles)           connection, inbox,             (a runtime's)
//!                            detached calls
//! ```
//!
//! There is one lock, of the [`State`](shared::State), and it is held briefly: never across an
//! `.await`, never while a task is woken. While it is held, bytes are moved only by a caller that sends
//! its own command ([`Direct`](direct::Direct)), by one write that does not block. Of other people's
//! code, only predicates, undo functions and the transcript run while it is held, and they must not use
//! the client. Wakers, predicates and answers are dropped after the lock is released, since they may own
//! handles.
//!
//! What only drivers call, and what few programs do, is `#[inline]`: it is compiled by those that contain
//! it, and not for every program with the blocking client. What handles detached calls comes with the first
//! of them, by way of function pointers.

mod call;
mod client;
mod connecting;
mod detached;
mod direct;
mod draft;
mod driver;
mod ended;
mod ends;
mod events;
mod parting;
mod reply;
mod rest;
mod shared;
mod submitted;
mod ticket;
mod undo;
mod until;
mod writer;

pub use call::Call;
pub use client::Client;
pub use connecting::Connecting;
pub(crate) use connecting::start;
pub use driver::Driver;
pub use events::{Events, Next};
pub use reply::Reply;
pub use ticket::Ticket;
pub use undo::Undo;
pub use until::Until;
