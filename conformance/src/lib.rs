//! Runs the typed vocabularies against real QEMUs.
//!
//! Every reply and event is decoded into its type, encoded again, and compared with what arrived,
//! member by member: a value that the schema does not know, or a member that it does not have, is
//! a failure, although a client would carry on.
//!
//! - [`for_each_qmp_query`] and [`for_each_qga_query`] visit every command that can be executed
//!   without arguments. They are made from the schema, so that none is forgotten.
//! - A [`Session`] is a connection that checks everything that passes, and counts it in a
//!   [`Tally`].
//! - [`qemus`] are the programs to test against.

#![cfg(unix)]

mod compare;
mod programs;
mod scratch;
mod session;
mod tally;

use std::fmt::Debug;

use qmp_client::types::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use compare::{Checked, check};
pub use programs::{beside_qemus, qemus};
pub use scratch::Scratch;
pub use session::{PATIENCE, Session};
pub use tally::{Outcome, Tally};

/// What is done with each of many commands of different types.
pub trait Visit {
    /// Visits one.
    fn command<C>(&mut self, command: C)
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize;
}

mod queries {
    use super::{Checked, Visit, check};

    include!(concat!(env!("OUT_DIR"), "/queries.rs"));

    /// Decodes an event's data, encodes it, and compares.
    ///
    /// # Errors
    /// It does not fit, or something was lost.
    pub fn check_event(name: &str, data: &str) -> Result<Checked, String> {
        event_of_qmp(name, data)
    }
}

pub use queries::{check_event, for_each_qga_query, for_each_qmp_query};
