//! Commands that wait for others.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sync::lock;

/// A command that is executed by the next thread that is free.
pub(super) struct Job {
    pub(super) execute: Box<dyn FnOnce() + Send>,
    /// Whether the job has the [lane](Lane) for itself.
    pub(super) is_in_lane: bool,
}

/// A queue for commands that borrow the machine, which are executed one at a time. On several threads,
/// they would only wait for each other.
#[derive(Default)]
pub(super) struct Lane {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    is_occupied: bool,
}

impl Lane {
    /// Occupies the lane. If it is occupied already, queues a job instead, and returns false.
    pub(super) fn enter(&self, job: impl FnOnce() -> Job) -> bool {
        let mut state = lock(&self.state);
        if state.is_occupied {
            state.waiting.push_back(job());
            return false;
        }
        state.is_occupied = true;
        true
    }

    /// Leaves the lane to the next job, if there is one, which the caller has to have executed.
    #[must_use]
    pub(super) fn leave(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        let next = state.waiting.pop_front();
        state.is_occupied = next.is_some();
        next
    }
}

/// Jobs that no thread executes yet.
#[derive(Default)]
pub(super) struct Backlog {
    jobs: Mutex<VecDeque<Job>>,
    count: AtomicUsize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(super) fn push(&self, job: Job) {
        let mut jobs = lock(&self.jobs);
        jobs.push_back(job);
        self.count.store(jobs.len(), Ordering::Release);
    }

    pub(super) fn pop(&self) -> Option<Job> {
        if self.is_empty() {
            return None;
        }
        let mut jobs = lock(&self.jobs);
        let job = jobs.pop_front();
        self.count.store(jobs.len(), Ordering::Release);
        job
    }
}
