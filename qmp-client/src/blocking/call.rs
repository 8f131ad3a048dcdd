//! A call that is being built.

use std::fmt;
use std::time::Duration;

use qmp_protocol::{CallId, Descriptor, Request, Timeout, WaitedFor};
use qmp_types::Event;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::reply::{ForReply, execute};
use super::shared::{Handle, Purpose, Submitted};
use super::state::State;
use super::ticket::Ticket;
use super::undo::Undo;
use super::wait::Wait;
use crate::error::{Error, Result};
use crate::inbox::SubscriptionId;
use crate::queue::{Journal, Names};
use crate::term::Term;
use crate::trace::CallTrace;
use qmp_protocol::{Occurrence, RawEvent};

/// A call that is being built; [`Client::call`](super::Client::call) begins it.
#[must_use = "`execute`, `send` or `until` makes the call"]
pub struct Call<R> {
    handle: Handle,
    request: R,
    within: Option<Duration>,
    descriptors: Vec<Descriptor>,
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("within", &self.within).finish_non_exhaustive()
    }
}

impl<R: Request> Call<R> {
    pub(super) fn new(handle: Handle, request: R) -> Self {
        Self { handle, request, within: None, descriptors: Vec::new() }
    }

    /// Sets the deadline, which begins when the command is submitted, instead of that of the
    /// [options](crate::Options::calls_within). [`Duration::MAX`] disables it.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryBlock;
    ///
    /// let disks = vm.call(QueryBlock::new()).within(Duration::from_secs(2)).execute()?;
    /// println!("{} disks", disks.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn within(mut self, within: Duration) -> Self {
        self.within = Some(within);
        self
    }

    /// Adds a file descriptor that travels with the command, as `getfd` and `add-fd` expect. It is
    /// closed on this side when it has been sent. QEMU's commands take one each, and close any
    /// others.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client, queue: std::fs::File) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::Getfd;
    ///
    /// // QEMU knows the descriptor by this name from now on.
    /// vm.call(Getfd::new("tap0")).with_fd(queue).execute()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(unix)]
    pub fn with_fd(mut self, descriptor: impl Into<std::os::fd::OwnedFd>) -> Self {
        self.descriptors.push(descriptor.into());
        self
    }

    /// Executes the command and waits for its reply.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// let info = vm.call(QueryStatus::new()).execute()?;
    /// println!("{}", info.status);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server answers with an error, the reply does not match the schema, the deadline passes,
    /// or the connection ends.
    pub fn execute(self) -> Result<R::Return> {
        execute(&self.handle, &self.request, self.within, self.descriptors)
    }

    /// Submits the command without waiting for its reply: [`Ticket::receive`] waits for that.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{QueryBlock, QueryStatus};
    ///
    /// // Both are in flight at the same time.
    /// let disks = vm.call(QueryBlock::new()).send()?;
    /// let status = vm.call(QueryStatus::new()).send()?;
    /// println!("{}, {} disks", status.receive()?.status, disks.receive()?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The command cannot be written as JSON, or the connection has ended.
    pub fn send(self) -> Result<Ticket<R::Return>> {
        let term = self.term();
        let name = self.request.name();
        let submitted = self.handle.submit(&self.request, term, self.descriptors, Purpose::Send)?;
        Ok(Ticket::new(self.handle, submitted, name))
    }

    /// Executes the command, and waits for its reply and for an event `E` that satisfies
    /// `predicate`. The deadline covers both. The event may arrive before the reply, but not before
    /// the command is sent: an event that has arrived by then is not taken for its effect.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::DeviceDel;
    /// use qmp_client::qmp::events::DeviceDeleted;
    ///
    /// // The command only asks the guest; the event says that it has released the device.
    /// let deleted = |event: &DeviceDeleted| event.device.as_deref() == Some("d0");
    /// vm.call(DeviceDel::new("d0")).until(deleted)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute); and the event does not match the schema, does not
    /// arrive in time, or may have been dropped because its queue was full.
    pub fn until<E: Event>(
        self,
        mut predicate: impl FnMut(&E) -> bool,
    ) -> Result<(R::Return, Occurrence<E>)> {
        let wanted = |event: &RawEvent| match event.decode::<E>() {
            Ok(Some(found)) if predicate(&found) => {
                Some(Ok(Occurrence::new(found, event.timestamp)))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error.into())),
        };
        self.pursue(Some(E::NAME), wanted)
    }

    /// Does the same as [`until`](Self::until), with any event for which `wanted` returns a value.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::Stop;
    ///
    /// let name = |event: &qmp_client::RawEvent| Some(event.name.clone());
    /// let (_, first) = vm.call(Stop::new()).until_some(name)?;
    /// println!("{first}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`until`](Self::until), except that `wanted` decides what matches.
    pub fn until_some<T>(
        self,
        mut wanted: impl FnMut(&RawEvent) -> Option<T>,
    ) -> Result<(R::Return, T)> {
        self.pursue(None, |event| wanted(event).map(Ok))
    }

    /// Returns a guard that executes the command when it is dropped. Nothing is sent before.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{Cont, QueryBlock, Stop};
    ///
    /// vm.execute(Stop::new())?;
    /// // From here on, every way out of the function lets the guest run again.
    /// let running = vm.call(Cont::new()).guard();
    /// let disks = vm.execute(QueryBlock::new())?;
    /// running.run()?;
    /// # drop(disks);
    /// # Ok(())
    /// # }
    /// ```
    pub fn guard(self) -> Undo<R> {
        Undo::new(self.handle, Some(self.request), self.within)
    }

    /// Executes the command, and returns its reply and a guard that undoes it.
    ///
    /// `undo` returns the command that undoes this one, given its result, or `None` if there is
    /// nothing to undo. The undo command has the [deadline](Self::within) of this call.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{Cont, QueryBlock, Stop};
    ///
    /// // If an error ends this function, the guest runs again.
    /// let stopped = |stopped: Result<&_, &_>| stopped.ok().map(|_| Cont::new());
    /// let (_, running) = vm.call(Stop::new()).execute_undoable(stopped)?;
    /// let disks = vm.execute(QueryBlock::new())?;
    /// running.run()?;
    /// # drop(disks);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute). If `undo` returns a command for the error, that command
    /// is executed before the error is returned. After [`Error::Misuse`], which means that nothing
    /// has been sent, `undo` is not called.
    pub fn execute_undoable<U: Request>(
        self,
        undo: impl Fn(Result<&R::Return, &Error>) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> Result<(R::Return, Undo<U>)> {
        let (handle, within) = (self.handle.clone(), self.within);
        match self.execute() {
            Ok(returned) => {
                let undo = Undo::new(handle, undo(Ok(&returned)), within);
                Ok((returned, undo))
            }
            // Nothing has been sent.
            Err(error @ Error::Misuse(_)) => Err(error),
            Err(error) => {
                // The first error is the one that counts.
                let _ = Undo::new(handle, undo(Err(&error)), within).run();
                Err(error)
            }
        }
    }

    /// Returns the term of a call that begins now.
    fn term(&self) -> Term {
        self.handle.term(&self.request, self.within)
    }

    fn pursue<T>(
        self,
        name: Option<&'static str>,
        wanted: impl FnMut(&RawEvent) -> Option<Result<T>>,
    ) -> Result<(R::Return, T)> {
        let term = self.term();
        let (deadline, until) = (term.deadline, term.end());
        let Self { handle, request, descriptors, .. } = self;
        handle.read_arrived(until);
        let submitted = handle.submit(&request, term, descriptors, Purpose::Pursue(name))?;
        let command = || request.name();
        let for_reply = ForReply::new(&handle, submitted.id, &command);
        let Submitted { subscription, trace, .. } = submitted;
        let _entered = trace.enter();
        let mut pursuit = Pursuit::new(&handle, for_reply, subscription, trace, wanted);
        handle.wait(until, &mut pursuit);
        if let Some(found) = pursuit.found.take() {
            return found;
        }
        let error = match (handle.hindrance(), deadline, pursuit.reply.is_some()) {
            (None, Some(deadline), false) => {
                Timeout::new(WaitedFor::Reply(command()), deadline.within).into()
            }
            (None, Some(deadline), true) => {
                let waited_for = WaitedFor::Event { name, command: Some(command()) };
                Timeout::new(waited_for, deadline.within).into()
            }
            (hindrance, ..) => hindrance.unwrap_or_else(|| handle.why_nothing()),
        };
        pursuit.trace.finish::<()>(Err(&error));
        Err(error)
    }
}

