//! The clients of a server and the events that they get. Nothing here knows the machine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use qmp_types::{Event, Greeting, QmpError};

use crate::client::{Client, Identity};
use crate::clock::Clock;
use crate::close_reason::CloseReason;
use crate::effects::Effects;
use crate::emitted::Emitted;
use crate::limits::Limits;
use crate::peer::Peer;
use crate::places::{Place, Places};
use crate::session::{Budgets, Session, event_line};
use crate::sync::lock;
use crate::throttle::Throttle;
use crate::usage::Usage;

/// The settings of a server that its clients notice.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) greeting: Greeting,
    pub(crate) limits: Limits,
    pub(crate) pretty: bool,
    pub(crate) clock: Arc<dyn Clock>,
    /// The runtime for asynchronous handlers.
    #[cfg(feature = "tokio")]
    pub(crate) runtime: Option<::tokio::runtime::Handle>,
}

/// The longest time between two looks for held events that are due. While the thread that delivers them
/// sleeps, others may be held back for a shorter time.
const TICK: Duration = Duration::from_millis(20);

pub(crate) struct Hub {
    settings: Settings,
    budgets: Budgets,
    places: Arc<Places>,
    state: Mutex<State>,
    /// Notified when the server ends, a client leaves, and a command is complete while the server
    /// stops.
    changed: Condvar,
    /// The number of threads that wait for a change. Notifying takes a system call even if there is
    /// none.
    waiting: AtomicUsize,
    /// Whether a thread is running that delivers held events.
    ticking: AtomicBool,
    rejected: AtomicU64,
}

/// The state that is changed together. Its lock is acquired before that of a peer's session.
struct State {
    throttle: Throttle,
    peers: BTreeMap<u64, Arc<Peer>>,
    next_peer: u64,
    phase: Phase,
    at_end: Vec<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Open,
    /// No further commands are read; those that have been are completed.
    Stopping,
    Ended,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn new(settings: Settings, throttle: Throttle) -> Arc<Self> {
        let state = State {
            throttle,
            peers: BTreeMap::new(),
            next_peer: 0,
            phase: Phase::Open,
            at_end: Vec::new(),
        };
        Arc::new(Self {
            budgets: Budgets::new(&settings.limits),
            places: Places::of_connections(settings.limits.connections),
            settings,
            state: Mutex::new(state),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            ticking: AtomicBool::new(false),
            rejected: AtomicU64::new(0),
        })
    }

    pub(crate) fn greeting(&self) -> &Greeting {
        &self.settings.greeting
    }

    /// Returns the memory budgets that all clients share.
    #[cfg(feature = "agent")]
    pub(crate) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Takes a place for a command that is executed on a thread or in a task of its own.
    ///
    /// # Errors
    /// Returns the error for the client if too many are executed.
    pub(crate) fn take_place(&self, command: &str) -> Result<Place, QmpError> {
        self.places.take(command)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.settings.clock
    }

    /// Returns the runtime of the calling task, or the one that the server was built in or with.
    #[cfg(feature = "tokio")]
    pub(crate) fn runtime(&self) -> Option<::tokio::runtime::Handle> {
        let current = ::tokio::runtime::Handle::try_current().ok();
        current.or_else(|| self.settings.runtime.clone())
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            connections: self.state().peers.len(),
            input_bytes: self.budgets.input.used(),
            output_bytes: self.budgets.output.used(),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    /// Returns whether the server has as many connections as it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.state().peers.len() >= self.settings.limits.connections
    }

    /// Adds a client. It is closed at once if the server has ended or is full.
    pub(crate) fn add_peer(&self, identity: Identity) -> Arc<Peer> {
        let Settings { greeting, limits, pretty, .. } = &self.settings;
        let mut session = Session::within(&self.budgets, greeting, limits.clone(), *pretty);
        let mut state = self.state();
        let number = state.next_peer;
        state.next_peer += 1;
        let is_full = state.peers.len() >= limits.connections;
        match state.phase {
            Phase::Ended => session.close(CloseReason::Server),
            _ if is_full => {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                session.close(CloseReason::ConnectionLimit);
            }
            Phase::Stopping => session.stop(),
            Phase::Open => {}
        }
        let peer = Arc::new(Peer::new(Client::new(number, identity), session));
        if !is_full {
            state.peers.insert(number, Arc::clone(&peer));
        }
        peer
    }

