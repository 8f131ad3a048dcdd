//! What the handles, the connections and the threads of one server share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::Instant;

use qmp_types::Greeting;

use crate::peer::Peer;
use crate::request::Request;
use crate::router::{Context, Emitted, Router};
use crate::session::{Closed, Limits, event_line};
use crate::sync::lock;
use crate::throttle::Throttle;

// Locks are taken in the order in which they stand here, and a peer's session is the last.
pub(crate) struct Shared<M> {
    pub(crate) router: Router<M>,
    pub(crate) greeting: Greeting,
    pub(crate) limits: Limits,
    pub(crate) state: Mutex<State<M>>,
    /// Whether a thread is there to deliver events that are held back.
    pub(crate) ticking: AtomicBool,
    /// How many clients are served in the background.
    pub(crate) serving: Mutex<usize>,
    pub(crate) served: Condvar,
}

pub(crate) struct State<M> {
    pub(crate) machine: M,
    pub(crate) throttle: Throttle,
    pub(crate) peers: BTreeMap<u64, Arc<Peer>>,
    pub(crate) next_peer: u64,
    pub(crate) ended: bool,
    pub(crate) at_end: Vec<Box<dyn FnOnce() + Send>>,
}

pub(crate) struct Serving<M>(pub(crate) Arc<Shared<M>>);

impl<M> Drop for Serving<M> {
    fn drop(&mut self) {
        *lock(&self.0.serving) -= 1;
        self.0.served.notify_all();
    }
}

impl<M> Shared<M> {
    pub(crate) fn state(&self) -> MutexGuard<'_, State<M>> {
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
    pub(crate) fn finish(
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
