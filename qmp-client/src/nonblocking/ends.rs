//! Tasks that wait for the end of a connection, each until a deadline.

use std::task::{Context, Waker};
use std::time::Instant;

use qmp_protocol::sooner;

/// All such tasks of a connection.
#[derive(Debug, Default)]
pub(super) struct EndWaiters {
    waiters: Vec<EndWaiter>,
    next: u64,
}

#[derive(Debug)]
struct EndWaiter {
    number: u64,
    deadline: Option<Instant>,
    waker: Waker,
}

impl EndWaiters {
    /// Registers a task under its number, or under a new one, and returns the waker that it
    /// replaces.
    #[must_use = "the waker is dropped after the lock is released"]
    #[inline]
    pub(super) fn register(
        &mut self,
        number: &mut Option<u64>,
        deadline: Option<Instant>,
        cx: &Context<'_>,
    ) -> Option<Waker> {
        let waker = cx.waker().clone();
        let known = self.waiters.iter_mut().find(|waiter| Some(waiter.number) == *number);
        if let Some(known) = known {
            known.deadline = deadline;
            return Some(std::mem::replace(&mut known.waker, waker));
        }
        self.waiters.push(EndWaiter { number: self.next, deadline, waker });
        *number = Some(self.next);
        self.next += 1;
        None
    }

    #[must_use = "the waker is dropped after the lock is released"]
    #[inline]
    pub(super) fn remove(&mut self, number: u64) -> Option<Waker> {
        let index = self.waiters.iter().position(|waiter| waiter.number == number)?;
        Some(self.waiters.swap_remove(index).waker)
    }

    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        let mut earliest = None;
        for waiter in &self.waiters {
            earliest = sooner(earliest, waiter.deadline);
        }
        earliest
    }

    /// Wakes the tasks whose deadline is at or before `now`.
    #[inline]
    pub(super) fn expire(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.deadline.is_some_and(|at| at <= now) {
                woken.push(waiter.waker);
            } else {
                self.waiters.push(waiter);
            }
        }
    }

    /// Wakes all tasks: the connection has ended.
    #[inline]
    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        for waiter in std::mem::take(&mut self.waiters) {
            woken.push(waiter.waker);
        }
    }
}