    pub(crate) fn remove_peer(&self, peer: &Peer) {
        let removed = self.state().peers.remove(&peer.client.number());
        self.announce();
        // After the lock has been released. A command that is still executed may keep the peer, and
        // output that cannot be sent any more would count toward the limit of all clients until then.
        let unsent = peer.session().remove();
        drop((removed, unsent));
    }

    pub(crate) fn stamp<E: Event>(&self, event: &E) -> Emitted {
        Emitted::new(event, self.clock().timestamp())
    }

    /// Sends events to all clients, or holds them back. The caller calls
    /// [`notify_all`](Self::notify_all) once it holds no lock.
    pub(crate) fn deliver(self: &Arc<Self>, events: impl IntoIterator<Item = Emitted>) {
        let now = self.clock().now();
        let mut state = self.state();
        let released = state.throttle.release(now);
        state.broadcast(&released);
        for event in events {
            if let Some(event) = state.throttle.admit(event, now) {
                state.broadcast(&[event]);
            }
        }
        let has_held = state.throttle.due().is_some();
        drop(state);
        if has_held {
            self.start_ticking();
        }
    }

    /// Carries out what a handler has asked for, with its reply between the two groups of events.
    pub(crate) fn carry_out(self: &Arc<Self>, effects: Effects, reply: impl FnOnce()) {
        if effects.is_empty() {
            return reply();
        }
        self.deliver(effects.events);
        reply();
        self.deliver(effects.after_reply);
        if effects.ends {
            self.end();
        }
    }

    /// Tells the owners of all connections that have something to do. The calling thread must not
    /// hold any lock.
    pub(crate) fn notify_all(&self) {
        let peers: Vec<_> = self.state().peers.values().map(Arc::clone).collect();
        for peer in peers {
            peer.notify();
        }
        let actions = match &mut *self.state() {
            state if state.phase == Phase::Ended => std::mem::take(&mut state.at_end),
            _ => Vec::new(),
        };
        actions.into_iter().for_each(|action| action());
        self.announce();
    }

    /// Closes all connections. The caller calls [`notify_all`](Self::notify_all) once it holds no
    /// lock.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.phase = Phase::Ended;
        for peer in state.peers.values() {
            peer.session().close(CloseReason::Server);
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state().phase == Phase::Ended
    }

    /// Returns whether the server accepts clients.
    pub(crate) fn is_open(&self) -> bool {
        self.state().phase == Phase::Open
    }

    /// Runs `action` when the server ends, or immediately if it already has.
    pub(crate) fn at_end(&self, action: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if state.phase == Phase::Ended {
            drop(state);
            action();
        } else {
            state.at_end.push(Box::new(action));
        }
    }

