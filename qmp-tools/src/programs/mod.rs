//! The programs: their arguments, and what they do.
//!
//! Each is a subcommand of `qmp`, and some are also programs of their own.

pub mod agent;
pub mod info;
#[cfg(unix)]
pub mod ls;
pub mod manual;
#[cfg(unix)]
pub mod proxy;
#[cfg(unix)]
pub mod record;
#[cfg(unix)]
pub mod replay;
pub mod schema;
pub mod shell;
#[cfg(unix)]
pub mod sim;
