//! Workflows of several commands and events.

mod disk;
mod job;
mod machine;
mod screen;

pub use disk::Fdset;
