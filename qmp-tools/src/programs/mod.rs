//! The programs: their arguments, and what they do.
//!
//! Each is a subcommand of `qmp`, and some are also programs of their own.

pub mod info;
#[cfg(unix)]
pub mod proxy;
pub mod schema;
pub mod shell;
#[cfg(unix)]
pub mod sim;
