//! A machine, its router, and everybody who is connected to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use qmp_types::{Capability, Greeting, Version};

use crate::connection::{Connection, Peer};
use crate::request::Request;
use crate::router::{Context, Emitted, Router};
use crate::session::{Closed, Limits, Session, event_line};
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

// Locks are taken in the order in which they stand here, and a peer's session is the last.
pub(crate) struct Shared<M> {
    router: Router<M>,
    greeting: Greeting,
    limits: Limits,
    state: Mutex<State<M>>,
    /// Whether a thread is there to deliver events that are held back.
    ticking: AtomicBool,
    /// How many clients are served in the background.
    serving: Mutex<usize>,
    served: Condvar,
}

struct State<M> {
    machine: M,
    throttle: Throttle,
    peers: BTreeMap<u64, Arc<Peer>>,
    next_peer: u64,
    ended: bool,
    at_end: Vec<Box<dyn FnOnce() + Send>>,
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

pub(crate) struct Serving<M>(Arc<Shared<M>>);

impl<M> Drop for Serving<M> {
    fn drop(&mut self) {
        *lock(&self.0.serving) -= 1;
        self.0.served.notify_all();
    }
}

impl<M> Shared<M> {
    fn state(&self) -> MutexGuard<'_, State<M>> {
        lock(&self.state)
    }

    pub(crate) fn forget(&self, number: u64) {
        self.state().peers.remove(&number);
    }
}

impl<M: Send + 'static> Shared<M> {
    pub(crate) fn execute(self: &Arc<Self>, request: Request, peer: &Peer) {
        let id = request.id.clone();
        let mut context = Context { out_of_band: request.out_of_band, ..Context::default() };
        let mut state = self.state();
        let result = self.router.execute(&mut state.machine, request, &mut context);
        self.finish(state, context, |_| {
            let mut session = lock(&peer.session);
            match result {
                Ok(Some(value)) => session.succeed(id.as_ref(), &value),
                Ok(None) => {}
                Err(error) => session.fail(id.as_ref(), &error),
            }
        });
    }

    /// Delivers what a handler left in its context, with its reply between the events, and wakes
    /// whoever has something to send.
    fn finish(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<M>>,
        context: Context,
        reply: impl FnOnce(&mut State<M>),
    ) {
        let is_quiet = context.events.is_empty() && context.later.is_empty() && !context.ends;
        state.deliver(context.events);
        reply(&mut state);
        state.deliver(context.later);
        let mut at_end = Vec::new();
        if context.ends {
            state.ended = true;
            at_end = std::mem::take(&mut state.at_end);
            for peer in state.peers.values() {
                lock(&peer.session).close(Closed::Server);
            }
        }
        let held = state.throttle.due().is_some();
        let woken: Vec<Arc<Peer>> = match is_quiet {
            true => Vec::new(),
            false => state.peers.values().map(Arc::clone).collect(),
        };
        drop(state);
        woken.iter().for_each(|peer| peer.wake());
        at_end.into_iter().for_each(|action| action());
        if held {
            self.start_ticking();
        }
    }

    /// Sees to it that events that are held back are delivered when they are due.
    fn start_ticking(self: &Arc<Self>) {
        if self.ticking.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::downgrade(self);
        let ticker = thread::Builder::new().name("qmp-events".to_owned());
        // Without a thread, the next command or event takes them along.
        if ticker.spawn(move || tick(&shared)).is_err() {
            self.ticking.store(false, Ordering::Release);
        }
    }
}

/// Delivers held events until there are none, or the server is gone.
fn tick<M: Send + 'static>(shared: &Weak<Shared<M>>) {
    while let Some(shared) = shared.upgrade() {
        let mut state = shared.state();
        let now = Instant::now();
        let events = state.throttle.release(now);
        state.broadcast(&events);
        let peers: Vec<Arc<Peer>> = state.peers.values().map(Arc::clone).collect();
        let due = state.throttle.due();
        if due.is_none() {
            // Still under the lock: whoever holds an event back next starts another thread.
            shared.ticking.store(false, Ordering::Release);
        }
        drop(state);
        peers.iter().for_each(|peer| peer.wake());
        let Some(due) = due else { return };
        drop(shared);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

impl<M> State<M> {
    fn deliver(&mut self, events: Vec<Emitted>) {
        let now = Instant::now();
        let released = self.throttle.release(now);
        self.broadcast(&released);
        for event in events {
            if let Some(event) = self.throttle.pass(event, now) {
                self.broadcast(&[event]);
            }
        }
    }

    fn broadcast(&self, events: &[Emitted]) {
        for event in events {
            let line = event_line(event.name, event.data.as_deref(), event.timestamp);
            for peer in self.peers.values() {
                lock(&peer.session).event_line(&line);
            }
        }
    }
}

// A handler that panicked has harmed its machine, if anything; the connections are whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn wait<'m, T>(condition: &Condvar, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
