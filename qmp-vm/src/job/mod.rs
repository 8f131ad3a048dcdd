//! Jobs.

mod outcome;
mod watch;

use std::time::Duration;

use qmp_client::{Error, Request, Result};
use qmp_types::qmp::commands::{
    JobCancel, JobComplete, JobDismiss, JobFinalize, QueryBlockJobs, QueryJobs,
};

use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::session::Events;

use watch::{JobStep, JobWatch, is_ready};

pub use outcome::{JobError, JobOutcome};

/// The time that the first look at jobs may take if the deadline is zero, so that `finish` tells how
/// they stand.
const LOOK: Duration = Duration::from_secs(1);

/// Jobs that are watched since [`watch_jobs`](crate::Workflows::watch_jobs) was called.
#[derive(Debug)]
#[must_use = "`finish` waits for the jobs"]
pub struct Jobs<M: Monitor> {
    vm: M,
    watch: JobWatch,
    events: M::Events,
}

impl<M: Monitor> Jobs<M> {
    pub(crate) fn new(vm: &M, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::watching(vm, JobWatch::new(ids))
    }

    fn watching(vm: &M, watch: JobWatch) -> Self {
        let concerned = watch.clone();
        let events = vm.subscribe(move |event| concerned.concerns(event));
        Self { vm: vm.clone(), watch, events }
    }

    /// Waits until all jobs are concluded, and dismisses them. Until then, a job is completed when
    /// it is ready, and finalized when it is pending. The outcomes are in the order of the ids.
    ///
    /// If an I/O error pauses a job (its `on-error` is `stop`, or `enospc` and the disk is full),
    /// this returns at once, and dismisses none. The outcomes of the jobs that have not concluded say
    /// so; after `job-resume`, this method waits for them.
    ///
    /// The deadline covers everything; a tenth of it, at most a second, is kept for reading the
    /// outcomes and dismissing the jobs. With a deadline of zero, this looks once, which takes at most
    /// a second.
    ///
    /// # Errors
    /// The jobs are not all concluded in time; the error names their states. They go on, none is
    /// dismissed, and this method can be called again.
    ///
    /// # Cancel safety
    /// If the future is dropped, the jobs go on, and are not completed, finalized or dismissed until
    /// this method is called again.
    pub fn finish(&mut self, within: Duration) -> M::Outcome<'_, Result<Vec<JobOutcome>>> {
        M::run(async move {
            let mut limit = self.limit(within);
            self.finish_before(&mut limit).await
        })
    }

    fn limit(&self, within: Duration) -> Limit {
        Limit::new(&self.vm, within, self.watch.to_conclude()).with_reserve()
    }

    async fn finish_before(&mut self, limit: &mut Limit) -> Result<Vec<JobOutcome>> {
        let Self { vm, watch, events } = self;
        // The states before now do not count, but the ends that were reported do.
        hear_all::<M>(watch, events).await?;
        let first = limit.or_if_zero(vm, LOOK);
        let mut steps = watch.look(&first.execute(vm, QueryJobs::new()).await?);
        if watch.has_paused() {
            watch.look_at_paused(&first.execute(vm, QueryBlockJobs::new()).await?);
        }
        loop {
            limit.describe(watch.to_conclude());
            for step in steps {
                take(vm, limit, &step).await?;
                if let JobStep::Complete(id) = step {
                    watch.completes(&id);
                }
            }
            if watch.is_over() {
                break;
            }
            if watch.is_stopped() {
                let last = limit.to_the_end().or_if_zero(vm, LOOK);
                return Ok(watch.outcomes(&last.execute(vm, QueryJobs::new()).await?).0);
            }
            steps = match events.next_within(limit.left(vm)).await {
                Some(Ok(event)) => watch.step(&event)?.into_iter().collect(),
                Some(Err(error)) if error.is_timeout() => return Err(limit.passed().into()),
                // One of the events that were dropped may have been about these jobs. After the
                // end of the connection, the look says why it ended.
                Some(Err(Error::Lagged(_))) | None => {
                    let steps = watch.look(&limit.execute(vm, QueryJobs::new()).await?);
                    if watch.has_paused() {
                        watch.look_at_paused(&limit.execute(vm, QueryBlockJobs::new()).await?);
                    }
                    steps
                }
                Some(Err(error)) => return Err(error),
            };
        }
        // Only these replies tell how the jobs ended; those that are not listed have reported it by now.
        // An error is of no use to the caller, who can learn the outcomes all the same.
        let last = limit.to_the_end().or_if_zero(vm, LOOK);
        let listed = last.execute(vm, QueryJobs::new()).await?;
        let _ = hear_all::<M>(watch, events).await;
        let (outcomes, listed) = watch.outcomes(&listed);
        for id in listed {
            // The job may have dismissed itself meanwhile.
            unless_refused(last.execute(vm, JobDismiss::new(id)).await)?;
        }
        Ok(outcomes)
    }
}

/// Remembers the ends of jobs that have been reported.
///
/// # Errors
/// The connection has ended.
async fn hear_all<M: Monitor>(watch: &mut JobWatch, events: &mut M::Events) -> Result<()> {
    while let Some(event) = events.next_within(Duration::ZERO).await {
        match event {
            Ok(event) => watch.hear(&event),
            Err(Error::Lagged(_)) => {}
            Err(error) if error.is_timeout() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) async fn run_job<M: Monitor>(
    vm: &M,
    command: impl Request<Return: Send> + Send,
    id: &str,
    within: Duration,
) -> Result<JobOutcome> {
    let mut jobs = Jobs::new(vm, [id]);
    let mut limit = jobs.limit(within);
    limit.execute(vm, command).await?;
    jobs.finish_before(&mut limit).await.map(the_one)
}

pub(crate) async fn cancel_job<M: Monitor>(
    vm: &M,
    id: &str,
    within: Duration,
) -> Result<JobOutcome> {
    let mut jobs = Jobs::watching(vm, JobWatch::cancelled(id));
    let mut limit = jobs.limit(within);
    if let Err(error) = limit.execute(vm, JobCancel::new(id)).await {
        let listed = limit.execute(vm, QueryJobs::new()).await?;
        if listed.iter().all(|job| job.id != id) {
            return Err(error);
        }
    }
    jobs.finish_before(&mut limit).await.map(the_one)
}

async fn take<M: Monitor>(vm: &M, limit: &Limit, step: &JobStep) -> Result<()> {
    match step {
        JobStep::Complete(id) => match limit.execute(vm, JobComplete::new(&**id)).await {
            // The job may have failed just now: then that is its outcome.
            Err(error) if error.server().is_some() => {
                let jobs = limit.execute(vm, QueryJobs::new()).await?;
                if is_ready(&jobs, id) { Err(error) } else { Ok(()) }
            }
            completed => completed.map(|_| ()),
        },
        // The job may do that itself meanwhile, or with another one.
        JobStep::Finalize(id) => unless_refused(limit.execute(vm, JobFinalize::new(&**id)).await),
    }
}

/// Accepts that the server refuses a command that is not needed any more.
fn unless_refused<T>(result: Result<T>) -> Result<()> {
    match result {
        Err(error) if error.server().is_none() => Err(error),
        _ => Ok(()),
    }
}

fn the_one(outcomes: Vec<JobOutcome>) -> JobOutcome {
    outcomes.into_iter().next().unwrap_or_default()
}
