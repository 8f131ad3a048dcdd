//! Threads that execute commands, as many as there is work for.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::sync::lock;

/// The maximum number of threads. Handlers that do not borrow the machine return at once, so that few
/// threads suffice.
const MAX_THREADS: usize = 16;

/// The time after which a thread without work ends.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// The stack size in bytes. Decoding nested arguments takes about a megabyte in a build without
/// optimization.
const STACK_SIZE: usize = 2 << 20;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A pool of threads, and a lane for jobs that are executed one after the other.
#[derive(Default)]
pub(crate) struct Workers {
    pool: Mutex<Pool>,
    has_jobs: Condvar,
    lane: Mutex<Lane>,
}

#[derive(Default)]
struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// Jobs that are executed one after the other, by whichever thread is free. They would only wait for
/// each other on several.
#[derive(Default)]
struct Lane {
    jobs: VecDeque<Job>,
    is_running: bool,
}

impl Workers {
    /// Executes a job independently of others.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let mut pool = lock(&self.pool);
        pool.jobs.push_back(job);
        if pool.idle >= pool.jobs.len() || pool.threads >= MAX_THREADS {
            drop(pool);
            return self.has_jobs.notify_one();
        }
        pool.threads += 1;
        drop(pool);
        let workers = Arc::clone(self);
        let thread = thread::Builder::new().name("qmp-command".to_owned()).stack_size(STACK_SIZE);
        if thread.spawn(move || workers.work()).is_err() {
            let mut pool = lock(&self.pool);
            pool.threads -= 1;
            // Without any other thread, this one has to do it.
            if pool.threads == 0 {
                let job = pool.jobs.pop_front();
                drop(pool);
                job.into_iter().for_each(|job| job());
            }
        }
    }

    /// Executes a job after all earlier ones of the lane.
    pub(crate) fn submit_in_order(self: &Arc<Self>, job: Job) {
        let mut lane = lock(&self.lane);
        lane.jobs.push_back(job);
        if std::mem::replace(&mut lane.is_running, true) {
            return;
        }
        drop(lane);
        let workers = Arc::clone(self);
        self.submit(Box::new(move || workers.drain_lane()));
    }

    fn drain_lane(&self) {
        loop {
            let mut lane = lock(&self.lane);
            let Some(job) = lane.jobs.pop_front() else {
                lane.is_running = false;
                return;
            };
            drop(lane);
            job();
        }
    }

    fn work(&self) {
        let mut pool = lock(&self.pool);
        loop {
            if let Some(job) = pool.jobs.pop_front() {
                drop(pool);
                job();
                pool = lock(&self.pool);
                continue;
            }
            pool.idle += 1;
            let waited = self.has_jobs.wait_timeout(pool, IDLE_TIME);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            pool = guard;
            pool.idle -= 1;
            if timeout.timed_out() && pool.jobs.is_empty() {
                pool.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_slow_job_delays_only_those_of_its_lane() {
        let workers = Arc::new(Workers::default());
        let (release, released) = mpsc::channel::<()>();
        let (done, results) = mpsc::channel();
        let report = |text: &'static str| {
            let done = done.clone();
            move || done.send(text).unwrap_or_default()
        };
        let slow = report("slow");
        workers.submit_in_order(Box::new(move || {
            let _ = released.recv_timeout(Duration::from_secs(10));
            slow();
        }));
        workers.submit_in_order(Box::new(report("next in the lane")));
        workers.submit(Box::new(report("independent")));
        let next = || results.recv_timeout(Duration::from_secs(10)).ok();
        assert_eq!(next(), Some("independent"));
        drop(release);
        assert_eq!((next(), next()), (Some("slow"), Some("next in the lane")));
    }
}
