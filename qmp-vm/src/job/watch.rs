//! The meaning of the events and states of jobs, and the commands that they ask for.

use qmp_client::{RawEvent, Result};
use qmp_types::qmp::events::{BlockJobCancelled, BlockJobCompleted, JobStatusChange};
use qmp_types::qmp::types::{JobInfo, JobStatus};

/// The outcome of a job.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "the job may have failed"]
#[non_exhaustive]
pub struct JobOutcome {
    /// The id of the job.
    pub id: String,
    /// The reason why the job failed or was cancelled; `None` if it succeeded. A job that does not
    /// exist, and whose end no event reported, has failed too: it may have dismissed itself, or
    /// may never have existed.
    pub error: Option<String>,
}

impl JobOutcome {
    /// Returns whether the job succeeded.
    #[must_use]
    pub fn success(&self) -> bool {
        self.error.is_none()
    }
}

/// A command that a job waits for.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum JobStep {
    Complete(String),
    Finalize(String),
}

/// The known state of some jobs.
#[derive(Clone, Debug)]
pub(super) struct JobWatch(Vec<Job>);

#[derive(Clone, Debug)]
struct Job {
    id: String,
    /// How the job ended, if an event has reported that.
    ending: Option<Ending>,
    /// Whether the job has been asked to complete, or is cancelled and must not be.
    completing: bool,
    /// Whether the job is concluded, or does not exist any more.
    over: bool,
}

/// The end of a job, as an event reports it.
#[derive(Clone, Debug)]
struct Ending {
    error: Option<String>,
}

impl JobWatch {
    pub(super) fn new(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let job = |id: String| Job { id, ending: None, completing: false, over: false };
        Self(ids.into_iter().map(|id| job(id.into())).collect())
    }

    /// Watches a job that is cancelled, and so must not be completed.
    pub(super) fn cancelled(id: &str) -> Self {
        Self(vec![Job { id: id.to_owned(), ending: None, completing: true, over: false }])
    }

    /// Returns whether an event is about one of these jobs.
    pub(super) fn concerns(&self, event: &RawEvent) -> bool {
        match event.decode::<JobStatusChange>() {
            Ok(Some(change)) => self.has(&change.id),
            Ok(None) => ending_of(event).is_some_and(|(id, _)| self.has(&id)),
            // `step` reports an event that does not match the schema.
            Err(_) => true,
        }
    }

    fn has(&self, id: &str) -> bool {
        self.0.iter().any(|job| job.id == id)
    }

    fn job(&mut self, id: &str) -> Option<&mut Job> {
        self.0.iter_mut().find(|job| job.id == id)
    }

    /// Remembers how a job ended. The last report counts: an earlier job may have had the same id.
    pub(super) fn hear(&mut self, event: &RawEvent) {
        let Some((id, ending)) = ending_of(event) else { return };
        if let Some(job) = self.job(&id) {
            job.ending = Some(ending);
        }
    }

    /// Remembers that a job has been asked to complete.
    pub(super) fn completes(&mut self, id: &str) {
        if let Some(job) = self.job(id) {
            job.completing = true;
        }
    }

    /// Returns the step that an event asks for, if it asks for one.
    ///
    /// # Errors
    /// The event does not match the schema.
    pub(super) fn step(&mut self, event: &RawEvent) -> Result<Option<JobStep>> {
        self.hear(event);
        let Some(change) = event.decode::<JobStatusChange>()? else { return Ok(None) };
        Ok(self.job(&change.id).and_then(|job| job.step(&change.status)))
    }

    /// Returns the steps that the listed states ask for, when no event is known to tell.
    pub(super) fn look(&mut self, listed: &[JobInfo]) -> Vec<JobStep> {
        let step = |job: &mut Job| match listed.iter().find(|info| info.id == job.id) {
            Some(info) => job.step(&info.status),
            None => job.step(&JobStatus::Null),
        };
        self.0.iter_mut().filter_map(step).collect()
    }

    /// Returns whether all jobs are concluded, or do not exist any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.iter().all(|job| job.over)
    }

    /// Returns the state that is waited for, such as "jobs `a`, `b` to conclude".
    pub(super) fn to_conclude(&self) -> String {
        let ids: Vec<_> = self.0.iter().map(|job| format!("`{}`", job.id)).collect();
        let noun = if ids.len() == 1 { "job" } else { "jobs" };
        format!("{noun} {} to conclude", ids.join(", "))
    }

    /// Returns the outcomes, and the ids of those jobs that are still listed.
    pub(super) fn outcomes(&self, listed: Vec<JobInfo>) -> (Vec<JobOutcome>, Vec<String>) {
        let outcome = |job: &Job| {
            let info = listed.iter().find(|info| info.id == job.id);
            let error = match (info, &job.ending) {
                (Some(info), _) => info.error.clone(),
                (None, Some(ending)) => ending.error.clone(),
                (None, None) => Some(UNREPORTED.to_owned()),
            };
            JobOutcome { id: job.id.clone(), error }
        };
        let outcomes = self.0.iter().map(outcome).collect();
        let ids = listed.into_iter().map(|info| info.id);
        (outcomes, ids.filter(|id| self.has(id)).collect())
    }
}

const UNREPORTED: &str = "the job does not exist, and no event has reported how it ended";

impl Job {
    fn step(&mut self, status: &JobStatus) -> Option<JobStep> {
        match status {
            // A job stays ready for a while after it was asked to complete.
            JobStatus::Ready if !self.completing => Some(JobStep::Complete(self.id.clone())),
            JobStatus::Pending => Some(JobStep::Finalize(self.id.clone())),
            JobStatus::Concluded | JobStatus::Null => {
                self.over = true;
                None
            }
            _ => None,
        }
    }
}

/// Returns whether a job is ready.
pub(super) fn is_ready(jobs: &[JobInfo], id: &str) -> bool {
    jobs.iter().any(|job| job.id == id && job.status == JobStatus::Ready)
}

/// Returns the id of a block job that has ended, and how. No other event or reply tells that of a
/// job that dismisses itself. An event that does not match the schema is about a kind of job that
/// this release does not know.
fn ending_of(event: &RawEvent) -> Option<(String, Ending)> {
    if let Some(completed) = event.decode::<BlockJobCompleted>().ok()? {
        return Some((completed.device, Ending { error: completed.error }));
    }
    let cancelled = event.decode::<BlockJobCancelled>().ok()??;
    Some((cancelled.device, Ending { error: Some("the job was cancelled".to_owned()) }))
}
