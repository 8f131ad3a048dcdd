//! Calls whose replies are received later.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::submitted::Submitted;
use crate::error::Result;

/// A call that has been submitted by [`send`](super::Client::send); [`receive`](Self::receive) waits
/// for its reply. `T` is the type of that.
///
/// Dropping the ticket abandons the call: if the command is still queued, it is not sent, and the
/// reply is dropped when it arrives.
#[must_use = "dropping a ticket abandons its call"]
pub struct Ticket<T> {
    submitted: Submitted,
    returns: PhantomData<fn() -> T>,
}

impl<T> Ticket<T> {
    pub(super) fn new(submitted: Submitted) -> Self {
        Self { submitted, returns: PhantomData }
    }

    /// Returns the command's name on the wire.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryBlock;
    ///
    /// let disks = vm.send(QueryBlock::new())?;
    /// assert_eq!(disks.command(), "query-block");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn command(&self) -> &str {
        &self.submitted.name
    }
}

impl<T: DeserializeOwned> Ticket<T> {
    /// Waits for the reply. The deadline began when the command was submitted.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{QueryBlock, QueryName};
    ///
    /// let (disks, name) = (vm.send(QueryBlock::new())?, vm.send(QueryName::new())?);
    /// // Replies may be received in any order.
    /// println!("{:?}", name.receive().await?.name);
    /// println!("{} disks", disks.receive().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server answers with an error, the reply does not match the schema, the deadline passes,
    /// or the connection ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the call.
    pub async fn receive(mut self) -> Result<T> {
        poll_fn(|cx| self.submitted.poll_reply(cx)).await
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("command", &self.submitted.name).finish_non_exhaustive()
    }
}
