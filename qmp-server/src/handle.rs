//! A handle to the machine of a server.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::context::Context;
use crate::events::Events;
use crate::exclusive::{AlreadyUsed, Exclusive};
use crate::hub::Hub;

/// A handle to the machine of a server, for handlers that do not borrow the machine all the time.
///
/// Clones refer to the same machine. A handle that the machine owns would keep both alive; the machine
/// can own a [`WeakMachineHandle`], and for emitting events an [`Events`].
pub struct MachineHandle<M> {
    machine: Arc<Exclusive<M>>,
    hub: Arc<Hub>,
}

/// A handle to the machine of a server that does not keep the machine alive.
pub struct WeakMachineHandle<M> {
    machine: Weak<Exclusive<M>>,
    hub: Arc<Hub>,
}

impl<M> Clone for WeakMachineHandle<M> {
    fn clone(&self) -> Self {
        Self { machine: Weak::clone(&self.machine), hub: Arc::clone(&self.hub) }
    }
}

impl<M> fmt::Debug for WeakMachineHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakMachineHandle").finish_non_exhaustive()
    }
}

impl<M> WeakMachineHandle<M> {
    /// Returns a handle to the machine, or `None` if the server and all its connections have been
    /// dropped.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let machine = server.machine();
    /// let weak = machine.downgrade();
    /// drop((server, machine));
    /// assert!(weak.upgrade().is_none());
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn upgrade(&self) -> Option<MachineHandle<M>> {
        Some(MachineHandle { machine: self.machine.upgrade()?, hub: Arc::clone(&self.hub) })
    }
}

impl<M> Clone for MachineHandle<M> {
    fn clone(&self) -> Self {
        Self { machine: Arc::clone(&self.machine), hub: Arc::clone(&self.hub) }
    }
}

impl<M> fmt::Debug for MachineHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineHandle").finish_non_exhaustive()
    }
}

impl<M> MachineHandle<M> {
    pub(crate) fn new(machine: M, hub: &Arc<Hub>) -> Self {
        Self { machine: Arc::new(Exclusive::new(machine)), hub: Arc::clone(hub) }
    }

    /// Reads or changes the machine while no handler borrows it. Events emitted through the context
    /// are sent to all clients when `action` returns.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let machine = server.machine();
    /// machine.with(|count, _| *count += 1);
    /// assert_eq!(machine.with(|count, _| *count), 1);
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    ///
    /// # Panics
    /// Panics if a function that borrows the machine is running on this thread. In a handler, the
    /// panic is an error reply to its command.
    pub fn with<T>(&self, action: impl FnOnce(&mut M, &mut Context) -> T) -> T {
        match self.run(Context::new(&self.hub), action, |_| {}) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns a handle that does not keep the machine alive.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let machine = server.machine();
    /// // A thread of the machine's does not keep it alive.
    /// let weak = machine.downgrade();
    /// assert!(weak.upgrade().is_some());
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakMachineHandle<M> {
        WeakMachineHandle { machine: Arc::downgrade(&self.machine), hub: Arc::clone(&self.hub) }
    }

    /// Returns whether the server has ended.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let machine = server.machine();
    /// assert!(!machine.has_ended());
    /// server.end();
    /// assert!(machine.has_ended());
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.hub.has_ended()
    }

    /// Returns an emitter of events.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let machine = server.machine();
    /// let events = machine.events();
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.hub)
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Runs an action on the machine, and carries out what it has asked for. `reply` is called
    /// between the two groups of events.
    pub(crate) fn run<T>(
        &self,
        mut context: Context,
        action: impl FnOnce(&mut M, &mut Context) -> T,
        reply: impl FnOnce(&T),
    ) -> Result<T, AlreadyUsed> {
        let mut machine = self.machine.lock()?;
        let result = action(&mut machine, &mut context);
        let effects = context.into_effects();
        let is_quiet = effects.is_empty();
        // Before the machine is released, so that events are in the order of the changes.
        self.hub.carry_out(effects, || reply(&result));
        drop(machine);
        if !is_quiet {
            self.hub.notify_all();
        }
        Ok(result)
    }
}
