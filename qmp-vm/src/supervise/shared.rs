//! The state that the handles share with the keeper.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use qmp_client::{Closed, Error, Options, Timeout, WaitedFor};

use super::connection::{Connection, Ended};
use super::identity::{Identity, SameQemu};
use super::supervision::Supervision;
use super::waiters::Waiters;

/// A supervised connection: the part that never changes, and the part that the lock guards.
///
/// The lock is held briefly: never across an `.await`, never while a client is used or dropped. The
/// locks of clients come after it.
pub struct Shared<C> {
    name: Box<str>,
    now: fn() -> Instant,
    options: Options,
    fails_fast: bool,
    /// Closes the connection of a client.
    close: fn(&C),
    state: Mutex<State<C>>,
    /// Wakes the threads that wait for a change.
    pub(super) bell: Condvar,
}

/// The part that the lock guards.
pub struct State<C> {
    pub(super) phase: Phase<C>,
    /// The number of the last connection; zero if there was none.
    pub(super) number: u64,
    /// The QEMU of the last connection.
    pub(super) identity: Option<Arc<Identity>>,
    /// The tasks that wait for a change.
    pub(super) waiters: Waiters,
    /// Whether no handle is left, or this program has closed the connection.
    pub(super) deserted: bool,
    /// Whether the next attempt is due at once.
    pub(super) hurry: bool,
    /// Interrupts a blocking attempt to connect.
    pub(super) interrupt: Option<Interrupt>,
}

pub(super) type Interrupt = Box<dyn FnOnce() + Send>;

/// The phase of a supervised connection.
pub(super) enum Phase<C> {
    Outage(Outage),
    Connected(Connected<C>),
    Ended(Ended),
}

/// The time without a connection.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub(super) attempts: u32,
    pub(super) error: Option<Arc<Error>>,
    /// The end of the connection before.
    pub(super) lost: Option<Closed>,
}

/// A connection.
#[derive(Clone)]
pub(super) struct Connected<C> {
    pub(super) client: C,
    pub(super) number: u64,
    pub(super) identity: Arc<Identity>,
}

impl<C: Clone> Connected<C> {
    pub(super) fn connection(&self, same_qemu: SameQemu) -> Connection<C> {
        Connection {
            client: self.client.clone(),
            number: self.number,
            identity: Arc::clone(&self.identity),
            same_qemu,
        }
    }
}

impl<C> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for State<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<C> Shared<C> {
    pub(super) fn new(
        name: Box<str>,
        now: fn() -> Instant,
        policy: &Supervision,
        close: fn(&C),
    ) -> Self {
        let outage = Outage { attempts: 0, error: None, lost: None };
        let state = State {
            phase: Phase::Outage(outage),
            number: 0,
            identity: None,
            waiters: Waiters::default(),
            deserted: false,
            hurry: false,
            interrupt: None,
        };
        let (options, fails_fast) = (policy.options.clone(), policy.fail_fast);
        Self {
            name,
            now,
            options,
            fails_fast,
            close,
            state: Mutex::new(state),
            bell: Condvar::new(),
        }
    }

    /// Returns what is connected to, such as "unix:/run/vm.sock".
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn now(&self) -> Instant {
        (self.now)()
    }

    pub(super) fn fails_fast(&self) -> bool {
        self.fails_fast
    }

    /// Returns the options of each connection.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<C>> {
        // The state is consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes all who wait for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State<C>) -> T) -> T {
        let mut woken = Vec::new();
        let changed = {
            let mut state = self.lock();
            let changed = change(&mut state);
            state.waiters.wake_all(&mut woken);
            changed
        };
        self.bell.notify_all();
        woken.into_iter().for_each(Waker::wake);
        changed
    }

    /// Enters a phase, unless that is over; returns whether it was entered.
    pub(super) fn enter(&self, phase: Phase<C>) -> bool {
        let (entered, _left, _interrupt) = self.change(|state| {
            if state.deserted || matches!(state.phase, Phase::Ended(_)) {
                return (false, phase, None);
            }
            // It would keep the stream of this connection open.
            let interrupt = state.interrupt.take();
            if let Phase::Connected(connected) = &phase {
                (state.number, state.identity) =
                    (connected.number, Some(Arc::clone(&connected.identity)));
                state.hurry = false;
            }
            (true, std::mem::replace(&mut state.phase, phase), interrupt)
        });
        // What was left may own a client, and is dropped after the lock is released.
        entered
    }

    /// Notes that an attempt has failed.
    pub(super) fn failed(&self, failure: &Arc<Error>) {
        self.change(|state| {
            if let Phase::Outage(outage) = &mut state.phase {
                outage.attempts = outage.attempts.saturating_add(1);
                outage.error = Some(Arc::clone(failure));
            }
        });
    }

    /// Ends it: no handle is left, or this program closes it.
    pub(super) fn desert(&self) {
        let (left, interrupt) = self.change(|state| {
            state.deserted = true;
            let left = match state.phase {
                Phase::Ended(_) => None,
                _ => Some(std::mem::replace(&mut state.phase, Phase::Ended(Ended::Local))),
            };
            (left, state.interrupt.take())
        });
        if let Some(Phase::Connected(connected)) = left {
            (self.close)(&connected.client);
        }
        interrupt.into_iter().for_each(|interrupt| interrupt());
    }

    /// Returns the error of a wait for the connection that took too long.
    pub(super) fn passed(&self, within: Duration) -> Error {
        let error = match &self.lock().phase {
            Phase::Outage(outage) => outage.error.clone(),
            _ => None,
        };
        let waited_for = WaitedFor::Connection(self.name.clone());
        Timeout::new(waited_for, within).because(error).into()
    }
}

/// Returns when a wait ends; `None` if that is never.
pub(super) fn deadline_after(now: Instant, within: Duration) -> Option<Instant> {
    now.checked_add(within)
}

/// The share that the handles have. When the last one is dropped, the connection is closed.
pub(super) struct Hold<C>(Arc<Held<C>>);

struct Held<C>(Arc<Shared<C>>);

impl<C> Hold<C> {
    pub(super) fn new(shared: Arc<Shared<C>>) -> Self {
        Self(Arc::new(Held(shared)))
    }

    pub(super) fn shared(&self) -> &Shared<C> {
        &self.0.0
    }
}

impl<C> Clone for Hold<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Hold<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().fmt(f)
    }
}

impl<C> Drop for Held<C> {
    fn drop(&mut self) {
        self.0.desert();
    }
}
