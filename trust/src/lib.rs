//! Tries to break the client.
//!
//! - [`faults`]: every fault at every byte of recorded sessions, on every front end.
//! - [`simulation`]: every interleaving of socket, timers, drops and wakes that a seed can think of.
//! - `soak`: the traffic of a month.

pub mod faults;
mod random;
pub mod record;
pub mod simulation;
#[cfg(unix)]
pub mod soak;

pub use random::Random;
