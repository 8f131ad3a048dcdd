//! The meaning of the events and states of jobs, and the commands that they ask for.

use qmp_client::{RawEvent, Result};
use qmp_types::qmp::events::{
    BlockJobCancelled, BlockJobCompleted, BlockJobError, JobStatusChange,
};
use qmp_types::qmp::types::{
    BlockDeviceIoStatus, BlockErrorAction, BlockJobInfo, JobInfo, JobStatus,
};

use super::outcome::JobOutcome;

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
    /// Whether the job has been asked to complete, or must not be.
    completing: bool,
    /// Whether the job is cancelled: then an I/O error does not stop it.
    is_cancelled: bool,
    /// Whether the job is concluded, or does not exist any more.
    over: bool,
    /// Whether an I/O error has paused the job.
    stopped: bool,
    /// The last state that is known.
    status: Option<JobStatus>,
}

/// The end of a job, as an event reports it.
#[derive(Clone, Debug)]
struct Ending {
    error: Option<String>,
}

impl JobWatch {
    pub(super) fn new(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(ids.into_iter().map(|id| Job::new(id.into())).collect())
    }

    /// Watches a job that is cancelled, and so must not be completed.
    pub(super) fn cancelled(id: &str) -> Self {
        Self(vec![Job { completing: true, is_cancelled: true, ..Job::new(id.to_owned()) }])
    }

    /// Returns whether an event is about one of these jobs.
    pub(super) fn concerns(&self, event: &RawEvent) -> bool {
        match event.decode::<JobStatusChange>() {
            Ok(Some(change)) => self.has(&change.id),
            Ok(None) => {
                let ended = ending_of(event).map(|(id, _)| id);
                ended.or_else(|| stopped_by(event)).is_some_and(|id| self.has(&id))
            }
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

    /// Remembers how a job ended, or that an error has stopped it. The last report counts: an earlier
    /// job may have had the same id.
    pub(super) fn hear(&mut self, event: &RawEvent) {
        if let Some((id, ending)) = ending_of(event) {
            if let Some(job) = self.job(&id) {
                job.ending = Some(ending);
            }
        } else if let Some(job) = stopped_by(event).and_then(|id| self.job(&id)) {
            job.stopped = !job.is_cancelled && !job.over;
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

    /// Returns whether a look showed a job that is paused: only
    /// [`look_at_paused`](Self::look_at_paused) tells why.
    pub(super) fn has_paused(&self) -> bool {
        self.0.iter().any(|job| !job.is_cancelled && job.status.as_ref().is_some_and(is_paused))
    }

    /// Remembers which of the paused jobs an I/O error has stopped.
    pub(super) fn look_at_paused(&mut self, listed: &[BlockJobInfo]) {
        for job in self.0.iter_mut().filter(|job| !job.is_cancelled) {
            job.stopped = listed.iter().any(|info| {
                info.device == job.id && info.paused && info.io_status != BlockDeviceIoStatus::Ok
            });
        }
    }

    /// Returns whether an I/O error has stopped a job: the job goes on only after a command.
    pub(super) fn is_stopped(&self) -> bool {
        self.0.iter().any(|job| job.stopped)
    }

    /// Returns whether all jobs are concluded, or do not exist any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.iter().all(|job| job.over)
    }

    /// Returns the state that is waited for, such as "jobs `a` (paused), `b` (running) to conclude".
    pub(super) fn to_conclude(&self) -> String {
        let name = |job: &Job| match &job.status {
            Some(status) => format!("`{}` ({status})", job.id),
            None => format!("`{}`", job.id),
        };
        let jobs: Vec<_> = self.0.iter().map(name).collect();
        let noun = if jobs.len() == 1 { "job" } else { "jobs" };
        format!("{noun} {} to conclude", jobs.join(", "))
    }

    /// Returns the outcomes, and the ids of those jobs that are still listed.
    pub(super) fn outcomes(&self, listed: &[JobInfo]) -> (Vec<JobOutcome>, Vec<String>) {
        let outcome = |job: &Job| {
            let info = listed.iter().find(|info| info.id == job.id);
            let error = match (info, &job.ending) {
                _ if job.stopped => Some(STOPPED.to_owned()),
                _ if !job.over => Some(UNFINISHED.to_owned()),
                (Some(info), _) => info.error.clone(),
                (None, Some(ending)) => ending.error.clone(),
                (None, None) => Some(UNREPORTED.to_owned()),
            };
            JobOutcome { id: job.id.clone(), concluded: job.over, error }
        };
        let outcomes = self.0.iter().map(outcome).collect();
        // Each of them once, however often it is listed.
        let mut ids = Vec::new();
        for info in listed {
            if self.has(&info.id) && !ids.contains(&info.id) {
                ids.push(info.id.clone());
            }
        }
        (outcomes, ids)
    }
}

const UNREPORTED: &str = "the job does not exist, and no event has reported how it ended";

const STOPPED: &str = "paused by an I/O error; `job-resume` resumes it";

const UNFINISHED: &str = "another job is paused by an I/O error";

impl Job {
    fn new(id: String) -> Self {
        Self {
            id,
            ending: None,
            completing: false,
            is_cancelled: false,
            over: false,
            stopped: false,
            status: None,
        }
    }

    fn step(&mut self, status: &JobStatus) -> Option<JobStep> {
        self.status = Some(status.clone());
        if !is_paused(status) {
            self.stopped = false;
        }
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

/// Returns whether a job in this state is paused; `standby` is the state of one that was ready.
fn is_paused(status: &JobStatus) -> bool {
    matches!(status, JobStatus::Paused | JobStatus::Standby)
}

/// Returns the id of a block job that an I/O error has stopped.
fn stopped_by(event: &RawEvent) -> Option<String> {
    let error = event.decode::<BlockJobError>().ok()??;
    (error.action == BlockErrorAction::Stop).then_some(error.device)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each entry of the list would be dismissed, one command after the other.
    #[test]
    fn a_job_that_is_listed_often_is_dismissed_once() {
        let info =
            JobInfo::new("a", qmp_types::qmp::types::JobType::Mirror, JobStatus::Concluded, 0, 0);
        let watch = JobWatch::new(["a", "b"]);
        assert_eq!(watch.outcomes(&vec![info; 1000]).1, ["a"]);
    }
}
