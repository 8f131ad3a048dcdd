//! Jobs.

use std::time::Duration;

use qmp_types::qmp::commands::{JobComplete, JobDismiss, JobFinalize, QueryJobs};

use super::super::Client;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::workflow::{JobOutcome, JobStep, JobWatch, unless_refused};

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
        let mut watch = JobWatch::new(id);
        let deadline = self.hold().deadline_after(within);
        let own = watch.clone();
        let mut events = self.events().matching(move |event| own.concerns(event));
        self.execute(command).await?;
        loop {
            let step = match events.next_before(deadline).await {
                Some(Ok(event)) => watch.step(&event).transpose()?,
                Some(Err(Error::Lagged(_))) => watch.look(&self.execute(QueryJobs::new()).await?),
                Some(Err(error)) if error.is_timeout() => return Err(JobWatch::too_late(within)),
                Some(Err(error)) => return Err(error),
                None => return Err(self.gone()),
            };
            match step {
                Some(JobStep::Complete) => {
                    self.execute(JobComplete::new(id)).await?;
                }
                // It may do that itself meanwhile.
                Some(JobStep::Finalize) => {
                    unless_refused(self.execute(JobFinalize::new(id)).await)?;
                }
                Some(JobStep::Conclude | JobStep::Gone) => break,
                None => {}
            }
        }
        let (outcome, listed) = watch.outcome(self.execute(QueryJobs::new()).await?);
        if listed {
            // It may have dismissed itself meanwhile.
            unless_refused(self.execute(JobDismiss::new(id)).await)?;
        }
        Ok(outcome)
    }
}
