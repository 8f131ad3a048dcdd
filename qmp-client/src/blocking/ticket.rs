//! Calls that were sent and are received later.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::connection::Unwanted;
use crate::machine::CallId;

/// The right to one reply: [`send`](super::Client::send) gives it,
/// [`receive`](super::Client::receive) takes it. `T` is what the command returns.
///
/// One that is dropped abandons its call: the command is not sent if it still waits, and the
/// reply is dropped when it comes.
#[must_use = "a ticket that is dropped abandons its call"]
pub struct Ticket<T> {
    pub(super) id: CallId,
    pub(super) command: Cow<'static, str>,
    /// Whom to tell that nobody will ask for the reply.
    unwanted: Option<Arc<Unwanted>>,
    returns: PhantomData<fn() -> T>,
}

impl<T> Ticket<T> {
    pub(super) fn new(id: CallId, command: Cow<'static, str>, unwanted: &Arc<Unwanted>) -> Self {
        Self { id, command, unwanted: Some(Arc::clone(unwanted)), returns: PhantomData }
    }

    /// The command's name on the wire.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Redeems it, if it belongs to this client.
    pub(super) fn redeem(&mut self, unwanted: &Arc<Unwanted>) -> bool {
        let own = self.unwanted.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, unwanted));
        if own {
            self.unwanted = None;
        }
        own
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if let Some(unwanted) = self.unwanted.take() {
            unwanted.push(self.id);
        }
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("id", &self.id)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}
