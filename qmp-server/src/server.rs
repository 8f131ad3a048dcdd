//! A machine, its router, and everybody who is connected to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use qmp_types::{Capability, Greeting, Version};

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
struct Shared<M> {
    router: Router<M>,
    greeting: Greeting,
    limits: Limits,
    state: Mutex<State<M>>,
    /// Whether a thread is there to deliver events that are held back.
    ticking: AtomicBool,
}

struct State<M> {
    machine: M,
    throttle: Throttle,
    peers: BTreeMap<u64, Arc<Peer>>,
    next_peer: u64,
    ended: bool,
    at_end: Vec<Box<dyn FnOnce() + Send>>,
}

struct Peer {
    /// Held while commands are taken out and executed: their order is the client's.
    turn: Mutex<()>,
    session: Mutex<Session>,
    changed: Condvar,
    on_change: Mutex<Option<Box<dyn Fn() + Send>>>,
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
        Self { shared: Arc::new(Shared { router, greeting, limits, state, ticking }) }
    }

    /// A client connects. The greeting is the connection's first output.
    #[must_use]
    pub fn connect(&self) -> Connection<M> {
        let mut session = Session::new(&self.shared.greeting, self.shared.limits.clone());
        let mut state = self.shared.state();
        if state.ended {
            session.close(Closed::Server);
        }
        let peer = Arc::new(Peer {
            turn: Mutex::new(()),
            session: Mutex::new(session),
            changed: Condvar::new(),
            on_change: Mutex::new(None),
        });
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

impl<M> Shared<M> {
    fn state(&self) -> MutexGuard<'_, State<M>> {
        lock(&self.state)
    }
}

impl<M: Send + 'static> Shared<M> {
    fn execute(self: &Arc<Self>, request: Request, peer: &Peer) {
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

impl Peer {
    fn wake(&self) {
        self.changed.notify_all();
        if let Some(on_change) = &*lock(&self.on_change) {
            on_change();
        }
    }
}

/// One client's connection, without I/O: give it the bytes that arrive, send what it has to say.
///
/// Dropping it is the client's leaving.
pub struct Connection<M> {
    shared: Arc<Shared<M>>,
    number: u64,
    peer: Arc<Peer>,
}

impl<M> fmt::Debug for Connection<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Connection<M> {
    /// Takes bytes that arrived, and executes the commands that they complete.
    pub fn receive(&self, bytes: &[u8]) {
        self.session().receive(bytes);
        self.execute();
    }

    /// Takes all bytes to send; what was waiting for them to go is executed.
    #[must_use]
    pub fn take_output(&self) -> Vec<u8> {
        let output = self.session().take_output();
        self.execute();
        output
    }

    /// Whether more bytes should be read from the client: not while it leaves replies unread.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.session().wants_input()
    }

    /// Whether there is something to send.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.session().output().is_empty()
    }

    /// Why the connection has ended, if it has. Output that there is should still be sent.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.session().closed().cloned()
    }

    /// Ends the connection, as when the client is gone.
    pub fn close(&self, reason: Closed) {
        self.session().close(reason);
        self.peer.wake();
    }

    /// Has something done whenever there may be output, room for input, or an end that was not
    /// there before. It runs on whatever thread caused that, and must not call back into the
    /// server: it is for waking an event loop.
    pub fn on_change(&self, wake: impl Fn() + Send + 'static) {
        *lock(&self.peer.on_change) = Some(Box::new(wake));
    }

    /// Waits until there is something to send, and takes it. None once the connection has ended
    /// and everything is sent.
    pub(crate) fn wait_output(&self) -> Option<Vec<u8>> {
        let mut session = self.session();
        loop {
            let output = session.take_output();
            if !output.is_empty() {
                drop(session);
                // There is room for replies again.
                self.peer.wake();
                return Some(output);
            }
            if session.closed().is_some() {
                return None;
            }
            session = wait(&self.peer.changed, session);
        }
    }

    /// Waits until bytes should be read from the client, and executes what waited for room in the
    /// output. False once the connection has ended.
    pub(crate) fn wait_input(&self) -> bool {
        loop {
            self.execute();
            let session = self.session();
            if session.closed().is_some() {
                return false;
            }
            if session.wants_input() {
                return true;
            }
            if session.is_congested() {
                drop(wait(&self.peer.changed, session));
            }
        }
    }

    /// Has something done once the client has left too much unread: whoever sends to it is
    /// blocked.
    pub(crate) fn on_overflow(&self, hang_up: impl Fn() + Send + 'static) {
        let peer = Arc::downgrade(&self.peer);
        self.on_change(move || {
            let session = peer.upgrade().map(|peer| lock(&peer.session).closed().cloned());
            if let Some(Some(Closed::NotRead(_))) = session {
                hang_up();
            }
        });
    }

    fn execute(&self) {
        let _turn = lock(&self.peer.turn);
        loop {
            let request = self.session().next_request();
            let Some(request) = request else { break };
            self.shared.execute(request, &self.peer);
            self.peer.wake();
        }
        // The protocol's own replies need no request.
        self.peer.wake();
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.peer.session)
    }
}

impl<M> Drop for Connection<M> {
    fn drop(&mut self) {
        lock(&self.shared.state).peers.remove(&self.number);
    }
}

// A handler that panicked has harmed its machine, if anything; the connections are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'m, T>(condition: &Condvar, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
