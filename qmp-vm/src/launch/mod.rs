//! Launching QEMU, and ending it again.

mod argument;
mod chardev;
pub(crate) mod launched;
pub(crate) mod launching;
mod program;
mod shell;
mod start;
pub(crate) mod started;

pub use launched::Launched;
pub use launching::Launching;
pub use program::Launch;
