//! Waiting for a process without blocking whoever does.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use super::lock;

/// Who waits for a process, and how far that is.
#[derive(Debug, Default)]
pub(super) struct Watch {
    begun: bool,
    ended: bool,
    /// Whom to wake, each with its number.
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

    /// The process has ended: these are to be woken.
    pub(super) fn end(&mut self) -> Vec<Waker> {
        self.ended = true;
        std::mem::take(&mut self.waiting).into_iter().map(|(_, waker)| waker).collect()
    }

    fn register(&mut self, number: &mut Option<u64>, waker: &Waker) {
        let known = self.waiting.iter_mut().find(|(waiting, _)| Some(*waiting) == *number);
        if let Some((_, known)) = known {
            known.clone_from(waker);
            return;
        }
        self.waiting.push((self.next, waker.clone()));
        *number = Some(self.next);
        self.next += 1;
    }

    fn forget(&mut self, number: Option<u64>) -> Option<Waker> {
        let place = self.waiting.iter().position(|(waiting, _)| Some(*waiting) == number)?;
        Some(self.waiting.swap_remove(place).1)
    }
}

/// Ready when the process has ended.
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
        watch.register(&mut this.number, cx.waker());
        Poll::Pending
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let forgotten = lock(self.watch).forget(self.number);
        // It may be the last that holds a task, and drop it: not with the lock.
        drop(forgotten);
    }
}
