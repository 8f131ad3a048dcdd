//! The parts of a prompt that its caller has or makes.

use std::io::Write;

use qmp_client::blocking::Client;

use crate::shell::Session;
use crate::shell::session::{Confirm, Peer};

/// The machine that a prompt is for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The connection, for what is asked in the background.
    pub client: Client,
    /// The kind of server.
    pub peer: Peer,
    /// Its address, which tells it from others if it has neither UUID nor name.
    pub address: String,
}

/// The person at the terminal, as the session sees them.
pub struct Handles {
    /// Prints replies and events.
    pub output: Box<dyn Write + Send>,
    /// Prints messages.
    pub messages: Box<dyn Write + Send>,
    /// Asks a question.
    pub confirm: Confirm,
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}

/// A session of a person.
pub(super) type PersonalSession = Session<Box<dyn Write + Send>>;
