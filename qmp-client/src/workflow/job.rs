//! Jobs: what their events ask for.

use std::time::Duration;

use qmp_types::qmp::events::{BlockJobCompleted, JobStatusChange};
use qmp_types::qmp::types::{JobInfo, JobStatus};

use crate::error::{Error, Result, Timeout, WaitedFor};
use crate::events::RawEvent;

/// What became of a job.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "the job may have failed"]
#[non_exhaustive]
pub struct JobOutcome {
    /// Why it failed or was cancelled, if it was.
    pub error: Option<String>,
}

impl JobOutcome {
    /// Whether it did what it was to do.
    #[must_use]
    pub fn success(&self) -> bool {
        self.error.is_none()
    }
}

/// What is to be done about a job.
#[derive(Debug)]
pub(crate) enum JobStep {
    Complete,
    Finalize,
    Conclude,
    /// It dismissed itself.
    Gone,
}

/// What has been seen of a job.
#[derive(Clone, Debug)]
pub(crate) struct JobWatch {
    id: String,
    error: Option<String>,
    /// Whether it has been asked to complete.
    completed: bool,
}

impl JobWatch {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), error: None, completed: false }
    }

    /// Whether an event is about this job.
    pub(crate) fn concerns(&self, event: &RawEvent) -> bool {
        match event.decode::<JobStatusChange>() {
            Ok(Some(change)) => change.id == self.id,
            // What does not fit is for `step` to report.
            Ok(None) => event.is::<BlockJobCompleted>(),
            Err(_) => true,
        }
    }

    /// What an event asks for.
    pub(crate) fn step(&mut self, event: &RawEvent) -> Option<Result<JobStep>> {
        if event.is::<BlockJobCompleted>() {
            // It fits, or it is of some other job's that this release does not know.
            if let Ok(Some(completed)) = event.decode::<BlockJobCompleted>()
                && completed.device == self.id
            {
                self.error = completed.error;
            }
            return None;
        }
        let change = match event.decode::<JobStatusChange>() {
            Ok(Some(change)) if change.id == self.id => change,
            Ok(_) => return None,
            Err(error) => return Some(Err(error)),
        };
        self.step_from(&change.status).map(Ok)
    }

    /// What its state asks for, after events were lost that would have told.
    pub(crate) fn look(&mut self, jobs: &[JobInfo]) -> Option<JobStep> {
        match jobs.iter().find(|job| job.id == self.id) {
            Some(job) => self.step_from(&job.status),
            None => Some(JobStep::Gone),
        }
    }

    fn step_from(&mut self, status: &JobStatus) -> Option<JobStep> {
        match status {
            // It stays ready for a while after it was asked.
            JobStatus::Ready if !self.completed => {
                self.completed = true;
                Some(JobStep::Complete)
            }
            JobStatus::Pending => Some(JobStep::Finalize),
            JobStatus::Concluded => Some(JobStep::Conclude),
            JobStatus::Null => Some(JobStep::Gone),
            _ => None,
        }
    }

    /// It is not concluded in time.
    pub(crate) fn too_late(within: Duration) -> Error {
        Timeout::new(WaitedFor::Event(Some("JOB_STATUS_CHANGE")), within).into()
    }

    /// What became of it, and whether it is still listed.
    pub(crate) fn outcome(&self, jobs: Vec<JobInfo>) -> (JobOutcome, bool) {
        match jobs.into_iter().find(|job| job.id == self.id) {
            Some(job) => (JobOutcome { error: job.error }, true),
            None => (JobOutcome { error: self.error.clone() }, false),
        }
    }
}
