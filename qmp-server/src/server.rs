//! A handle to a server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use qmp_types::{Capability, Greeting, Version};

use crate::build_error::BuildError;
use crate::client::Identity;
use crate::clock::{Clock, SystemClock};
use crate::connection::Connection;
use crate::context::Context;
use crate::dispatch::Dispatch;
use crate::events::Events;
use crate::handle::MachineHandle;
use crate::hub::{Hub, Settings};
use crate::limits::Limits;
use crate::router::Router;
use crate::shared::Shared;
use crate::throttle::Throttle;
use crate::usage::Usage;

/// A QMP server: a machine of any type `M`, the [`Router`] with its commands, and any number of
/// clients at a time (a QEMU monitor has one).
///
/// A `Server` is a cheap handle: clones refer to the same server. [`connect`](Self::connect)
/// returns a connection without I/O, for event loops; the `serve` methods do the I/O on threads, and
/// the functions of the module `tokio` do it in tasks.
///
/// The in-band commands of a client are executed in order, and those of different clients
/// independently of each other, except that handlers which borrow the machine are executed one at a
/// time. Out-of-band commands overtake in-band ones. All clients receive events in the same order.
pub struct Server<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Clone for Server<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Server<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("router", self.shared.dispatch().router())
            .field("greeting", self.shared.hub().greeting())
            .finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Server<M> {
    /// Creates a server with default settings.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// assert_eq!(server.with_machine(|count, _| *count), 0);
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`ServerBuilder::build`].
    pub fn new(version: Version, router: Router<M>, machine: M) -> Result<Self, BuildError> {
        Self::builder(router).version(version).build(machine)
    }

    /// Returns a builder for a server with custom settings.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::builder(Router::new()).pretty(true).build(0_u32)?;
    /// assert_eq!(server.connection_count(), 0);
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn builder(router: Router<M>) -> ServerBuilder<M> {
        let greeting =
            Greeting { version: Version::default(), capabilities: vec![Capability::Oob] };
        let settings = Settings {
            greeting,
            limits: Limits::default(),
            pretty: false,
            clock: Arc::new(SystemClock::default()),
            #[cfg(feature = "tokio")]
            runtime: ::tokio::runtime::Handle::try_current().ok(),
        };
        ServerBuilder { router, settings }
    }

    /// Adds a client. The greeting is the connection's first output.
    ///
    /// If the server has as many connections as its [limits](Limits) allow, the connection is closed
    /// already.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let client = server.connect();
    /// client.receive(b"{'execute': 'qmp_capabilities'}");
    /// assert!(client.take_output().starts_with(b"{\"QMP\": "));
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn connect(&self) -> Connection<M> {
        self.connect_as(Identity::default())
    }

    /// Adds a client, about which handlers can learn more than its number.
    #[must_use]
    pub fn connect_as(&self, identity: Identity) -> Connection<M> {
        let peer = self.shared.hub().add_peer(identity);
        Connection::new(Arc::clone(&self.shared), peer)
    }

    /// Reads or changes the machine from outside, as hardware or a guest would. Events emitted
    /// through the context are sent to all clients.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// server.with_machine(|count, _| *count += 1);
    /// assert_eq!(server.with_machine(|count, _| *count), 1);
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    ///
    /// # Panics
    /// Panics if a function that borrows the machine is running on this thread. In a handler, the
    /// panic is an error reply to its command.
    pub fn with_machine<T>(&self, action: impl FnOnce(&mut M, &mut Context) -> T) -> T {
        self.shared.machine().with(action)
    }

    /// Returns a handle to the machine.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let machine = server.machine();
    /// assert_eq!(machine.with(|count, _| { *count += 1; *count }), 1);
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn machine(&self) -> MachineHandle<M> {
        self.shared.machine().clone()
    }

    /// Returns an emitter of events, which does not wait for the machine.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// // It may be kept by any thread, and by the machine itself.
    /// let events = server.events();
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.shared.hub())
    }

    /// Delivers events that are held back by rate limits and are due. Servers do so by themselves;
    /// this is for tests that drive the [clock](Clock).
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// server.release_events();
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn release_events(&self) {
        self.shared.hub().release_events();
    }

    /// Returns the time on the server's clock until which events are held back by rate limits.
    #[cfg(feature = "simulator")]
    pub(crate) fn events_held_until(&self) -> Option<Duration> {
        self.shared.hub().events_held_until()
    }

    /// Stops the server gracefully: reads no further commands, waits until those that have been
    /// received are complete, then closes all connections after their pending output has been sent.
    /// Returns false if some commands were not complete within the time.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// use std::time::Duration;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// assert!(server.stop(Duration::from_secs(5)));
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn stop(&self, within: Duration) -> bool {
        self.shared.hub().stop(within)
    }

    /// Ends the server: closes all connections after their pending output has been sent.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let client = server.connect();
    /// server.end();
    /// assert!(server.has_ended());
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn end(&self) {
        self.shared.hub().end();
        self.shared.hub().notify_all();
    }

    /// Returns whether the server has ended, by [`end`](Self::end) or by a command such as `quit`.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// assert!(!server.has_ended());
    /// server.end();
    /// assert!(server.has_ended());
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.hub().has_ended()
    }

    /// Returns the number of connected clients.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// let client = server.connect();
    /// assert_eq!(server.connection_count(), 1);
    /// drop(client);
    /// assert_eq!(server.connection_count(), 0);
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.usage().connections
    }

    /// Returns the resources that all clients use together.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// println!("{:?}", server.usage());
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.hub().usage()
    }

    /// Returns the names of the commands in the schema that have no handlers. Clients get the error
    /// `CommandNotFound` for them.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), 0_u32)?;
    /// // Without introspection data, the server knows of no others.
    /// assert_eq!(server.unhandled_commands().len(), 0);
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    #[must_use]
    pub fn unhandled_commands(&self) -> Vec<String> {
        self.shared.dispatch().unhandled()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }
}

