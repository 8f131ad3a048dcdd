//! Jobs.

use std::time::Duration;

use qmp_types::qmp::commands::{JobCancel, JobComplete, JobDismiss, JobFinalize, QueryJobs};

use super::super::{Client, Events};
use crate::error::{Error, Result};
use crate::machine::Deadline;
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
    /// [`watch_jobs`](Self::watch_jobs) waits for longer, [`cancel_job`](Self::cancel_job) ends
    /// it.
    ///
    /// # Cancel safety
    ///
    /// A job that was started goes on; nobody completes, finalizes or dismisses it then.
    pub async fn run_job<R: Request>(
        &self,
        command: R,
        id: &str,
        within: Duration,
    ) -> Result<JobOutcome> {
        let deadline = self.hold().deadline_after(within);
        let mut jobs = self.watch_jobs([id]);
        self.execute(command).await?;
        jobs.finish_before(deadline, within).await.map(the_one)
    }

    /// Watches jobs that are about to begin, such as those of one transaction, or have begun.
    /// Between that they are begun and that they are waited for, anything may be done, such as to
    /// thaw a guest: no event is missed.
    ///
    /// They should be given `auto-dismiss=false`: otherwise only block jobs tell why they failed.
    ///
    /// ```no_run
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// # let actions = Vec::new();
    /// use qmp_client::qmp::commands::Transaction;
    ///
    /// let mut jobs = vm.watch_jobs(["backup-disk0", "backup-disk1"]);
    /// vm.execute(Transaction::new(actions)).await?;
    /// for outcome in jobs.finish(PATIENCE).await? {
    ///     println!("{}: {:?}", outcome.id, outcome.error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_jobs(&self, ids: impl IntoIterator<Item = impl Into<String>>) -> Jobs {
        self.watch(JobWatch::new(ids))
    }

    fn watch(&self, watch: JobWatch) -> Jobs {
        let own = watch.clone();
        let events = self.events().matching(move |event| own.concerns(event));
        Jobs { client: self.clone(), watch, events }
    }

    /// Cancels a job, waits until it is concluded, and dismisses it. If it is over by then, that
    /// is as well; what became of it is said. A mirror that is ready is cancelled like any other:
    /// it is `block-job-cancel` that ends one with a whole copy which is not in use.
    ///
    /// # Errors
    /// There is no such job, or it is not concluded in time: then it may be later.
    ///
    /// # Cancel safety
    ///
    /// A job that was cancelled ends; nobody finalizes or dismisses it then.
    pub async fn cancel_job(&self, id: &str, within: Duration) -> Result<JobOutcome> {
        let deadline = self.hold().deadline_after(within);
        let mut jobs = self.watch(JobWatch::cancelled(id));
        if let Err(error) = self.execute(JobCancel::new(id)).await {
            let listed = self.execute(QueryJobs::new()).await?;
            if listed.iter().all(|job| job.id != id) {
                return Err(error);
            }
        }
        jobs.finish_before(deadline, within).await.map(the_one)
    }
}

/// Jobs that are watched, since [`Client::watch_jobs`] was called.
#[derive(Debug)]
#[must_use = "`finish` sees them through"]
pub struct Jobs {
    client: Client,
    watch: JobWatch,
    events: Events,
}

impl Jobs {
    /// Sees them through: each is completed when it is ready and finalized when it waits for that;
    /// when all are concluded, all are dismissed. What became of them is given in the order of
    /// their ids.
    ///
    /// # Errors
    /// They are not all concluded in time: then they go on, and none is dismissed, so that this can
    /// be called again.
    ///
    /// # Cancel safety
    ///
    /// The jobs go on; nobody completes, finalizes or dismisses them, until this is called again.
    pub async fn finish(&mut self, within: Duration) -> Result<Vec<JobOutcome>> {
        let deadline = self.client.hold().deadline_after(within);
        self.finish_before(deadline, within).await
    }

    async fn finish_before(
        &mut self,
        deadline: Option<Deadline>,
        within: Duration,
    ) -> Result<Vec<JobOutcome>> {
        let Self { client, watch, events } = self;
        // What they were before does not count, but how they ended does.
        while let Some(event) = events.next_within(Duration::ZERO).await {
            match event {
                Ok(event) => watch.hear(&event),
                Err(Error::Lagged(_)) => {}
                Err(error) if error.is_timeout() => break,
                Err(error) => return Err(error),
            }
        }
        let mut steps = watch.look(&client.execute(QueryJobs::new()).await?);
        loop {
            for step in steps {
                client.take(step).await?;
            }
            if watch.is_over() {
                break;
            }
            steps = match events.next_before(deadline).await {
                Some(Ok(event)) => watch.step(&event).transpose()?.flatten().into_iter().collect(),
                // Among those that were dropped may have been one of these jobs'.
                Some(Err(Error::Lagged(_))) => watch.look(&client.execute(QueryJobs::new()).await?),
                Some(Err(error)) if error.is_timeout() => return Err(JobWatch::too_late(within)),
                Some(Err(error)) => return Err(error),
                None => return Err(client.gone()),
            };
        }
        let (outcomes, listed) = watch.outcomes(client.execute(QueryJobs::new()).await?);
        for id in listed {
            // It may have dismissed itself meanwhile.
            unless_refused(client.execute(JobDismiss::new(id)).await)?;
        }
        Ok(outcomes)
    }
}

impl Client {
    async fn take(&self, step: JobStep) -> Result<()> {
        match step {
            JobStep::Complete(id) => match self.execute(JobComplete::new(&*id)).await {
                // It may have failed in this moment: then that is what became of it.
                Err(error) if error.server().is_some() => {
                    let jobs = self.execute(QueryJobs::new()).await?;
                    if is_ready(&jobs, &id) { Err(error) } else { Ok(()) }
                }
                completed => completed.map(|_| ()),
            },
            // It may do that itself meanwhile, or with another one.
            JobStep::Finalize(id) => unless_refused(self.execute(JobFinalize::new(id)).await),
        }
    }
}

fn the_one(outcomes: Vec<JobOutcome>) -> JobOutcome {
    outcomes.into_iter().next().unwrap_or_default()
}
