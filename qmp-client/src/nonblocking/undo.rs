//! Guards: commands that are executed when they are dropped.

use std::fmt;
use std::time::Duration;

use qmp_protocol::{EncodedRequest, Request};

use super::detached::GuardId;
use super::draft::Draft;
use super::parting::Parting;
use super::reply::Reply;
use super::shared::Handle;
use crate::error::{Error, Result};

/// A guard that undoes a command; [`Call::execute_undoable`](super::Call::execute_undoable) returns
/// it.
///
/// Dropping it executes the undo command as a detached call: no task waits for it, and it keeps the
/// connection open until it is answered. [`run`](Self::run) executes it and returns its result, and
/// [`disarm`](Self::disarm) cancels it.
#[must_use = "dropping it executes the undo command"]
pub struct Undo<U: Request> {
    handle: Handle,
    armed: Option<Armed<U>>,
    within: Option<Duration>,
}

enum Armed<U> {
    Yes(U, GuardId),
    /// The command cannot be written as JSON.
    No(Error),
}

impl<U: Request> fmt::Debug for Undo<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undo").field("armed", &self.armed.is_some()).finish_non_exhaustive()
    }
}

impl<U: Request> Undo<U> {
    pub(super) fn new(handle: Handle, command: Option<U>, within: Option<Duration>) -> Self {
        let armed = command.map(|command| match EncodedRequest::new(&command) {
            Ok(encoded) => Armed::Yes(command, handle.add_guard(encoded, within)),
            Err(error) => Armed::No(error.into()),
        });
        Self { handle, armed, within }
    }

    /// Executes the undo command. Returns its reply, or `None` if the guard had nothing to undo.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{Cont, Stop};
    ///
    /// vm.execute(Stop::new()).await?;
    /// let running = vm.call(Cont::new()).guard();
    /// // As dropping the guard does, but this says whether it worked.
    /// running.run().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::execute`](crate::Client::execute).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the undo command is executed anyway.
    pub async fn run(mut self) -> Result<Option<U::Return>> {
        let (command, guard) = match self.armed.take() {
            Some(Armed::Yes(command, guard)) => (command, guard),
            Some(Armed::No(error)) => return Err(error),
            None => return Ok(None),
        };
        let draft = Draft::new(self.handle.clone(), command, self.within);
        // From here on, the reply's parting takes the guard's place.
        self.handle.remove_guard(guard);
        Reply::new(draft, Parting::finish()).await.map(Some)
    }

    /// Cancels the guard: the undo command is not executed.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{ObjectDel, QueryMemdev};
    ///
    /// let object = vm.call(ObjectDel::new("memory1")).guard();
    /// if vm.execute(QueryMemdev::new()).await?.is_empty() {
    ///     // Nothing is left to delete.
    ///     object.disarm();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn disarm(mut self) {
        if let Some(Armed::Yes(_, guard)) = self.armed.take() {
            self.handle.remove_guard(guard);
        }
    }
}

impl<U: Request> Drop for Undo<U> {
    fn drop(&mut self) {
        if let Some(Armed::Yes(_, guard)) = self.armed.take() {
            self.handle.finish_guard(guard);
        }
    }
}
