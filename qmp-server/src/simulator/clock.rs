//! The clock of a simulated virtual machine, and what is due at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::machine::Machine;
use crate::context::Context;
use crate::handle::WeakMachineHandle;
use crate::sync::lock;

/// Something that happens at a certain time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Timer {
    /// A job has done its work.
    Job(String),
    /// The outgoing migration has transferred the memory.
    Migration,
    /// The guest has not served its watchdog in time.
    Watchdog,
}

/// A clock that starts at zero, and the timers that are set.
#[derive(Debug)]
pub(super) struct Clock {
    /// The moment at which the clock started, if it follows real time.
    started: Option<Instant>,
    /// The time that was reached last.
    now: Duration,
    timers: BTreeMap<(Duration, u64), Timer>,
    next: u64,
    ticker: Option<Arc<Ticker>>,
}

/// The thread that fires timers in real time, while any is set.
#[derive(Debug)]
struct Ticker {
    shared: WeakMachineHandle<Machine>,
    /// Whether the thread runs.
    runs: Mutex<bool>,
    changed: Condvar,
}

impl Clock {
    /// Returns a clock that follows real time.
    pub(super) fn real() -> Self {
        Self { started: Some(Instant::now()), ..Self::manual() }
    }

    /// Returns a clock that only moves when it is told.
    pub(super) fn manual() -> Self {
        let timers = BTreeMap::new();
        Self { started: None, now: Duration::ZERO, timers, next: 0, ticker: None }
    }

    pub(super) fn is_manual(&self) -> bool {
        self.started.is_none()
    }

    /// Lets a thread fire the timers of a clock that follows real time.
    pub(super) fn attach(&mut self, shared: WeakMachineHandle<Machine>) {
        if !self.is_manual() {
            let (runs, changed) = (Mutex::new(false), Condvar::new());
            self.ticker = Some(Arc::new(Ticker { shared, runs, changed }));
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.started.map_or(self.now, |started| started.elapsed())
    }

    /// Sets a timer, in place of an equal one.
    pub(super) fn set(&mut self, after: Duration, timer: Timer) {
        self.cancel(&timer);
        let due = self.now().saturating_add(after);
        self.timers.insert((due, self.next), timer);
        self.next += 1;
        if let Some(ticker) = &self.ticker {
            ticker.wake();
        }
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        self.timers.retain(|_, set| set != timer);
    }

    /// Returns the time until a timer fires, if it is set.
    pub(super) fn remaining(&self, timer: &Timer) -> Option<Duration> {
        let ((due, _), _) = self.timers.iter().find(|(_, set)| *set == timer)?;
        Some(due.saturating_sub(self.now()))
    }

    /// Takes the first timer that is due by `end`, and moves the clock to its time.
    fn take_due(&mut self, end: Duration) -> Option<Timer> {
        let first = self.timers.first_entry().filter(|entry| entry.key().0 <= end)?;
        self.now = self.now.max(first.key().0);
        Some(first.remove())
    }

    fn next_due(&self) -> Option<Duration> {
        self.timers.first_key_value().map(|((due, _), _)| due.saturating_sub(self.now()))
    }
}

impl Machine {
    /// Moves a clock that does not follow real time, and fires the timers that become due.
    pub(super) fn advance(&mut self, by: Duration, context: &mut Context) {
        let end = self.clock.now().saturating_add(by);
        self.fire_due(end, context);
        self.clock.now = self.clock.now.max(end);
    }

    fn fire_due(&mut self, end: Duration, context: &mut Context) {
        while let Some(timer) = self.clock.take_due(end) {
            match timer {
                Timer::Job(id) => self.job_works(&id, context),
                Timer::Migration => self.migration_transfers(context),
                Timer::Watchdog => self.watchdog_expires(context),
            }
        }
    }
}

impl Ticker {
    /// Tells the thread that timers have changed. Starts it if it does not run.
    fn wake(self: &Arc<Self>) {
        let mut runs = lock(&self.runs);
        self.changed.notify_all();
        if *runs {
            return;
        }
        let ticker = Arc::clone(self);
        let thread = thread::Builder::new().name("qmp-clock".to_owned());
        // If no thread can be spawned, the timers fire when the next one is set.
        *runs = thread.spawn(move || ticker.run()).is_ok();
    }

    fn run(&self) {
        while let Some(shared) = self.shared.upgrade() {
            let mut due = None;
            if !shared.has_ended() {
                due = shared.with(|machine, context| {
                    machine.fire_due(machine.clock.now(), context);
                    machine.clock.next_due()
                });
            }
            // The last handle of the server may be this one.
            drop(shared);
            let mut runs = lock(&self.runs);
            match due {
                Some(due) => drop(self.changed.wait_timeout(runs, due)),
                None => {
                    *runs = false;
                    return;
                }
            }
        }
    }
}
