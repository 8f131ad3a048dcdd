//! Tasks that wait for a change of the state, each until a deadline.

use std::task::{Context, Waker};
use std::time::Instant;

/// The tasks that wait for a change of the state, and the keeper, which has the timer.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiters: Vec<Waiter>,
    next: u64,
    keeper: Option<Waker>,
    /// When the keeper looks at the deadlines next, without being woken.
    armed: Option<Instant>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    deadline: Option<Instant>,
    waker: Waker,
}

impl Waiters {
    /// Registers a task under its number, or under a new one. Returns the keeper if it has to be
    /// woken, and the waker that was replaced, to be dropped after the lock is released.
    pub(super) fn register(
        &mut self,
        number: &mut Option<u64>,
        deadline: Option<Instant>,
        cx: &Context<'_>,
    ) -> (Option<Waker>, Option<Waker>) {
        let waker = cx.waker().clone();
        let known = self.waiters.iter_mut().find(|waiter| Some(waiter.number) == *number);
        let replaced = match known {
            Some(known) => Some(std::mem::replace(&mut known.waker, waker)),
            None => {
                self.waiters.push(Waiter { number: self.next, deadline, waker });
                *number = Some(self.next);
                self.next += 1;
                None
            }
        };
        let sooner = deadline.is_some_and(|at| self.armed.is_none_or(|armed| at < armed));
        (if sooner { self.keeper.take() } else { None }, replaced)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Waker> {
        let index = self.waiters.iter().position(|waiter| waiter.number == number)?;
        let waker = self.waiters.swap_remove(index).waker;
        if self.waiters.is_empty() {
            self.waiters = Vec::new();
        }
        Some(waker)
    }

    /// Registers the keeper until the next deadline, and returns that and the waker that was
    /// replaced.
    pub(super) fn arm(&mut self, cx: &Context<'_>) -> (Option<Instant>, Option<Waker>) {
        self.armed = self.waiters.iter().filter_map(|waiter| waiter.deadline).min();
        (self.armed, self.keeper.replace(cx.waker().clone()))
    }

    /// Takes the tasks whose deadline is at or before `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Waker> {
        let is_late = |waiter: &Waiter| waiter.deadline.is_some_and(|at| at <= now);
        let (late, waiters): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiters).into_iter().partition(is_late);
        self.waiters = waiters;
        late.into_iter().map(|waiter| waiter.waker).collect()
    }

    /// Takes all tasks: the state has changed.
    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(std::mem::take(&mut self.waiters).into_iter().map(|waiter| waiter.waker));
        woken.extend(self.keeper.take());
    }
}
