//! What the helpers of both clients have in common: what the events mean.

use qmp_types::Event;
use qmp_types::qmp::events::JobStatusChange;
use qmp_types::qmp::events::{BlockJobCompleted, DeviceDeleted, DeviceUnplugGuestError};
use qmp_types::qmp::types::{JobInfo, JobStatus, MigrationStatus};

use crate::error::Result;
use crate::events::RawEvent;

/// What became of an unplug request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "the guest may have refused"]
#[non_exhaustive]
pub enum Unplugged {
    /// The device is gone.
    Deleted,
    /// The guest refused to give it up.
    Refused,
}

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

/// How a machine was shut down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ShutDown {
    /// The guest shut itself down.
    ByGuest,
    /// The guest did not in time, and QEMU was ended.
    ByQuit,
    /// QEMU did not end in time either, and the process was killed.
    ByKill,
}

/// What an event says of the device with this id, or this QOM path.
pub(crate) fn unplugged(event: &RawEvent, id: &str) -> Option<Result<Unplugged>> {
    let is_it = |device: Option<&str>, path: &str| device == Some(id) || path == id;
    match &*event.name {
        DeviceDeleted::NAME => match event.decode::<DeviceDeleted>() {
            Ok(Some(it)) if is_it(it.device.as_deref(), &it.path) => Some(Ok(Unplugged::Deleted)),
            Err(error) => Some(Err(error)),
            Ok(_) => None,
        },
        DeviceUnplugGuestError::NAME => match event.decode::<DeviceUnplugGuestError>() {
            Ok(Some(it)) if is_it(it.device.as_deref(), &it.path) => Some(Ok(Unplugged::Refused)),
            Err(error) => Some(Err(error)),
            Ok(_) => None,
        },
        _ => None,
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
#[derive(Debug)]
pub(crate) struct JobWatch {
    id: String,
    error: Option<String>,
}

impl JobWatch {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), error: None }
    }

    /// Whether an event is about this job.
    pub(crate) fn concerns(&self, event: &RawEvent) -> bool {
        match event.decode::<JobStatusChange>() {
            Ok(Some(change)) => change.id == self.id,
            _ => event.is::<BlockJobCompleted>(),
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
        match change.status {
            JobStatus::Ready => Some(Ok(JobStep::Complete)),
            JobStatus::Pending => Some(Ok(JobStep::Finalize)),
            JobStatus::Concluded => Some(Ok(JobStep::Conclude)),
            JobStatus::Null => Some(Ok(JobStep::Gone)),
            _ => None,
        }
    }

    /// What became of it, and whether it is still listed.
    pub(crate) fn outcome(&self, jobs: Vec<JobInfo>) -> (JobOutcome, bool) {
        match jobs.into_iter().find(|job| job.id == self.id) {
            Some(job) => (JobOutcome { error: job.error }, true),
            None => (JobOutcome { error: self.error.clone() }, false),
        }
    }
}

/// Whether a migration is over, one way or the other.
pub(crate) fn is_over(status: Option<&MigrationStatus>) -> bool {
    use MigrationStatus::{Cancelled, Completed, Failed};
    matches!(status, Some(Cancelled | Completed | Failed))
}
