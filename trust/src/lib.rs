//! Tries to break the client.
//!
//! - [`simulation`]: every interleaving of socket, timers, drops and wakes that a seed can think of.

mod random;
pub mod simulation;

pub use random::Random;
