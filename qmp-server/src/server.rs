//! A machine, its router, and everybody who is connected to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use qmp_types::{Capability, Greeting, Version};

use crate::connection::Connection;
use crate::peer::Peer;
use crate::router::{Context, Router};
use crate::session::{Closed, Limits, Session};
use crate::shared::{Serving, Shared, State};
use crate::sync::lock;
use crate::throttle::Throttle;

/// A QMP server: a machine of any type `M`, the [`Router`] that says what it does, and any number
/// of clients at once (QEMU has one at a time on a monitor).
///
/// It is a cheap handle: clones are the same server. [`connect`](Self::connect) gives a connection
/// without I/O, for event loops; the `serve` methods do the I/O on threads of their own.
///
/// One command is executed at a time, whoever sent it, and events reach all clients in one order.
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
            .field("router", &self.shared.router)
            .field("greeting", &self.shared.greeting)
            .finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Server<M> {
    /// A server that offers out-of-band execution.
    #[must_use]
    pub fn new(version: Version, router: Router<M>, machine: M) -> Self {
        let greeting = Greeting { version, capabilities: vec![Capability::Oob] };
        Self::with_greeting(greeting, Limits::default(), router, machine)
    }

    /// A server with a greeting and limits of your own.
    #[must_use]
    pub fn with_greeting(
        greeting: Greeting,
        limits: Limits,
        router: Router<M>,
        machine: M,
    ) -> Self {
        let state = State {
            machine,
            throttle: Throttle::default(),
            peers: BTreeMap::new(),
            next_peer: 0,
            ended: false,
            at_end: Vec::new(),
        };
        let state = Mutex::new(state);
        let ticking = AtomicBool::new(false);
        let (serving, served) = (Mutex::new(0), Condvar::new());
        let shared = Shared { router, greeting, limits, state, ticking, serving, served };
        Self { shared: Arc::new(shared) }
    }

    /// A client connects. The greeting is the connection's first output.
    #[must_use]
    pub fn connect(&self) -> Connection<M> {
        let mut session = Session::new(&self.shared.greeting, self.shared.limits.clone());
        let mut state = self.shared.state();
        if state.ended {
            session.close(Closed::Server);
        }
        let peer = Arc::new(Peer::new(session));
        let number = state.next_peer;
        state.next_peer += 1;
        state.peers.insert(number, Arc::clone(&peer));
        Connection { shared: Arc::clone(&self.shared), number, peer }
    }

    /// Looks at the machine or changes it from outside, as hardware or a guest would; events
    /// emitted by way of the context reach all clients.
    pub fn with_machine<T>(&self, action: impl FnOnce(&mut M, &mut Context) -> T) -> T {
        let mut context = Context::default();
        let mut state = self.shared.state();
        let result = action(&mut state.machine, &mut context);
        self.shared.finish(state, context, |_| {});
        result
    }

    /// Ends the server: what waits to be sent is still sent, then all connections are closed.
    pub fn end(&self) {
        self.with_machine(|_, context| context.end());
    }

    /// Whether the server has ended, by [`end`](Self::end) or by a command such as `quit`.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.state().ended
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().peers.len()
    }

    /// Counts a client that is served in the background, until the guard is dropped.
    pub(crate) fn serving(&self) -> Serving<M> {
        *lock(&self.shared.serving) += 1;
        Serving(Arc::clone(&self.shared))
    }

    /// Waits until nobody is served in the background any more, or until the time is up.
    pub(crate) fn wait_served(&self, timeout: Duration) {
        let serving = lock(&self.shared.serving);
        drop(self.shared.served.wait_timeout_while(serving, timeout, |serving| *serving > 0));
    }

    /// Has something done when the server ends, or now if it has.
    pub(crate) fn at_end(&self, action: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.state();
        if state.ended {
            drop(state);
            action();
        } else {
            state.at_end.push(Box::new(action));
        }
    }
}
