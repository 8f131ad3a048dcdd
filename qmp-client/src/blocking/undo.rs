//! Guards: commands that are executed when they are dropped.

use std::fmt;
use std::time::Duration;

use qmp_protocol::{Misuse, Request};

use super::reply::execute;
use super::shared::{Handle, Purpose};
use crate::error::Result;

/// A guard that undoes a command; [`Call::execute_undoable`](super::Call::execute_undoable) returns
/// it.
///
/// Dropping it executes the undo command, and waits for its reply. [`run`](Self::run) does the same
/// and returns the result, and [`disarm`](Self::disarm) cancels it. Code that decodes a reply or an event
/// of the same connection cannot wait: there, dropping the guard sends the command.
#[must_use = "dropping it executes the undo command"]
pub struct Undo<U: Request> {
    handle: Handle,
    command: Option<U>,
    within: Option<Duration>,
}

impl<U: Request> fmt::Debug for Undo<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undo").field("armed", &self.command.is_some()).finish_non_exhaustive()
    }
}

impl<U: Request> Undo<U> {
    pub(super) fn new(handle: Handle, command: Option<U>, within: Option<Duration>) -> Self {
        Self { handle, command, within }
    }

    /// Executes the undo command. Returns its reply, or `None` if the guard had nothing to undo.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{Cont, Stop};
    ///
    /// vm.execute(Stop::new())?;
    /// let running = vm.call(Cont::new()).guard();
    /// // As dropping the guard does, but this says whether it worked.
    /// running.run()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::execute`](super::Client::execute). With [`Misuse::Nested`], the command has been
    /// sent all the same.
    pub fn run(mut self) -> Result<Option<U::Return>> {
        if self.command.is_some() && self.handle.is_nested() {
            return self.send().and_then(|()| Err(Misuse::Nested.into()));
        }
        self.execute()
    }

    /// Cancels the guard: the undo command is not executed.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{ObjectDel, QueryMemdev};
    ///
    /// let object = vm.call(ObjectDel::new("memory1")).guard();
    /// if vm.execute(QueryMemdev::new())?.is_empty() {
    ///     // Nothing is left to delete.
    ///     object.disarm();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn disarm(mut self) {
        self.command = None;
    }

    fn execute(&mut self) -> Result<Option<U::Return>> {
        let Some(command) = self.command.take() else { return Ok(None) };
        execute(&self.handle, &command, self.within, Vec::new()).map(Some)
    }

    /// Sends the undo command, and does not wait for its reply.
    fn send(&mut self) -> Result<()> {
        let Some(command) = self.command.take() else { return Ok(()) };
        let term = self.handle.term(&command, self.within);
        let submitted = self.handle.submit(&command, term, Vec::new(), Purpose::Send)?;
        self.handle.lock().inbox.waiters.detach(submitted.id);
        Ok(())
    }
}

impl<U: Request> Drop for Undo<U> {
    fn drop(&mut self) {
        // No caller is left to be told.
        let _ = match self.handle.is_nested() {
            true => self.send(),
            false => self.execute().map(drop),
        };
    }
}
