//! Virtual time, and the timer that follows it.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qmp_client::runtime::Clock;

thread_local! {
    // Only differences matter, so that any instant will do as the beginning.
    static NOW: Cell<Instant> = Cell::new(Instant::now());
}

/// Returns the virtual time of this thread.
pub(crate) fn now() -> Instant {
    NOW.get()
}

/// Lets time pass. Timers are looked at later.
pub(crate) fn pass(by: Duration) {
    NOW.set(now() + by);
}

/// The timers that are set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    timers: Vec<(u64, Instant, Waker)>,
    next: u64,
    /// Whether no timer fires: a fault that is planted.
    pub(crate) deaf: bool,
}

impl Timers {
    /// Returns the next moment at which a timer fires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.timers.iter().map(|(_, at, _)| *at).min().filter(|_| !self.deaf)
    }

    /// Lets time pass, and returns the tasks whose timers fire.
    #[must_use = "the tasks are to be woken"]
    pub(crate) fn advance(&mut self, by: Duration) -> Vec<Waker> {
        let now = now() + by;
        NOW.set(now);
        if self.deaf {
            return Vec::new();
        }
        let (late, timers) =
            std::mem::take(&mut self.timers).into_iter().partition(|(_, at, _)| *at <= now);
        self.timers = timers;
        let late: Vec<(u64, Instant, Waker)> = late;
        late.into_iter().map(|(.., waker)| waker).collect()
    }
}

/// The clock of a simulated connection.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    timers: Arc<Mutex<Timers>>,
    /// The timer of this clock, if it is set.
    set: Option<u64>,
}

impl VirtualClock {
    pub(crate) fn new(timers: Arc<Mutex<Timers>>) -> Self {
        Self { timers, set: None }
    }
}

impl Clock for VirtualClock {
    fn now() -> Instant {
        now()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        timers.timers.retain(|(number, ..)| Some(*number) != self.set);
        self.set = None;
        if at <= now() && !timers.deaf {
            return Poll::Ready(());
        }
        let number = timers.next;
        timers.next += 1;
        timers.timers.push((number, at, cx.waker().clone()));
        self.set = Some(number);
        Poll::Pending
    }
}
