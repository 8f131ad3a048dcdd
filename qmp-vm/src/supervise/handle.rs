//! The handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use qmp_client::{Event, Occurrence, RawEvent, Request, Result, Vocabulary};

use super::call::{Call, CallError, Wait};
use super::changes::Changes;
use super::connection::{Ended, Status};
use super::events::{Events, Selector};
use super::front::Supervisable;
use super::identity::Identity;
use super::shared::{Hold, Phase, deadline_after};

/// A connection to a monitor that is made again whenever it ends.
///
/// It is a handle: cheap to clone, and used through `&self` by any number of tasks or threads. `C` is
/// the client, [`qmp_client::Client`] or `qmp_client::blocking::Client`: with the former, methods that
/// wait return futures, and with the latter, they wait.
///
/// When the last handle is dropped, the connection is closed, also for clients that were handed out.
pub struct Supervised<C: Supervisable>(Hold<C>);

impl<C: Supervisable> Clone for Supervised<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Supervisable> fmt::Debug for Supervised<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervised").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl<C: Supervisable> Supervised<C> {
    pub(super) fn new(hold: Hold<C>) -> Self {
        Self(hold)
    }

    /// Returns what is connected to, such as "unix:/run/vm.sock".
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// println!("{}", vm.name());
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.shared().name()
    }

    /// Executes a command, and waits for the connection and for the reply, until the deadline that
    /// the [options](qmp_client::Options::calls_within) set. A command that only asks is repeated on
    /// the next connection if the present one ends.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::qmp::commands::Stop;
    /// use qmp_vm::supervise::Fate;
    ///
    /// if let Err(error) = vm.execute(Stop::new()) {
    ///     if error.fate != Fate::Answered {
    ///         println!("it may have been executed: {error}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Call::execute`].
    ///
    /// # Cancel safety
    /// That of [`Call::execute`].
    pub fn execute<'a, R: Request<Return: Send> + Send + 'a>(
        &self,
        request: R,
    ) -> C::Outcome<'a, Result<R::Return, CallError>> {
        self.call(request).execute()
    }

    /// Begins a call with options.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// // Waits for the next connection, if it must.
    /// let status = vm.call(QueryStatus::new()).within(Duration::from_secs(30)).execute()?;
    /// println!("{}", status.status);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<R: Request<Return: Send> + Send>(&self, request: R) -> Call<C, R> {
        Call::new(self.0.clone(), request)
    }

    /// Subscribes to all events from now on, as those of the vocabulary `V`, such as `qmp::AnyEvent`.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// use qmp_client::qmp::AnyEvent;
    ///
    /// let mut events = vm.events::<AnyEvent>();
    /// # }
    /// ```
    pub fn events<V: Vocabulary + Send + 'static>(&self) -> Events<C, Occurrence<V>> {
        Events::new(self.0.clone(), Selector::vocabulary())
    }

    /// Subscribes to the events `E` from now on.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::events::BlockIoError;
    /// use qmp_vm::supervise::Item;
    ///
    /// let mut errors = vm.events_of::<BlockIoError>();
    /// while let Some(item) = errors.next_within(Duration::from_secs(3600)) {
    ///     match item? {
    ///         Item::Event(error) => println!("{:?}", error.event.node_name),
    ///         Item::Gap(gap) => println!("events may be missing: {gap}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events_of<E: Event + Send + 'static>(&self) -> Events<C, Occurrence<E>> {
        Events::new(self.0.clone(), Selector::event())
    }

    /// Subscribes to all events from now on, undecoded.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// let mut events = vm.raw_events();
    /// # }
    /// ```
    pub fn raw_events(&self) -> Events<C, RawEvent> {
        Events::new(self.0.clone(), Selector::raw())
    }

    /// Returns the changes of the connection. The first one is the present connection, or the next.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// let mut changes = vm.changes();
    /// println!("{:?}", changes.next());
    /// # }
    /// ```
    #[must_use]
    pub fn changes(&self) -> Changes<C> {
        Changes::new(self.0.clone())
    }

    /// Returns the client of the present connection, if there is one.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// if let Some(client) = vm.client() {
    ///     println!("connected to QEMU {}", client.version());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn client(&self) -> Option<C> {
        match &self.0.shared().lock().phase {
            Phase::Connected(connected) => Some(connected.client.clone()),
            _ => None,
        }
    }

    /// Waits for the connection, and returns its client. That works until the connection ends, or the
    /// last handle of the supervised connection is dropped.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_vm::Workflows;
    ///
    /// // Ends with the present connection.
    /// let client = vm.client_within(Duration::from_secs(30))?;
    /// client.type_text("root\n")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection is not made in time, or has ended for good.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub fn client_within(&self, within: Duration) -> C::Outcome<'_, Result<C>> {
        C::run(async move {
            let shared = self.0.shared();
            let until = deadline_after(shared.now(), within);
            let wait = Wait { shared, until, fails_fast: false };
            match wait.connection(0).await {
                Ok(connected) => Ok(connected.client),
                Err(missing) => Err(missing.error(shared, "", within)),
            }
        })
    }

    /// Returns what is known of the QEMU of the last connection.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// if let Some(identity) = vm.identity() {
    ///     println!("{:?}", identity.uuid());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.0.shared().lock().identity.clone()
    }

    /// Returns the present state.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// println!("{:?}", vm.status());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.0.shared().lock().phase {
            Phase::Connected(connected) => Status::Connected { number: connected.number },
            Phase::Outage(outage) => Status::Outage {
                attempts: outage.attempts,
                error: outage.error.clone(),
                lost: outage.lost.clone(),
            },
            Phase::Ended(ended) => Status::Ended(ended.clone()),
        }
    }

    /// Connects again: closes the present connection, if there is one, and waits no longer for the
    /// next attempt. For a QEMU that does not answer any more.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// // The network has changed: do not wait for a timeout.
    /// vm.reconnect();
    /// # }
    /// ```
    pub fn reconnect(&self) {
        let client = self.client();
        self.0.shared().change(|state| state.hurry = true);
        if let Some(client) = client {
            client.close();
        }
    }

    /// Waits until the supervision has ended, and returns why.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// println!("{:?}", vm.ended());
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub fn ended(&self) -> C::Outcome<'_, Ended> {
        C::run(async move {
            let look = |phase: &Phase<C>| match phase {
                Phase::Ended(ended) => Some(ended.clone()),
                _ => None,
            };
            let ended = C::wait(self.0.shared(), None, move |state| look(&state.phase)).await;
            ended.unwrap_or(Ended::NoKeeper)
        })
    }

    /// Closes the connection for good, for all handles. Calls that are not answered fail.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// vm.close();
    /// # }
    /// ```
    pub fn close(&self) {
        self.0.shared().desert();
    }
}
