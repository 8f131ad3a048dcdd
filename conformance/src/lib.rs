//! Tests the typed vocabularies against real QEMUs.
//!
//! Every reply and event is decoded into its type, encoded again, and compared member by member with
//! the text that arrived. A value or a member that the schema does not know is a failure, although a
//! client would accept it.
//!
//! - [`for_each_qmp_query`] and [`for_each_qga_query`] visit every command that can be executed
//!   without arguments. They are generated from the schema, so that they miss none.
//! - A [`Session`] is a connection that checks every reply and event, and counts them in a
//!   [`Tally`].
//! - [`qemus`] returns the programs to test against.

#![cfg(unix)]

mod compare;
mod programs;
mod scratch;
mod session;
mod tally;

use std::fmt::Debug;
use std::path::Path;

use qmp_client::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use compare::{Checked, check};
pub use programs::{TARGETS, beside_qemus, qemus, targets};
pub use scratch::Scratch;
pub use session::{Session, TIMEOUT};
pub use tally::{Outcome, Tally};

/// Returns the architecture that a program emulates, by its name.
#[must_use]
pub fn target(qemu: &Path) -> String {
    let name = qemu.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_prefix("qemu-system-").unwrap_or("x86_64").to_owned()
}

/// A visitor of commands of different types.
pub trait Visit {
    /// Visits a command.
    fn command<C>(&mut self, command: C)
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize;
}

mod queries {
    use super::{Checked, Visit, check};

    include!(concat!(env!("OUT_DIR"), "/queries.rs"));

    /// Checks that an event's data survives decoding and encoding.
    ///
    /// # Errors
    /// Returns a description if the schema does not have the event, or if [`check`] fails.
    pub fn check_event(name: &str, data: &str) -> Result<Checked, String> {
        event_of_qmp(name, data)
    }
}

pub use queries::{check_event, for_each_qga_query, for_each_qmp_query};
