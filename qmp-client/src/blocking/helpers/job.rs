//! Jobs.

use std::time::{Duration, Instant};

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
    pub fn run_job<R: Request>(
        &mut self,
        command: R,
        id: &str,
        within: Duration,
    ) -> Result<JobOutcome> {
        let begin = Instant::now();
        let mut watch = JobWatch::new(id);
        // An earlier job may have had the same id.
        self.forget_events(|event| watch.concerns(event));
        self.execute(command)?;
        loop {
            let left = within.saturating_sub(begin.elapsed());
            let step = match self.wait_for_some(|event| watch.step(event), left) {
                Ok(step) => Some(step?),
                // Among those that were dropped may have been one of this job's.
                Err(Error::Lagged(_)) => watch.look(&self.execute(QueryJobs::new())?),
                Err(error) if error.is_timeout() => return Err(JobWatch::too_late(within)),
                Err(error) => return Err(error),
            };
            match step {
                Some(JobStep::Complete) => {
                    self.execute(JobComplete::new(id))?;
                }
                // It may do that itself meanwhile.
                Some(JobStep::Finalize) => unless_refused(self.execute(JobFinalize::new(id)))?,
                Some(JobStep::Conclude | JobStep::Gone) => break,
                None => {}
            }
        }
        let (outcome, listed) = watch.outcome(self.execute(QueryJobs::new())?);
        if listed {
            // It may have dismissed itself meanwhile.
            unless_refused(self.execute(JobDismiss::new(id)))?;
        }
        Ok(outcome)
    }
}
