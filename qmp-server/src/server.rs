//! A handle to a server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use qmp_types::{Capability, Greeting, Version};

use crate::connection::Connection;
use crate::context::Context;
use crate::router::Router;
use crate::session::Limits;
use crate::shared::{Serving, Shared};

/// A QMP server: a machine of any type `M`, the [`Router`] with its commands, and any number of
/// clients at a time (a QEMU monitor has one).
///
/// A `Server` is a cheap handle: clones refer to the same server. [`connect`](Self::connect)
/// returns a connection without I/O, for event loops; the `serve` methods do the I/O on threads.
///
/// Commands of all clients are executed one at a time, and all clients receive events in the same
/// order.
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
            .field("router", self.shared.router())
            .field("greeting", self.shared.greeting())
            .finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Server<M> {
    /// Creates a server that offers out-of-band execution.
    #[must_use]
    pub fn new(version: Version, router: Router<M>, machine: M) -> Self {
        let greeting = Greeting { version, capabilities: vec![Capability::Oob] };
        Self::with_greeting(greeting, Limits::default(), router, machine)
    }

    /// Creates a server with a custom greeting and custom limits.
    #[must_use]
    pub fn with_greeting(
        greeting: Greeting,
        limits: Limits,
        router: Router<M>,
        machine: M,
    ) -> Self {
        Self { shared: Arc::new(Shared::new(greeting, limits, router, machine)) }
    }

    /// Adds a client. The greeting is the connection's first output.
    #[must_use]
    pub fn connect(&self) -> Connection<M> {
        let (number, peer) = self.shared.add_peer();
        Connection { shared: Arc::clone(&self.shared), number, peer }
    }

    /// Reads or changes the machine from outside, as hardware or a guest would. Events emitted
    /// through the context are sent to all clients.
    pub fn with_machine<T>(&self, action: impl FnOnce(&mut M, &mut Context) -> T) -> T {
        self.shared.with_machine(action)
    }

    /// Ends the server: closes all connections after their pending output has been sent.
    pub fn end(&self) {
        self.with_machine(|_, context| context.end());
    }

    /// Returns whether the server has ended, by [`end`](Self::end) or by a command such as `quit`.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }

    /// Returns the number of connected clients.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.peer_count()
    }

    /// Returns a handle that does not keep the server.
    #[cfg(feature = "simulator")]
    pub(crate) fn downgrade(&self) -> std::sync::Weak<Shared<M>> {
        Arc::downgrade(&self.shared)
    }

    /// Counts a client as served in the background until the guard is dropped.
    pub(crate) fn serving(&self) -> Serving<M> {
        Serving::new(&self.shared)
    }

    /// Waits until no client is served in the background, at most for `timeout`.
    pub(crate) fn wait_served(&self, timeout: Duration) {
        self.shared.wait_served(timeout);
    }

    /// Runs `action` when the server ends, or immediately if it already has.
    pub(crate) fn at_end(&self, action: impl FnOnce() + Send + 'static) {
        self.shared.at_end(action);
    }
}