    /// Stops reading commands, and waits until those that have been read are complete, then ends.
    /// Returns false if some were not complete within the time.
    pub(crate) fn stop(&self, within: Duration) -> bool {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Stopping;
            state.peers.values().for_each(|peer| peer.session().stop());
        }
        drop(state);
        let is_idle = |state: &State| state.peers.values().all(|peer| peer.session().is_idle());
        let is_complete = self.wait(within, is_idle);
        self.end();
        self.notify_all();
        is_complete
    }

    /// Waits until all clients have gone, at most for `within`.
    #[cfg(not(unix))]
    pub(crate) fn wait_gone(&self, within: Duration) {
        self.wait(within, |state| state.peers.is_empty());
    }

    /// Waits until the server ends, at most for `within`.
    pub(crate) fn wait_ended(&self, within: Duration) {
        self.wait(within, |state| state.phase == Phase::Ended);
    }

    /// Wakes the threads that wait for a change, because a command is complete.
    pub(crate) fn command_is_complete(&self) {
        self.announce();
    }

    /// Delivers the held events that are due.
    pub(crate) fn release_events(self: &Arc<Self>) {
        self.deliver([]);
        self.notify_all();
    }

    /// Returns the time at which the next event that is held back is due.
    #[cfg(feature = "simulator")]
    pub(crate) fn events_held_until(&self) -> Option<Duration> {
        self.state().throttle.due()
    }

    fn wait(&self, within: Duration, mut is_done: impl FnMut(&State) -> bool) -> bool {
        let deadline = Instant::now().checked_add(within);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        let mut state = self.state();
        while !is_done(&state) {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return false;
            }
            // A session that is closed has no commands that wait, which is not always announced.
            let pause = left.min(Duration::from_millis(20));
            let waited = self.changed.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Wakes the threads that wait for a change. The calling thread must hold neither the lock of the
    /// state nor that of a session.
    fn announce(&self) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            // A thread that has looked before the change holds the lock until it waits.
            drop(self.state());
            self.changed.notify_all();
        }
    }

    /// Starts the thread that delivers held events, unless it is running.
    fn start_ticking(self: &Arc<Self>) {
        if self.ticking.swap(true, Ordering::AcqRel) {
            return;
        }
        let hub = Arc::downgrade(self);
        let ticker = thread::Builder::new().name("qmp-events".to_owned());
        // If no thread can be spawned, the next command or event delivers the held events.
        if ticker.spawn(move || tick(&hub)).is_err() {
            self.ticking.store(false, Ordering::Release);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Counts a thread that waits, until it is dropped.
struct Waiting<'h>(&'h AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Delivers held events when they are due. Returns when none is left or the server is dropped.
fn tick(hub: &Weak<Hub>) {
    while let Some(hub) = hub.upgrade() {
        let mut state = hub.state();
        let now = hub.clock().now();
        let events = state.throttle.release(now);
        state.broadcast(&events);
        let due = state.throttle.due();
        if due.is_none() {
            // Stored while the lock is held: the next thread that holds an event back must see it
            // and start another ticker.
            hub.ticking.store(false, Ordering::Release);
        }
        drop(state);
        if !events.is_empty() {
            hub.notify_all();
        }
        let Some(due) = due else { return };
        let clock = Arc::clone(&hub.settings.clock);
        drop(hub);
        clock.sleep_until(due.min(now.saturating_add(TICK)));
    }
}

impl State {
    fn broadcast(&self, events: &[Emitted]) {
        for event in events {
            let line = event_line(event.name, event.data.as_deref(), event.timestamp);
            for peer in self.peers.values() {
                peer.session().event_line(&line);
            }
        }
    }
}

#[cfg(all(test, feature = "simulator"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use qmp_types::Timestamp;
    use qmp_types::qmp::events::{Resume, Stop};

    use super::*;
    use crate::clock::SystemClock;
    use crate::{RateLimit, Router, Server};

    /// A clock that tells when a thread begins to sleep.
    #[derive(Debug)]
    struct Told(SystemClock, Mutex<mpsc::Sender<()>>);

    impl Clock for Told {
        fn now(&self) -> Duration {
            self.0.now()
        }

        fn timestamp(&self) -> Timestamp {
            self.0.timestamp()
        }

        fn sleep_until(&self, time: Duration) {
            let _ = lock(&self.1).send(());
            self.0.sleep_until(time);
        }
    }

    /// The thread that delivers held events used to sleep until the first one was due, even if another one
    /// was held back meanwhile that was due earlier.
    #[test]
    fn a_held_event_waits_for_no_event_that_is_due_later() {
        let (sleeps, sleep) = mpsc::channel();
        let router = Router::new()
            .introspection(qmp_types::qmp::INTROSPECTION)
            .limited_event::<Stop>(RateLimit::every(Duration::from_secs(60)))
            .limited_event::<Resume>(RateLimit::every(Duration::from_secs(2)));
        let clock = Arc::new(Told(SystemClock::default(), Mutex::new(sleeps)));
        let server = Server::builder(router).clock(clock).build(()).unwrap();
        let connection = server.connect();
        connection.receive(b"{'execute': 'qmp_capabilities'}");
        for _ in 0..2 {
            server.events().emit(&Stop::new());
        }
        sleep.recv_timeout(Duration::from_secs(10)).unwrap();
        for _ in 0..2 {
            server.events().emit(&Resume::new());
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut output = String::new();
        while output.matches("RESUME").count() < 2 {
            assert!(Instant::now() < deadline, "the event is late: {output}");
            thread::sleep(Duration::from_millis(5));
            output.push_str(&String::from_utf8(connection.take_output()).unwrap());
        }
    }
}
