//! The needs of workflows, and their implementations for both clients.

#[cfg(feature = "blocking")]
mod blocking;
#[cfg(feature = "blocking")]
mod guard;
#[cfg(unix)]
pub(crate) mod kept;
mod nonblocking;
mod outcome;
pub(crate) mod rollback;
pub(crate) mod session;

pub use outcome::Monitor;
