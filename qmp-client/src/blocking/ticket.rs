//! Calls whose replies are received later.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use qmp_protocol::CallId;
use serde::de::DeserializeOwned;

use super::reply::receive;
use super::shared::Handle;
use crate::error::Result;

/// A call that has been submitted by [`send`](super::Client::send); [`receive`](Self::receive) waits
/// for its reply. `T` is the type of that.
///
/// Dropping the ticket abandons the call: if the command is still queued, it is not sent, and the
/// reply is dropped when it arrives.
#[must_use = "dropping a ticket abandons its call"]
pub struct Ticket<T> {
    handle: Handle,
    id: CallId,
    command: Cow<'static, str>,
    returns: PhantomData<fn() -> T>,
}

impl<T> Ticket<T> {
    pub(super) fn new(handle: Handle, id: CallId, command: Cow<'static, str>) -> Self {
        Self { handle, id, command, returns: PhantomData }
    }

    /// Returns the command's name on the wire.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }
}

impl<T: DeserializeOwned> Ticket<T> {
    /// Waits for the reply. The deadline began when the command was submitted.
    ///
    /// # Errors
    /// The server answers with an error, the reply does not match the schema, the deadline passes,
    /// or the connection ends.
    pub fn receive(self) -> Result<T> {
        receive(&self.handle, self.id, &|| self.command.clone())
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        // Nothing happens if the reply has been received.
        self.handle.abandon(self.id);
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("command", &self.command).finish_non_exhaustive()
    }
}
