//! Jobs.

use std::time::{Duration, Instant};

use qmp_types::qmp::commands::{JobCancel, JobComplete, JobDismiss, JobFinalize, QueryJobs};

use super::super::Client;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::workflow::{JobOutcome, JobStep, JobWatch, is_ready, unless_refused};

impl Client {
    /// Starts a job and sees it through: it is completed when it is ready (as a mirror is, when
    /// both sides are the same), finalized when it waits for that, and dismissed when it is
    /// concluded.
    ///
    /// The command gives the job this id, and sets `auto-dismiss` to false where it has that:
    /// otherwise only block jobs tell why they failed.
    ///
    /// # Errors
    /// QEMU refuses, or the job is not concluded in time: then it goes on.
    /// [`finish_jobs`](Self::finish_jobs) waits for longer, [`cancel_job`](Self::cancel_job) ends
    /// it.
    pub fn run_job<R: Request>(
        &mut self,
        command: R,
        id: &str,
        within: Duration,
    ) -> Result<JobOutcome> {
        let begin = Instant::now();
        let watch = JobWatch::new([id]);
        // An earlier job may have had the same id.
        self.forget_events(|event| watch.concerns(event));
        self.execute(command)?;
        self.finish(watch, begin, within).map(the_one)
    }

    /// Sees jobs through that have begun, such as those of one transaction: each is completed when
    /// it is ready and finalized when it waits for that; when all are concluded, all are dismissed.
    /// What became of them is given in the order of their ids here.
    ///
    /// Anything may be done after they have begun and before this, such as to thaw a guest: it is
    /// asked how they stand, and no event is missed. They should have been given
    /// `auto-dismiss=false`: otherwise only block jobs tell why they failed. Events about them that
    /// are in the queue are taken out of it.
    ///
    /// ```no_run
    /// # fn example(mut vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// # let actions = Vec::new();
    /// use qmp_client::qmp::commands::Transaction;
    ///
    /// vm.execute(Transaction::new(actions))?;
    /// for outcome in vm.finish_jobs(&["backup-disk0", "backup-disk1"], PATIENCE)? {
    ///     println!("{}: {:?}", outcome.id, outcome.error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// They are not all concluded in time: then they go on, and none is dismissed, so that this can
    /// be called again.
    pub fn finish_jobs(
        &mut self,
        ids: &[impl AsRef<str>],
        within: Duration,
    ) -> Result<Vec<JobOutcome>> {
        let begin = Instant::now();
        self.finish(JobWatch::new(ids.iter().map(AsRef::as_ref)), begin, within)
    }

    /// Cancels a job, waits until it is concluded, and dismisses it. If it is over by then, that
    /// is as well; what became of it is said. A mirror that is ready is cancelled like any other:
    /// it is `block-job-cancel` that ends one with a whole copy which is not in use.
    ///
    /// # Errors
    /// There is no such job, or it is not concluded in time: then it may be later.
    pub fn cancel_job(&mut self, id: &str, within: Duration) -> Result<JobOutcome> {
        let begin = Instant::now();
        if let Err(error) = self.execute(JobCancel::new(id)) {
            let jobs = self.execute(QueryJobs::new())?;
            if jobs.iter().all(|job| job.id != id) {
                return Err(error);
            }
        }
        self.finish(JobWatch::cancelled(id), begin, within).map(the_one)
    }

    fn finish(
        &mut self,
        mut watch: JobWatch,
        begin: Instant,
        within: Duration,
    ) -> Result<Vec<JobOutcome>> {
        // What they were before does not count, but how they ended does.
        let mut heard = watch.clone();
        self.forget_events(|event| {
            heard.hear(event);
            watch.concerns(event)
        });
        watch = heard;
        let mut steps = watch.look(&self.execute(QueryJobs::new())?);
        loop {
            for step in steps {
                self.take(step)?;
            }
            if watch.is_over() {
                break;
            }
            let left = within.saturating_sub(begin.elapsed());
            steps = match self.wait_for_some(|event| watch.step(event), left) {
                Ok(step) => step?.into_iter().collect(),
                // Among those that were dropped may have been one of these jobs'.
                Err(Error::Lagged(_)) => watch.look(&self.execute(QueryJobs::new())?),
                Err(error) if error.is_timeout() => return Err(JobWatch::too_late(within)),
                Err(error) => return Err(error),
            };
        }
        let (outcomes, listed) = watch.outcomes(self.execute(QueryJobs::new())?);
        for id in listed {
            // It may have dismissed itself meanwhile.
            unless_refused(self.execute(JobDismiss::new(id)))?;
        }
        Ok(outcomes)
    }

    fn take(&mut self, step: JobStep) -> Result<()> {
        match step {
            JobStep::Complete(id) => match self.execute(JobComplete::new(&*id)) {
                // It may have failed in this moment: then that is what became of it.
                Err(error) if error.server().is_some() => {
                    let jobs = self.execute(QueryJobs::new())?;
                    if is_ready(&jobs, &id) { Err(error) } else { Ok(()) }
                }
                completed => completed.map(|_| ()),
            },
            // It may do that itself meanwhile, or with another one.
            JobStep::Finalize(id) => unless_refused(self.execute(JobFinalize::new(id))),
        }
    }
}

fn the_one(outcomes: Vec<JobOutcome>) -> JobOutcome {
    outcomes.into_iter().next().unwrap_or_default()
}
