//! A call that is being built.

use std::fmt;
use std::time::Duration;

use qmp_protocol::{EncodedRequest, Request, decode_reply};
use qmp_types::Event;

use super::detached::Undo as UndoCommand;
use super::draft::Draft;
use super::parting::Parting;
use super::reply::Reply;
use super::shared::{Follow, Handle};
use super::ticket::Ticket;
use super::undo::Undo;
use super::until::Until;
use crate::error::{Error, Result};
use qmp_protocol::{Occurrence, RawEvent};

/// A call that is being built; [`Client::call`](crate::Client::call) begins it.
///
/// Nothing is sent before the future of [`execute`](Self::execute), [`until`](Self::until) or
/// [`execute_undoable`](Self::execute_undoable) is polled for the first time, or before
/// [`send`](Self::send) is called.
#[must_use = "`execute`, `send` or `until` makes the call"]
pub struct Call<R>(Draft<R>);

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("within", &self.0.within).finish_non_exhaustive()
    }
}

impl<R: Request> Call<R> {
    pub(super) fn new(handle: Handle, request: R) -> Self {
        Self(Draft::new(handle, request, None))
    }

    /// Sets the deadline, which begins when the command is submitted, instead of that of the
    /// [options](crate::Options::calls_within). [`Duration::MAX`] disables it.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryBlock;
    ///
    /// let disks = vm.call(QueryBlock::new()).within(Duration::from_secs(2)).execute().await?;
    /// println!("{} disks", disks.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn within(mut self, within: Duration) -> Self {
        self.0.within = Some(within);
        self
    }

    /// Adds a file descriptor that travels with the command, as `getfd` and `add-fd` expect. It is
    /// closed on this side when it has been sent. QEMU's commands take one each, and close any
    /// others.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client, queue: std::fs::File) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::Getfd;
    ///
    /// // QEMU knows the descriptor by this name from now on.
    /// vm.call(Getfd::new("tap0")).with_fd(queue).execute().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(unix)]
    pub fn with_fd(mut self, descriptor: impl Into<std::os::fd::OwnedFd>) -> Self {
        self.0.descriptors.push(descriptor.into());
        self
    }

    /// Executes the command and waits for its reply.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// let info = vm.call(QueryStatus::new()).execute().await?;
    /// println!("{}", info.status);
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
    /// The future may be dropped at any moment; see [`Client`](crate::Client#cancel-safety).
    pub fn execute(self) -> Reply<R> {
        Reply::new(self.0, Parting::Abandon)
    }

    /// Submits the command now, without waiting for its reply: [`Ticket::receive`] waits for that.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{QueryBlock, QueryStatus};
    ///
    /// // Both are in flight at the same time.
    /// let disks = vm.call(QueryBlock::new()).send()?;
    /// let status = vm.call(QueryStatus::new()).send()?;
    /// println!("{}, {} disks", status.receive().await?.status, disks.receive().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The command cannot be written as JSON, or the connection has ended.
    pub fn send(self) -> Result<Ticket<R::Return>> {
        let term = self.0.term();
        let (submitted, _) = self.0.submit(term, Follow::Nothing, Parting::Abandon, None)?;
        Ok(Ticket::new(submitted))
    }

    /// Executes the command, and waits for its reply and for an event `E` that satisfies
    /// `predicate`. The deadline covers both. The event may arrive before the reply, but not before
    /// the command is sent: an event that has arrived by then is not taken for its effect.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::DeviceDel;
    /// use qmp_client::qmp::events::DeviceDeleted;
    ///
    /// // The command only asks the guest; the event says that it has released the device.
    /// let deleted = |event: &DeviceDeleted| event.device.as_deref() == Some("d0");
    /// vm.call(DeviceDel::new("d0")).until(deleted).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute); and the event does not match the schema, does not
    /// arrive in time, or may have been dropped because its queue was full.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any moment; see [`Client`](crate::Client#cancel-safety).
    #[expect(clippy::type_complexity, reason = "callers do not write this type")]
    pub fn until<E: Event, P: FnMut(&E) -> bool>(
        self,
        mut predicate: P,
    ) -> Until<R, Occurrence<E>, impl FnMut(&RawEvent) -> Option<Result<Occurrence<E>>>> {
        Until::new(self.0, Some(E::NAME), move |event: &RawEvent| match event.decode::<E>() {
            Ok(Some(found)) if predicate(&found) => {
                Some(Ok(Occurrence::new(found, event.timestamp)))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error.into())),
        })
    }

    /// Does the same as [`until`](Self::until), with any event for which `wanted` returns a value.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::Stop;
    ///
    /// let name = |event: &qmp_client::RawEvent| Some(event.name.clone());
    /// let (_, first) = vm.call(Stop::new()).until_some(name).await?;
    /// println!("{first}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`until`](Self::until), except that `wanted` decides what matches.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any moment; see [`Client`](crate::Client#cancel-safety).
    pub fn until_some<T, W: FnMut(&RawEvent) -> Option<T>>(
        self,
        mut wanted: W,
    ) -> Until<R, T, impl FnMut(&RawEvent) -> Option<Result<T>>> {
        Until::new(self.0, None, move |event: &RawEvent| wanted(event).map(Ok))
    }

    /// Returns a guard that executes the command when it is dropped. Nothing is sent before.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{Cont, QueryBlock, Stop};
    ///
    /// vm.execute(Stop::new()).await?;
    /// // From here on, every way out of the function lets the guest run again.
    /// let running = vm.call(Cont::new()).guard();
    /// let disks = vm.execute(QueryBlock::new()).await?;
    /// running.run().await?;
    /// # drop(disks);
    /// # Ok(())
    /// # }
    /// ```
    pub fn guard(self) -> Undo<R> {
        Undo::new(self.0.handle, Some(self.0.request), self.0.within)
    }

    /// Executes the command, and returns its reply and a guard that undoes it.
    ///
    /// `undo` returns the command that undoes this one, given its result, or `None` if there is
    /// nothing to undo. Neither it nor the code that decodes the reply may use the client. The undo
    /// command has the [deadline](Self::within) of this call.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client, image: std::fs::File) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{AddFd, RemoveFd};
    ///
    /// # #[cfg(unix)] {
    /// let add = vm.call(AddFd::new()).with_fd(image);
    /// let (added, guard) = add
    ///     .execute_undoable(|added| Some(RemoveFd::new(added.ok()?.fdset_id)))
    ///     .await?;
    /// // ... use the descriptor; whatever happens, the set is removed.
    /// guard.run().await?;
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute). If `undo` returns a command for the error, that command
    /// is executed before the error is returned. After [`Error::Misuse`], which means that nothing
    /// has been sent, `undo` is not called.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after the command was sent, the command is undone as soon as it is
    /// answered.
    pub async fn execute_undoable<U: Request>(
        self,
        undo: impl Fn(Result<&R::Return, &Error>) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> Result<(R::Return, Undo<U>)> {
        let (handle, within) = (self.0.handle.clone(), self.0.within);
        let name = self.0.request.name();
        let abandoned = undo.clone();
        let parting = Parting::undo(UndoCommand::new(move |result| {
            let decoded =
                result.map(|value| decode_reply(|| name.clone(), value).map_err(Error::from));
            let command = match decoded {
                Ok(Ok(returned)) => abandoned(Ok(&returned)),
                Ok(Err(error)) => abandoned(Err(&error)),
                Err(error) => abandoned(Err(error)),
            };
            EncodedRequest::new(&command?).ok()
        }));
        match Reply::new(self.0, parting).await {
            Ok(returned) => {
                let undo = Undo::new(handle, undo(Ok(&returned)), within);
                Ok((returned, undo))
            }
            // Nothing has been sent.
            Err(error @ Error::Misuse(_)) => Err(error),
            Err(error) => {
                // The first error is the one that counts.
                let _ = Undo::new(handle, undo(Err(&error)), within).run().await;
                Err(error)
            }
        }
    }
}
