//! The commands that control jobs.

use qmp_types::qmp::types::{JobStatus, JobType};
use qmp_types::{ErrorClass, QmpError};

use super::Job;
use crate::context::Context;
use crate::simulator::clock::Timer;
use crate::simulator::machine::Machine;
use crate::simulator::replies::{Arguments, Reply, done, refuse};

impl Machine {
    /// Checks that a block job exists, which commands for block jobs report by another error than
    /// commands for jobs.
    pub(super) fn check_block_job(&self, id: &str) -> Result<(), QmpError> {
        match self.jobs.iter().any(|job| job.id == id && job.is_block_job()) {
            true => Ok(()),
            false => {
                let desc = format!("Block job '{id}' not found");
                Err(QmpError::new(ErrorClass::DeviceNotActive, desc))
            }
        }
    }

    /// Finds a job that can carry out a command in its state.
    fn commanded(&mut self, id: &str, verb: &str) -> Result<&mut Job, QmpError> {
        let Some(job) = self.job(id) else { return refuse("Job not found") };
        let accepted = match verb {
            "cancel" => {
                !matches!(job.status, JobStatus::Concluded | JobStatus::Aborting | JobStatus::Null)
            }
            "pause" | "resume" | "set-speed" => matches!(
                job.status,
                JobStatus::Created
                    | JobStatus::Running
                    | JobStatus::Paused
                    | JobStatus::Ready
                    | JobStatus::Standby
            ),
            "complete" => job.status == JobStatus::Ready,
            "finalize" => job.status == JobStatus::Pending,
            "dismiss" => job.status == JobStatus::Concluded,
            _ => true,
        };
        match accepted {
            true => Ok(job),
            false => refuse(format!(
                "Job '{id}' in state '{}' cannot accept command verb '{verb}'",
                job.status
            )),
        }
    }

    /// Cancels a job. A mirror that is ready completes without effect, unless it is forced.
    pub(super) fn cancel_job(&mut self, id: &str, force: bool, context: &mut Context) -> Reply {
        let job = self.commanded(id, "cancel")?;
        let (status, kind) = (job.status.clone(), job.kind.clone());
        let is_ready = matches!(status, JobStatus::Ready | JobStatus::Standby);
        match is_ready {
            true if !force && kind == JobType::Mirror => context.after_reply(|context| {
                self.leave_nodes(id);
                self.work_is_done(id, context);
            }),
            true => context.after_reply(|context| self.cancelled(id, context)),
            false => self.cancel_grouped(id, context),
        }
        done()
    }

    /// Cancels the jobs on the medium of a drive that goes with its device.
    pub(in crate::simulator) fn cancel_jobs_on(&mut self, medium: &str, context: &mut Context) {
        let jobs = self.jobs.iter().filter(|job| job.uses(medium));
        let jobs: Vec<Job> = jobs.cloned().collect();
        for Job { id, kind, status, .. } in jobs {
            let is_ready = matches!(status, JobStatus::Ready | JobStatus::Standby);
            if is_ready && kind == JobType::Mirror {
                self.leave_nodes(&id);
                self.work_is_done(&id, context);
            } else if self.jobs.iter().any(|job| job.id == id && job.uses(medium)) {
                self.cancel_grouped(&id, context);
            }
        }
    }

    fn cancel_grouped(&mut self, id: &str, context: &mut Context) {
        let group = self.job(id).and_then(|job| job.group.take());
        self.cancelled(id, context);
        if let Some(group) = group {
            self.cancel_group(group, context);
        }
    }

    fn cancel_group(&mut self, group: u64, context: &mut Context) {
        let jobs = self.jobs.iter_mut().filter(|job| job.group == Some(group));
        let ids: Vec<String> = jobs
            .map(|job| {
                job.group = None;
                job.id.clone()
            })
            .collect();
        ids.iter().for_each(|id| self.cancelled(id, context));
    }

    /// Makes a mirror conclude without replacing its source.
    fn leave_nodes(&mut self, id: &str) {
        if let Some(job) = self.job(id) {
            if let super::Work::Mirror { target, replaces, .. } = &mut job.work {
                *replaces = Some(target.clone());
            }
        }
    }

    pub(super) fn complete_job(&mut self, id: &str, context: &mut Context) -> Reply {
        self.commanded(id, "complete")?;
        context.after_reply(|context| self.work_is_done(id, context));
        done()
    }

    pub(super) fn finalize_job(&mut self, id: &str, context: &mut Context) -> Reply {
        self.commanded(id, "finalize")?;
        self.conclude(id, context);
        done()
    }

    pub(super) fn dismiss_job(&mut self, id: &str, context: &mut Context) -> Reply {
        self.commanded(id, "dismiss")?;
        self.forget(id, context);
        done()
    }

    pub(super) fn pause_job(&mut self, id: &str, context: &mut Context) -> Reply {
        let job = self.commanded(id, "pause")?;
        if job.is_paused {
            return refuse("Job is already paused");
        }
        job.is_paused = true;
        let job = job.clone();
        let progress = self.progress(&job);
        self.clock.cancel(&Timer::Job(id.to_owned()));
        if let Some(job) = self.job(id) {
            job.offset = progress;
        }
        let paused = match job.status {
            JobStatus::Ready => JobStatus::Standby,
            _ => JobStatus::Paused,
        };
        context.after_reply(|context| self.set_status(id, paused, context));
        done()
    }

    pub(super) fn resume_job(&mut self, id: &str, context: &mut Context) -> Reply {
        let now = self.clock.now();
        let job = self.commanded(id, "resume")?;
        if !job.is_paused {
            return refuse("Can't resume a job that was not paused");
        }
        (job.is_paused, job.since) = (false, now);
        let resumed = match job.status {
            JobStatus::Standby => JobStatus::Ready,
            _ => JobStatus::Running,
        };
        context.after_reply(|context| {
            self.set_status(id, resumed, context);
            self.schedule(id);
        });
        done()
    }

    pub(super) fn set_job_speed(&mut self, arguments: &Arguments) -> Reply {
        let id = arguments.required("device");
        self.check_block_job(id)?;
        self.commanded(id, "set-speed")?;
        let Some(speed) = arguments.integer("speed").and_then(|speed| u64::try_from(speed).ok())
        else {
            return refuse("Parameter 'speed' expects a non-negative value");
        };
        let progress = self.jobs.iter().find(|job| job.id == id).map(|job| self.progress(job));
        let now = self.clock.now();
        if let Some(job) = self.job(id) {
            (job.offset, job.since, job.speed) = (progress.unwrap_or_default(), now, speed);
        }
        self.update_rate(id);
        self.schedule(id);
        done()
    }

    pub(super) fn change_job(&mut self, arguments: &Arguments) -> Reply {
        let id = arguments.required("id");
        self.check_block_job(id)?;
        let job = self.job(id).map(|job| job.kind.clone());
        match job {
            Some(JobType::Mirror) => done(),
            _ => refuse(format!("Job '{id}' does not support change")),
        }
    }
}
