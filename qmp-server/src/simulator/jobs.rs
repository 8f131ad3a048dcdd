//! Jobs. The only kind is the creation of an image, which concludes immediately.

use qmp_types::qmp::commands::{BlockdevCreate, JobDismiss, QueryBlockJobs, QueryJobs};
use qmp_types::qmp::events::JobStatusChange;
use qmp_types::qmp::types::{JobInfo, JobStatus, JobType};
use qmp_types::{Empty, QmpError};

use super::machine::Machine;
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .command(|machine: &mut Machine, _: QueryJobs, _: &mut Context| Ok(machine.jobs.clone()))
        // A job that creates an image is not a block job.
        .command(|_: &mut Machine, _: QueryBlockJobs, _: &mut Context| Ok(Vec::new()))
        .command(|machine: &mut Machine, command: BlockdevCreate, context: &mut Context| {
            machine.create_image(&command.job_id, context)
        })
        .command(|machine: &mut Machine, command: JobDismiss, context: &mut Context| {
            machine.dismiss(&command.id, context)
        })
        .event::<JobStatusChange>()
}

impl Machine {
    fn create_image(&mut self, id: &str, context: &mut Context) -> Result<Empty, QmpError> {
        if self.jobs.iter().any(|job| job.id == id) {
            return Err(QmpError::generic(format!("Job ID '{id}' already in use")));
        }
        for status in [JobStatus::Created, JobStatus::Running] {
            context.emit(&JobStatusChange::new(id, status));
        }
        context.after_reply(|context| {
            for status in [JobStatus::Waiting, JobStatus::Pending, JobStatus::Concluded] {
                context.emit(&JobStatusChange::new(id, status));
            }
        });
        self.jobs.push(JobInfo::new(id, JobType::Create, JobStatus::Concluded, 1, 1));
        Ok(Empty {})
    }

    fn dismiss(&mut self, id: &str, context: &mut Context) -> Result<Empty, QmpError> {
        let at = self.jobs.iter().position(|job| job.id == id);
        let at = at.ok_or_else(|| QmpError::generic("Job not found"))?;
        self.jobs.remove(at);
        context.emit(&JobStatusChange::new(id, JobStatus::Null));
        Ok(Empty {})
    }
}
