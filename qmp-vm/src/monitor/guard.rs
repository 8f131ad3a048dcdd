//! The guards of workflows on the blocking client.

use std::fmt;

use qmp_client::blocking::Client;
use qmp_client::{Request, Result};

use super::rollback::Rollback;
use super::session::Undo;

/// A guard that executes a command when it is dropped, and waits for its reply for as long as the
/// workflow has time for that. Code that decodes a reply or an event of the same connection cannot wait:
/// there, the command is sent.
pub struct Guard<U: Request> {
    armed: Option<(Client, U)>,
    rollback: Rollback,
}

impl<U: Request> Guard<U> {
    pub(super) fn new(client: &Client, command: Option<U>, rollback: &Rollback) -> Self {
        let armed = command.map(|command| (client.clone(), command));
        Self { armed, rollback: rollback.clone() }
    }

    fn execute(&mut self) -> Result<Option<U::Return>> {
        let Some((client, command)) = self.armed.take() else { return Ok(None) };
        let default = client.options().call_within(&command.name());
        let within = self.rollback.left(client.now(), default);
        // Not `execute`, which sends nothing within a decode.
        self.rollback.note(client.call(command).within(within).guard().run())
    }
}

impl<U: Request<Return: Send> + Send + 'static> Undo<U> for Guard<U> {
    async fn run(mut self) -> Result<Option<U::Return>> {
        self.execute()
    }

    fn disarm(mut self) {
        self.armed = None;
    }
}

impl<U: Request> Drop for Guard<U> {
    fn drop(&mut self) {
        // No caller is left to be told.
        let _ = self.execute();
    }
}

impl<U: Request> fmt::Debug for Guard<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("armed", &self.armed.is_some()).finish_non_exhaustive()
    }
}
