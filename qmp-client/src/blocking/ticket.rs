//! Calls whose replies are received later.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use qmp_protocol::{CallId, Deadline};
use serde::de::DeserializeOwned;

use super::reply::receive;
use super::shared::{Handle, Submitted};
use super::state::State;
use super::wait::Until;
use crate::error::Result;
use crate::trace::CallTrace;

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
    trace: CallTrace,
    returns: PhantomData<fn() -> T>,
}

impl<T> Ticket<T> {
    pub(super) fn new(handle: Handle, submitted: Submitted, command: Cow<'static, str>) -> Self {
        let Submitted { id, trace, .. } = submitted;
        Self { handle, id, command, trace, returns: PhantomData }
    }

    /// Returns the command's name on the wire.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryBlock;
    ///
    /// let disks = vm.send(QueryBlock::new())?;
    /// assert_eq!(disks.command(), "query-block");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Waits until [`receive`](Self::receive) would return at once, and returns whether it would: the
    /// reply has arrived, the call's deadline has passed, or the connection has ended. A thread that
    /// has something else to do, such as to look whether its user is still interested, waits in steps.
    /// A duration of zero takes only what has arrived.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryBlock;
    ///
    /// let disks = vm.send(QueryBlock::new())?;
    /// while !disks.arrives_within(Duration::from_millis(500)) {
    ///     println!("still waiting");
    /// }
    /// println!("{} disks", disks.receive()?.len());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn arrives_within(&self, within: Duration) -> bool {
        let deadline = Deadline::after(Instant::now(), within);
        let mut look = Until(|state: &mut State| {
            state.inbox.waiters.get(self.id).is_some_and(|waiter| waiter.is_answered())
        });
        self.handle.wait(deadline.map(|deadline| deadline.at), &mut look)
            || self.handle.hindrance().is_some()
    }
}

impl<T: DeserializeOwned> Ticket<T> {
    /// Waits for the reply. The deadline began when the command was submitted.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{QueryBlock, QueryName};
    ///
    /// let (disks, name) = (vm.send(QueryBlock::new())?, vm.send(QueryName::new())?);
    /// // Replies may be received in any order.
    /// println!("{:?}", name.receive()?.name);
    /// println!("{} disks", disks.receive()?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server answers with an error, the reply does not match the schema, the deadline passes,
    /// or the connection ends.
    pub fn receive(mut self) -> Result<T> {
        let trace = std::mem::take(&mut self.trace);
        let submitted = Submitted { id: self.id, now: None, subscription: None, trace };
        receive(&self.handle, submitted, None, &|| self.command.clone())
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