/// A builder for a [`Server`].
#[derive(Debug)]
#[must_use]
pub struct ServerBuilder<M> {
    router: Router<M>,
    settings: Settings,
}

impl<M: Send + 'static> ServerBuilder<M> {
    /// Sets the version that the greeting and `query-version` report.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::builder(Router::new()).version(Version::default()).build(())?;
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn version(mut self, version: Version) -> Self {
        self.settings.greeting.version = version;
        self
    }

    /// Sets the capabilities that the greeting offers (default: out-of-band execution).
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    ///
    /// // Without out-of-band execution.
    /// let server = Server::builder(Router::new()).capabilities(Vec::new()).build(())?;
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn capabilities(mut self, capabilities: Vec<Capability>) -> Self {
        self.settings.greeting.capabilities = capabilities;
        self
    }

    /// Sets the limits on the resources that clients may use.
    ///
    /// ```
    /// use qmp_server::{Limits, Router, Server};
    ///
    /// let limits = Limits::default();
    /// let server = Server::builder(Router::new()).limits(limits).build(())?;
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Spreads output over several lines, as QEMU does with `pretty=on` (default: false).
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::builder(Router::new()).pretty(true).build(())?;
    /// let client = server.connect();
    /// assert!(client.take_output().starts_with(b"{\r\n"));
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn pretty(mut self, pretty: bool) -> Self {
        self.settings.pretty = pretty;
        self
    }

    /// Sets the clock by which events are stamped and limited (default: [`SystemClock`]).
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Sets the tokio runtime for asynchronous handlers (default: the one in which
    /// the builder is created).
    #[cfg(feature = "tokio")]
    pub fn runtime(mut self, runtime: ::tokio::runtime::Handle) -> Self {
        self.settings.runtime = Some(runtime);
        self
    }

    /// Builds the server.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::builder(Router::new()).build(0_u32)?;
    /// assert_eq!(server.with_machine(|count, _| *count), 0);
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the schema cannot be read or is missing, or if it does not contain the
    /// commands and the events of the router.
    pub fn build(self, machine: M) -> Result<Server<M>, BuildError> {
        self.build_with(|_| machine)
    }

    /// Builds the server with a machine that keeps an emitter of events.
    ///
    /// ```
    /// use qmp_server::{Events, Router, Server};
    ///
    /// struct Machine {
    ///     events: Events,
    /// }
    ///
    /// // The machine emits events by itself.
    /// let server = Server::builder(Router::new()).build_with(|events| Machine { events })?;
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`build`](Self::build).
    pub fn build_with(self, machine: impl FnOnce(Events) -> M) -> Result<Server<M>, BuildError> {
        let Self { router, settings } = self;
        let schema = router.checked_schema()?;
        let limited = router.events.iter().filter_map(|(name, limit)| Some((*name, (*limit)?)));
        let throttle = Throttle::new(limited);
        let dispatch = Dispatch::new(router, schema, settings.greeting.version.clone());
        let hub = Hub::new(settings, throttle);
        let machine = MachineHandle::new(machine(Events::new(&hub)), &hub);
        Ok(Server { shared: Shared::new(dispatch, machine) })
    }
}