/// A wait for a reply and an event.
struct Pursuit<'a, T, E, W> {
    handle: &'a Handle,
    for_reply: ForReply<'a, T>,
    trace: CallTrace,
    reply: Option<T>,
    events: Option<SubscriptionId>,
    taken: Journal,
    names: Names,
    wanted: W,
    event: Option<E>,
    /// The number of events that were dropped, any of which may have been the one.
    lagged: u64,
    found: Option<Result<(T, E)>>,
}

impl<'a, T, E, W> Pursuit<'a, T, E, W> {
    fn new(
        handle: &'a Handle,
        for_reply: ForReply<'a, T>,
        events: Option<SubscriptionId>,
        trace: CallTrace,
        wanted: W,
    ) -> Self {
        let (reply, event, lagged, found) = (None, None, 0, None);
        let (taken, names) = (Journal::default(), Names::default());
        Self { handle, for_reply, trace, reply, events, taken, names, wanted, event, lagged, found }
    }
}

impl<T: DeserializeOwned, E, W> Wait for Pursuit<'_, T, E, W>
where
    W: FnMut(&RawEvent) -> Option<Result<E>>,
{
    fn collect(&mut self, state: &mut State) -> bool {
        let mut is_new = self.reply.is_none() && self.for_reply.collect(state);
        let Some(id) = self.events.filter(|_| self.event.is_none()) else { return is_new };
        // The events that are left may still contain it.
        while let Err(Error::Lagged(count)) = state.inbox.subscriptions.take(id, &mut self.taken) {
            self.lagged += count;
            is_new = true;
        }
        is_new || !self.taken.is_empty()
    }

    fn examine(&mut self) -> bool {
        self.found = self.find();
        self.found.is_some()
    }

    fn is_for(&self, id: CallId) -> bool {
        self.reply.is_none() && self.for_reply.is_for(id)
    }

    fn receive(&mut self, result: Result<&RawValue>) {
        self.for_reply.receive(result);
    }
}

