//! Waiting for a process without blocking the thread.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use super::sync::lock;

/// The tasks that wait for a process.
#[derive(Debug, Default)]
pub(super) struct Watch {
    begun: bool,
    ended: bool,
    /// The wakers, each with the number of its future.
    waiting: Vec<(u64, Waker)>,
    next: u64,
}

impl Watch {
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// Records that the process has ended, and returns the tasks to be woken.
    pub(super) fn end(&mut self) -> Vec<Waker> {
        self.ended = true;
        std::mem::take(&mut self.waiting).into_iter().map(|(_, waker)| waker).collect()
    }

    /// Stores a waker, and returns the one that it replaces.
    #[must_use = "the waker is dropped after the lock is released"]
    fn register(&mut self, number: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let known = self.waiting.iter_mut().find(|(waiting, _)| Some(*waiting) == *number);
        if let Some((_, known)) = known {
            let changed = !known.will_wake(waker);
            return changed.then(|| std::mem::replace(known, waker.clone()));
        }
        self.waiting.push((self.next, waker.clone()));
        *number = Some(self.next);
        self.next += 1;
        None
    }

    fn forget(&mut self, number: Option<u64>) -> Option<Waker> {
        let place = self.waiting.iter().position(|(waiting, _)| Some(*waiting) == number)?;
        Some(self.waiting.swap_remove(place).1)
    }
}

/// A future that is ready when the process has ended.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    watch: &'a Mutex<Watch>,
    number: Option<u64>,
}

impl<'a> Ended<'a> {
    pub(super) fn new(watch: &'a Mutex<Watch>) -> Self {
        Self { watch, number: None }
    }
}

impl Future for Ended<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut watch = lock(this.watch);
        if watch.ended {
            return Poll::Ready(());
        }
        let replaced = watch.register(&mut this.number, cx.waker());
        drop(watch);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let forgotten = lock(self.watch).forget(self.number);
        // A waker may own a task: it is dropped after the lock is released.
        drop(forgotten);
    }
}
