//! Jobs: what their events ask for.

use std::time::Duration;

use qmp_types::qmp::events::{BlockJobCancelled, BlockJobCompleted, JobStatusChange};
use qmp_types::qmp::types::{JobInfo, JobStatus};

use crate::error::{Error, Result, Timeout, WaitedFor};
use crate::events::RawEvent;

/// What became of a job.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "the job may have failed"]
#[non_exhaustive]
pub struct JobOutcome {
    /// Which job.
    pub id: String,
    /// Why it failed or was cancelled, if it was. It is also said here if a job is not there, and
    /// nothing has told how it ended: then it may have dismissed itself, or there never was one.
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
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum JobStep {
    Complete(String),
    Finalize(String),
}

/// What has been seen of some jobs.
#[derive(Clone, Debug)]
pub(crate) struct JobWatch(Vec<Job>);

#[derive(Clone, Debug)]
struct Job {
    id: String,
    /// How it ended, and why if not well, by an event.
    told: Option<Option<String>>,
    /// Whether it has been asked to complete, or is not to be.
    completed: bool,
    /// Whether it is concluded, or not there any more.
    over: bool,
}

impl JobWatch {
    pub(crate) fn new(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let job = |id: String| Job { id, told: None, completed: false, over: false };
        Self(ids.into_iter().map(|id| job(id.into())).collect())
    }

    /// One that is cancelled, and so not completed.
    pub(crate) fn cancelled(id: &str) -> Self {
        Self(vec![Job { id: id.to_owned(), told: None, completed: true, over: false }])
    }

    /// Whether an event is about one of these jobs.
    pub(crate) fn concerns(&self, event: &RawEvent) -> bool {
        match event.decode::<JobStatusChange>() {
            Ok(Some(change)) => self.has(&change.id),
            Ok(None) => ending(event).is_some_and(|(id, _)| self.has(&id)),
            // What does not fit is for `step` to report.
            Err(_) => true,
        }
    }

    fn has(&self, id: &str) -> bool {
        self.0.iter().any(|job| job.id == id)
    }

    fn job(&mut self, id: &str) -> Option<&mut Job> {
        self.0.iter_mut().find(|job| job.id == id)
    }

    /// Remembers how a job ended. The last that is heard is what counts: an earlier job may have
    /// had the same id.
    pub(crate) fn hear(&mut self, event: &RawEvent) {
        if let Some((id, error)) = ending(event)
            && let Some(job) = self.job(&id)
        {
            job.told = Some(error);
        }
    }

    /// What an event asks for; nothing if it is not about the state of one of these jobs.
    pub(crate) fn step(&mut self, event: &RawEvent) -> Option<Result<Option<JobStep>>> {
        self.hear(event);
        match event.decode::<JobStatusChange>() {
            Ok(Some(change)) => self.job(&change.id).map(|job| Ok(job.step(&change.status))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// What their states ask for, when no event is known to tell.
    pub(crate) fn look(&mut self, listed: &[JobInfo]) -> Vec<JobStep> {
        let step = |job: &mut Job| match listed.iter().find(|info| info.id == job.id) {
            Some(info) => job.step(&info.status),
            None => job.step(&JobStatus::Null),
        };
        self.0.iter_mut().filter_map(step).collect()
    }

    /// Whether all are concluded, or gone.
    pub(crate) fn is_over(&self) -> bool {
        self.0.iter().all(|job| job.over)
    }

    /// They are not concluded in time.
    pub(crate) fn too_late(within: Duration) -> Error {
        let name = Some("JOB_STATUS_CHANGE");
        Timeout::new(WaitedFor::Event { name, command: None }, within).into()
    }

    /// What became of them, and those that are still listed.
    pub(crate) fn outcomes(&self, listed: Vec<JobInfo>) -> (Vec<JobOutcome>, Vec<String>) {
        let outcome = |job: &Job| {
            let info = listed.iter().find(|info| info.id == job.id);
            let error = match (info, &job.told) {
                (Some(info), _) => info.error.clone(),
                (None, Some(told)) => told.clone(),
                (None, None) => Some(UNTOLD.to_owned()),
            };
            JobOutcome { id: job.id.clone(), error }
        };
        let outcomes = self.0.iter().map(outcome).collect();
        let ids = listed.into_iter().map(|info| info.id);
        (outcomes, ids.filter(|id| self.has(id)).collect())
    }
}

const UNTOLD: &str = "the job is not there, and nothing has told how it ended";

impl Job {
    fn step(&mut self, status: &JobStatus) -> Option<JobStep> {
        match status {
            // It stays ready for a while after it was asked.
            JobStatus::Ready if !self.completed => {
                self.completed = true;
                Some(JobStep::Complete(self.id.clone()))
            }
            JobStatus::Pending => Some(JobStep::Finalize(self.id.clone())),
            JobStatus::Concluded | JobStatus::Null => {
                self.over = true;
                None
            }
            _ => None,
        }
    }
}

/// Whether a job is ready.
pub(crate) fn is_ready(jobs: &[JobInfo], id: &str) -> bool {
    jobs.iter().any(|job| job.id == id && job.status == JobStatus::Ready)
}

/// Which block job has ended, and why if not well. One that dismisses itself tells nowhere else;
/// what does not fit is of some job that this release does not know.
fn ending(event: &RawEvent) -> Option<(String, Option<String>)> {
    if let Some(completed) = event.decode::<BlockJobCompleted>().ok()? {
        return Some((completed.device, completed.error));
    }
    let cancelled = event.decode::<BlockJobCancelled>().ok()??;
    Some((cancelled.device, Some("the job was cancelled".to_owned())))
}
