//! The guest agent.
//!
//! [`Agent`] is a client of it. [`Agent::exec`] and [`Agent::spawn`] run programs in the guest,
//! [`Agent::read_file`] and [`Agent::write_file`] move files, [`Agent::freeze`] freezes the guest's
//! file systems for a snapshot, and [`Agent::shutdown`] and [`Agent::suspend`] end or suspend the
//! guest.

mod bytes;
mod client;
mod exec;
mod file;
mod freeze;
mod impossible;
mod mode;
#[cfg(unix)]
mod thaw_watch;

pub use client::Agent;
pub use exec::{Exec, ExecOutput, Running};
pub use freeze::Frozen;
pub use mode::{ShutdownMode, SuspendMode};
#[cfg(unix)]
pub use thaw_watch::ThawWatch;
