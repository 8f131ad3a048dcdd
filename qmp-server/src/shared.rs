//! The state that a server's handles, connections and threads share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use qmp_types::Greeting;

use crate::context::{Context, Emitted};
use crate::peer::Peer;
use crate::request::Request;
use crate::router::Router;
use crate::session::{CloseReason, Limits, Session, event_line};
use crate::sync::lock;
use crate::throttle::Throttle;

// Locks are acquired in the order of the fields; a peer's session is locked last.
pub(crate) struct Shared<M> {
    router: Router<M>,
    greeting: Greeting,
    limits: Limits,
    state: Mutex<State<M>>,
    /// Whether a thread is running that delivers held events.
    ticking: AtomicBool,
    /// The number of clients that are served in the background.
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

/// A guard that counts one client as served in the background.
pub(crate) struct Serving<M>(Arc<Shared<M>>);

impl<M> Serving<M> {
    pub(crate) fn new(shared: &Arc<Shared<M>>) -> Self {
        *lock(&shared.serving) += 1;
        Self(Arc::clone(shared))
    }
}

impl<M> Drop for Serving<M> {
    fn drop(&mut self) {
        *lock(&self.0.serving) -= 1;
        self.0.served.notify_all();
    }
}

impl<M> Shared<M> {
    pub(crate) fn new(greeting: Greeting, limits: Limits, router: Router<M>, machine: M) -> Self {
        let state = State {
            machine,
            throttle: Throttle::default(),
            peers: BTreeMap::new(),
            next_peer: 0,
            ended: false,
            at_end: Vec::new(),
        };
        Self {
            router,
            greeting,
            limits,
            state: Mutex::new(state),
            ticking: AtomicBool::new(false),
            serving: Mutex::new(0),
            served: Condvar::new(),
        }
    }

    pub(crate) fn router(&self) -> &Router<M> {
        &self.router
    }

    pub(crate) fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Adds a client, and returns the number by which [`remove_peer`](Self::remove_peer) knows it.
    pub(crate) fn add_peer(&self) -> (u64, Arc<Peer>) {
        let mut session = Session::new(&self.greeting, self.limits.clone());
        let mut state = self.state();
        if state.ended {
            session.close(CloseReason::Server);
        }
        let peer = Arc::new(Peer::new(session));
        let number = state.next_peer;
        state.next_peer += 1;
        state.peers.insert(number, Arc::clone(&peer));
        (number, peer)
    }

    pub(crate) fn remove_peer(&self, number: u64) {
        self.state().peers.remove(&number);
    }

    pub(crate) fn peer_count(&self) -> usize {
        self.state().peers.len()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Runs `action` when the server ends, or immediately if it already has.
    pub(crate) fn at_end(&self, action: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if state.ended {
            drop(state);
            action();
        } else {
            state.at_end.push(Box::new(action));
        }
    }

    /// Waits until no client is served in the background, at most for `timeout`.
    pub(crate) fn wait_served(&self, timeout: Duration) {
        let serving = lock(&self.serving);
        drop(self.served.wait_timeout_while(serving, timeout, |serving| *serving > 0));
    }

    fn state(&self) -> MutexGuard<'_, State<M>> {
        lock(&self.state)
    }
}

impl<M: Send + 'static> Shared<M> {
    /// Executes a client's command, and adds the reply to the output of its session.
    pub(crate) fn execute(self: &Arc<Self>, request: Request, peer: &Peer) {
        let id = request.id.clone();
        let mut context = Context { out_of_band: request.out_of_band, ..Context::default() };
        let mut state = self.state();
        let result = self.router.execute(&mut state.machine, request, &mut context);
        self.finish(state, context, || {
            let mut session = lock(&peer.session);
            match result {
                Ok(Some(value)) => session.succeed(id.as_ref(), &value),
                Ok(None) => {}
                Err(error) => session.fail(id.as_ref(), &error),
            }
        });
    }

    pub(crate) fn with_machine<T>(
        self: &Arc<Self>,
        action: impl FnOnce(&mut M, &mut Context) -> T,
    ) -> T {
        let mut context = Context::default();
        let mut state = self.state();
        let result = action(&mut state.machine, &mut context);
        self.finish(state, context, || {});
        result
    }

    /// Carries out the requests that an action has left in its context, with the reply between the
    /// two groups of events, and wakes the peers once the lock is released.
    fn finish(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<M>>,
        context: Context,
        reply: impl FnOnce(),
    ) {
        let is_quiet = context.is_quiet();
        state.deliver(context.events);
        reply();
        state.deliver(context.after_reply);
        let at_end = if context.ends { state.end() } else { Vec::new() };
        let has_held = state.throttle.due().is_some();
        let woken = if is_quiet { Vec::new() } else { state.all_peers() };
        drop(state);
        woken.iter().for_each(|peer| peer.wake());
        at_end.into_iter().for_each(|action| action());
        if has_held {
            self.start_ticking();
        }
    }

    /// Starts the thread that delivers held events, unless it is running.
    fn start_ticking(self: &Arc<Self>) {
        if self.ticking.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::downgrade(self);
        let ticker = thread::Builder::new().name("qmp-events".to_owned());
        // If no thread can be spawned, the next command or event delivers the held events.
        if ticker.spawn(move || tick(&shared)).is_err() {
            self.ticking.store(false, Ordering::Release);
        }
    }
}

/// Delivers held events when they are due. Returns when none is left or the server is dropped.
fn tick<M: Send + 'static>(shared: &Weak<Shared<M>>) {
    while let Some(shared) = shared.upgrade() {
        let mut state = shared.state();
        let events = state.throttle.release(Instant::now());
        state.broadcast(&events);
        let peers = state.all_peers();
        let due = state.throttle.due();
        if due.is_none() {
            // Stored while the lock is held: the next thread that holds an event back must see it
            // and start another ticker.
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
    fn all_peers(&self) -> Vec<Arc<Peer>> {
        self.peers.values().map(Arc::clone).collect()
    }

    /// Closes all connections, and returns the actions to run after the lock is released.
    fn end(&mut self) -> Vec<Box<dyn FnOnce() + Send>> {
        self.ended = true;
        for peer in self.peers.values() {
            lock(&peer.session).close(CloseReason::Server);
        }
        std::mem::take(&mut self.at_end)
    }

    fn deliver(&mut self, events: Vec<Emitted>) {
        let now = Instant::now();
        let released = self.throttle.release(now);
        self.broadcast(&released);
        for event in events {
            if let Some(event) = self.throttle.admit(event, now) {
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
