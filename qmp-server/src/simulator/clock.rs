//! The clock of a simulated virtual machine, and what is due at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use qmp_types::Timestamp;

use super::machine::Machine;
use crate::clock;
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

/// The longest time for which a thread waits for a manual clock before it checks whether its server
/// still exists.
const CHECK: Duration = Duration::from_millis(500);

/// A time that only moves when it is told, from zero. The server stamps and limits events by it.
#[derive(Debug)]
pub(super) struct ManualTime {
    now: Mutex<Duration>,
    moved: Condvar,
    /// The date and time at zero.
    start: Timestamp,
}

impl Default for ManualTime {
    fn default() -> Self {
        Self { now: Mutex::default(), moved: Condvar::new(), start: Timestamp::now() }
    }
}

impl ManualTime {
    /// Moves to a time, unless it has passed.
    pub(super) fn move_to(&self, time: Duration) {
        let mut now = lock(&self.now);
        *now = time.max(*now);
        self.moved.notify_all();
    }
}

impl clock::Clock for ManualTime {
    fn now(&self) -> Duration {
        *lock(&self.now)
    }

    fn timestamp(&self) -> Timestamp {
        let micros = clock::Clock::now(self).as_micros();
        let micros = i64::try_from(micros).unwrap_or(i64::MAX);
        let micros = micros.saturating_add(self.start.microseconds);
        Timestamp {
            seconds: self.start.seconds.saturating_add(micros / 1_000_000),
            microseconds: micros % 1_000_000,
        }
    }

    fn sleep_until(&self, time: Duration) {
        let now = lock(&self.now);
        if *now < time {
            drop(self.moved.wait_timeout(now, CHECK));
        }
    }
}

/// The source of a clock's time.
#[derive(Debug)]
enum Time {
    /// Real time, since this moment.
    Real(Instant),
    Manual(Arc<ManualTime>),
}

/// A clock that starts at zero, and the timers that are set.
#[derive(Debug)]
pub(super) struct Clock {
    time: Time,
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
        Self::new(Time::Real(Instant::now()))
    }

    /// Returns a clock that only moves when it is told.
    pub(super) fn manual() -> Self {
        Self::new(Time::Manual(Arc::default()))
    }

    fn new(time: Time) -> Self {
        Self { time, timers: BTreeMap::new(), next: 0, ticker: None }
    }

    /// Returns the time of a clock that does not follow real time.
    pub(super) fn manual_time(&self) -> Option<Arc<ManualTime>> {
        match &self.time {
            Time::Real(_) => None,
            Time::Manual(time) => Some(Arc::clone(time)),
        }
    }

    /// Lets a thread fire the timers of a clock that follows real time.
    pub(super) fn attach(&mut self, shared: WeakMachineHandle<Machine>) {
        if matches!(self.time, Time::Real(_)) {
            let (runs, changed) = (Mutex::new(false), Condvar::new());
            self.ticker = Some(Arc::new(Ticker { shared, runs, changed }));
        }
    }

    pub(super) fn now(&self) -> Duration {
        match &self.time {
            Time::Real(started) => started.elapsed(),
            Time::Manual(time) => clock::Clock::now(&**time),
        }
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
        if let Time::Manual(time) = &self.time {
            time.move_to(first.key().0);
        }
        Some(first.remove())
    }

    /// Returns the time at which the next timer fires.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.timers.first_key_value().map(|((due, _), _)| *due)
    }

    fn next_due(&self) -> Option<Duration> {
        self.next_at().map(|due| due.saturating_sub(self.now()))
    }
}

impl Machine {
    fn fire_due(&mut self, end: Duration, context: &mut Context) {
        while self.fire_next(end, context) {}
    }

    /// Fires the first timer that is due by `end`. Returns whether there was one.
    pub(super) fn fire_next(&mut self, end: Duration, context: &mut Context) -> bool {
        let Some(timer) = self.clock.take_due(end) else { return false };
        match timer {
            Timer::Job(id) => self.job_works(&id, context),
            Timer::Migration => self.migration_transfers(context),
            Timer::Watchdog => self.watchdog_expires(context),
        }
        true
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
