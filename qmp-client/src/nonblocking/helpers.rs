//! Workflows of several commands and events.

use std::time::Duration;

use qmp_types::qmp::commands::{
    DeviceDel, HumanMonitorCommand, JobComplete, JobDismiss, JobFinalize, QueryJobs, QueryQmpSchema,
};

use super::Client;
use crate::capabilities::Capabilities;
use crate::error::{Error, Result, Timeout, WaitedFor};
use crate::request::Request;
use crate::workflow::{JobOutcome, JobStep, JobWatch, Unplugged, unplugged};

impl Client {
    /// What this QEMU can do. The reply is large: ask once.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub async fn capabilities(&self) -> Result<Capabilities> {
        self.execute(QueryQmpSchema::new()).await.map(Capabilities::new)
    }

    /// Executes a command of the monitor for people, and gives what it prints. There, an error is
    /// a text like any other.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub async fn human_monitor(&self, command: &str) -> Result<String> {
        self.execute(HumanMonitorCommand::new(command)).await
    }

    /// Unplugs a device, by id or QOM path, and waits until it is gone or the guest has refused.
    /// Events from before this are not taken for its own, nor are those of other devices.
    ///
    /// # Errors
    /// QEMU refuses, or the guest does not react in time: it may still give the device up later.
    pub async fn unplug(&self, device: &str, within: Duration) -> Result<Unplugged> {
        let call = self.execute(DeviceDel::new(device)).within(within);
        let (_, outcome) = call.until_some(|event| unplugged(event, device)).await?;
        outcome
    }

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
    /// A job that was started goes on.
    pub async fn run_job<R: Request>(
        &self,
        command: R,
        id: &str,
        within: Duration,
    ) -> Result<JobOutcome> {
        let mut watch = JobWatch::new(id);
        let deadline = self.hold().deadline_after(within);
        let mut events = self.events();
        self.execute(command).await?;
        loop {
            let event = match events.next_before(deadline).await {
                Some(Err(error)) if error.is_timeout() => {
                    let waited_for = WaitedFor::Event(Some("JOB_STATUS_CHANGE"));
                    return Err(Timeout::new(waited_for, within).into());
                }
                Some(event) => event?,
                None => return Err(Error::Lagged(0)),
            };
            match watch.step(&event).transpose()? {
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

/// What the server refuses here was not needed any more.
fn unless_refused<T>(result: Result<T>) -> Result<()> {
    match result {
        Err(error) if error.server().is_none() => Err(error),
        _ => Ok(()),
    }
}
