//! The state that the handles of a mirror share with its keeper.
//!
//! The hook that hears events runs while the client holds its lock, and takes this one. So nothing
//! here uses a client, not even to drop it, while this lock is held.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qmp_client::Closed;

use super::model::{Model, Outcome, Step, Target};
use super::part::{Part, Parts};
use super::policy::Policy;
use super::view::{Stamp, View};

/// The state of a mirror.
pub(super) struct Shared<M> {
    state: Mutex<State<M>>,
    /// Signaled whenever waiters have to look again.
    progress: Condvar,
}

/// The number of a task that waits for something to change.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct WaiterId(u64);

struct State<M> {
    model: Model,
    view: Arc<View>,
    /// The client whose connection is followed.
    vm: Option<M>,
    /// The end of the last connection.
    lost: Option<Closed>,
    end: Ended,
    /// Whether the keeper has to look again.
    is_nudged: bool,
    keeper: Option<Waker>,
    waiters: Vec<(WaiterId, Waker)>,
    next_waiter: WaiterId,
    /// The earliest deadline of a waiter during an outage.
    deadline: Option<Instant>,
}

/// The end of a mirror.
#[derive(Clone, Debug)]
enum Ended {
    Not,
    /// The last handle was dropped.
    Unwanted,
    /// Nothing keeps it any more.
    Unkept(Option<Closed>),
}

