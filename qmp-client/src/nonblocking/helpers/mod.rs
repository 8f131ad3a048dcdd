//! Workflows of several commands and events.

mod disk;
mod job;
mod machine;
mod screen;

#[cfg(unix)]
pub use disk::FdsetGuard;
pub use job::Jobs;
