//! Jobs.

use std::time::{Duration, Instant};

use qmp_types::qmp::commands::{JobComplete, JobDismiss, JobFinalize, QueryJobs};

use super::super::Client;
use crate::error::{Result, Timeout, WaitedFor};
use crate::request::Request;
use crate::workflow::{JobOutcome, JobStep, JobWatch};

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
            let step = self.wait_for_some(|event| watch.step(event), left);
            match step {
                Ok(step) => match step? {
                    JobStep::Complete => {
                        self.execute(JobComplete::new(id))?;
                    }
                    // It may do that itself meanwhile.
                    JobStep::Finalize => match self.execute(JobFinalize::new(id)) {
                        Err(error) if error.server().is_none() => return Err(error),
                        _ => {}
                    },
                    JobStep::Conclude | JobStep::Gone => break,
                },
                Err(error) if error.is_timeout() => {
                    let waited_for = WaitedFor::Event(Some("JOB_STATUS_CHANGE"));
                    return Err(Timeout::new(waited_for, within).into());
                }
                Err(error) => return Err(error),
            }
        }
        let jobs = self.execute(QueryJobs::new())?;
        let (outcome, listed) = watch.outcome(jobs);
        if listed {
            match self.execute(JobDismiss::new(id)) {
                // It has dismissed itself meanwhile.
                Err(error) if error.server().is_none() => return Err(error),
                _ => {}
            }
        }
        Ok(outcome)
    }
}