impl<T: DeserializeOwned, E, W> Pursuit<'_, T, E, W>
where
    W: FnMut(&RawEvent) -> Option<Result<E>>,
{
    /// Examines what has been taken.
    fn find(&mut self) -> Option<Result<(T, E)>> {
        if let Some(reply) = self.for_reply.examine().then(|| self.for_reply.take()).flatten() {
            self.trace.finish(reply.as_ref());
            match reply {
                Ok(reply) => self.reply = Some(reply),
                // A command that failed has no effect to wait for.
                Err(error) => return Some(Err(error)),
            }
        }
        while self.event.is_none() {
            let Some(taken) = self.taken.pop() else { break };
            match (self.wanted)(&taken.into_raw(&mut self.names)) {
                Some(Ok(found)) => self.event = Some(found),
                Some(Err(error)) => return Some(Err(error)),
                None => {}
            }
        }
        self.reply.as_ref()?;
        // Any of the dropped events may have been the one: another may never arrive.
        if self.event.is_none() && self.lagged > 0 {
            return Some(Err(Error::Lagged(self.lagged)));
        }
        let event = self.event.take()?;
        self.reply.take().map(|reply| Ok((reply, event)))
    }
}

impl<T, E, W> Drop for Pursuit<'_, T, E, W> {
    fn drop(&mut self) {
        if let Some(events) = self.events {
            self.handle.unsubscribe(events);
        }
        self.handle.abandon(self.for_reply.id);
    }
}