impl<M> fmt::Debug for Shared<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<M> Shared<M> {
    pub(super) fn new(policy: Policy, vm: Option<M>) -> Self {
        let state = State {
            model: Model::new(policy),
            view: Arc::new(View::empty()),
            vm,
            lost: None,
            end: Ended::Not,
            is_nudged: false,
            keeper: None,
            waiters: Vec::new(),
            next_waiter: WaiterId::default(),
            deadline: None,
        };
        Self { state: Mutex::new(state), progress: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the waiters, after the lock is released.
    fn wake(&self, mut state: MutexGuard<'_, State<M>>) {
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        self.progress.notify_all();
        waiters.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Makes the keeper look again.
    fn nudge(&self, mut state: MutexGuard<'_, State<M>>) {
        state.is_nudged = true;
        let keeper = state.keeper.take();
        drop(state);
        keeper.into_iter().for_each(Waker::wake);
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.lock().view)
    }

    pub(super) fn target(&self) -> Target {
        self.lock().model.target()
    }

    pub(super) fn stale(&self) -> Parts {
        self.lock().model.stale()
    }

    pub(super) fn connect(&self, vm: M) {
        let mut state = self.lock();
        state.model.connect();
        let earlier = state.vm.replace(vm);
        self.wake(state);
        drop(earlier);
    }

    /// Forgets the machine: the next connection is to another one.
    pub(super) fn forget(&self) {
        self.lock().model.forget();
    }

    pub(super) fn disconnect(&self) {
        let mut state = self.lock();
        state.model.disconnect();
        let vm = state.vm.take();
        state.publish();
        self.wake(state);
        drop(vm);
    }

    /// Hears an event, and returns whether the keeper has to be woken.
    pub(super) fn hear(&self, event: &str) -> bool {
        self.lock().model.hear(event)
    }

    /// Takes note that parts may have changed.
    pub(super) fn mark(&self, parts: Parts) {
        if parts.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.model.mark(parts);
        self.nudge(state);
    }

    /// Marks all parts, and asks also for those that failed, at once.
    pub(super) fn refresh(&self) {
        let mut state = self.lock();
        state.model.mark(Parts::ALL);
        state.model.hurry();
        self.nudge(state);
    }

    /// Returns what the keeper has to do; `None` if no handle is left.
    pub(super) fn next(&self, now: Instant) -> Option<Step> {
        let mut state = self.lock();
        state.is_nudged = false;
        match state.end {
            Ended::Unwanted => None,
            _ => Some(state.model.next(now)),
        }
    }

    pub(super) fn answer(&self, part: Part, stamp: Stamp, outcome: Outcome, now: Instant) {
        self.lock().model.answer(part, stamp, outcome, now);
    }

    /// Ends a round of queries. Those that were not answered are not waited for any more.
    pub(super) fn finish_round(&self, unanswered: Parts) {
        let mut state = self.lock();
        state.model.abandon(unanswered);
        state.publish();
        self.wake(state);
    }

    /// Ends the mirror because no handle is left.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.end = Ended::Unwanted;
        self.nudge(state);
    }

    /// Ends the mirror because nothing keeps it any more.
    pub(super) fn end(&self, closed: Option<Closed>) {
        let mut state = self.lock();
        if let Ended::Not = state.end {
            state.end = Ended::Unkept(closed);
        }
        let vm = state.vm.take();
        self.wake(state);
        drop(vm);
    }

    /// Takes note of why a connection has ended.
    pub(super) fn lose(&self, closed: &Closed) {
        self.lock().lost = Some(closed.clone());
    }

    /// Returns why the last connection has ended.
    pub(super) fn lost(&self) -> Option<Closed> {
        self.lock().lost.clone()
    }

    /// Returns whether nothing keeps the mirror any more, and why.
    pub(super) fn ended(&self) -> Option<Option<Closed>> {
        match &self.lock().end {
            Ended::Not => None,
            Ended::Unwanted => Some(None),
            Ended::Unkept(closed) => Some(closed.clone()),
        }
    }

    /// Waits, as the keeper, until it has to look again, or no handle is left.
    pub(super) fn poll_nudged(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_nudged || matches!(state.end, Ended::Unwanted) {
            return Poll::Ready(());
        }
        let earlier = state.keeper.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// Waits, as the keeper, until no handle is left.
    pub(super) fn poll_abandoned(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if let Ended::Unwanted = state.end {
            return Poll::Ready(());
        }
        let earlier = state.keeper.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// Registers the deadline of a waiter during an outage: a connection's timer would tell.
    pub(super) fn wake_at(&self, deadline: Option<Instant>) {
        let mut state = self.lock();
        let earliest = state.deadline.into_iter().chain(deadline).min();
        if earliest != state.deadline {
            state.deadline = earliest;
            self.nudge(state);
        }
    }

    /// Wakes the waiters whose deadlines have passed, and returns the next deadline.
    pub(super) fn tick(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        state.is_nudged = false;
        let deadline = state.deadline;
        if deadline.is_some_and(|at| at <= now) {
            state.deadline = None;
            self.wake(state);
            return None;
        }
        deadline
    }

    /// Looks, and registers the task under its number, or under a new one, for the next time something
    /// changes.
    pub(super) fn poll_look<T>(
        &self,
        cx: &Context<'_>,
        waiter: &mut Option<WaiterId>,
        look: impl FnOnce(&Arc<View>) -> Option<T>,
    ) -> Poll<T> {
        let waker = cx.waker().clone();
        let (view, _replaced) = {
            let mut state = self.lock();
            let replaced = state.register(waiter, waker);
            (Arc::clone(&state.view), replaced)
        };
        // The caller's code runs without the lock. The waker is registered already.
        look(&view).map_or(Poll::Pending, Poll::Ready)
    }

    /// Forgets a task that does not wait any more.
    pub(super) fn forget_waiter(&self, waiter: WaiterId) {
        let mut state = self.lock();
        let index = state.waiters.iter().position(|(id, _)| *id == waiter);
        let removed = index.map(|index| state.waiters.swap_remove(index));
        drop(state);
        drop(removed);
    }

    /// Blocks the thread until something changes after this number of looks.
    pub(super) fn wait_for_progress(&self, since: &Arc<View>, within: Duration) {
        let state = self.lock();
        let unchanged = |state: &mut State<M>| {
            Arc::ptr_eq(&state.view, since) && matches!(state.end, Ended::Not)
        };
        drop(self.progress.wait_timeout_while(state, within, unchanged));
    }
}

impl<M: Clone> Shared<M> {
    /// Returns the client whose connection is followed.
    pub(super) fn vm(&self) -> Option<M> {
        self.lock().vm.clone()
    }
}

impl<M> State<M> {
    /// Registers a task, and returns the waker that it replaces.
    fn register(&mut self, waiter: &mut Option<WaiterId>, waker: Waker) -> Option<Waker> {
        if let Some((_, known)) = self.waiters.iter_mut().find(|(id, _)| Some(*id) == *waiter) {
            return Some(std::mem::replace(known, waker));
        }
        let id = self.next_waiter;
        self.next_waiter = WaiterId(id.0 + 1);
        self.waiters.push((id, waker));
        *waiter = Some(id);
        None
    }

    fn publish(&mut self) {
        if let Some(view) = self.model.publish(&self.view) {
            self.view = Arc::new(view);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keeper looks at the deadlines of waiters after it has looked for handles. It missed that the
    /// last one was dropped in between, and followed an outage that never ended.
    #[test]
    fn a_keeper_that_looked_elsewhere_sees_that_no_handle_is_left() {
        let shared = Shared::<()>::new(Policy::new(), None);
        assert!(shared.ended().is_none());
        shared.abandon();
        assert_eq!(shared.tick(Instant::now()), None);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(shared.poll_nudged(&cx), Poll::Ready(()));
    }
}
