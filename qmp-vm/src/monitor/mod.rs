//! The needs of workflows, and their implementations for both clients.

#[cfg(feature = "blocking")]
mod blocking;
mod nonblocking;
mod outcome;
pub(crate) mod session;

pub use outcome::Monitor;
