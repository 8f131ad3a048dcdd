//! Jobs: their states, how they progress, and the commands for them.

// QEMU still supports deprecated commands.
#![allow(deprecated)]

mod control;
mod create;
mod start;
mod work;

use std::time::Duration;

use qmp_types::qmp::commands::{
    BlockCommit, BlockJobCancel, BlockJobChange, BlockJobComplete, BlockJobDismiss,
    BlockJobFinalize, BlockJobPause, BlockJobResume, BlockJobSetSpeed, BlockStream, BlockdevBackup,
    BlockdevCreate, BlockdevMirror, JobCancel, JobComplete, JobDismiss, JobFinalize, JobPause,
    JobResume, QueryBlockJobs, QueryJobs,
};
use qmp_types::qmp::events;
use qmp_types::qmp::types::{JobStatus, JobType};

use super::machine::Machine;
use super::replies::Handle;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    let router = router
        .on::<QueryJobs>(|machine, _, _| Ok(machine.query_jobs()))
        .on::<QueryBlockJobs>(|machine, _, _| Ok(machine.query_block_jobs()))
        .on::<BlockdevCreate>(|machine, arguments, context| {
            machine.create_image(arguments, context)
        })
        .on::<BlockdevBackup>(|machine, arguments, context| {
            machine.start(arguments, Machine::create_backup, context)
        })
        .on::<BlockdevMirror>(|machine, arguments, context| {
            machine.start(arguments, Machine::create_mirror, context)
        })
        .on::<BlockCommit>(|machine, arguments, context| {
            machine.start(arguments, Machine::create_commit, context)
        })
        .on::<BlockStream>(|machine, arguments, context| {
            machine.start(arguments, Machine::create_stream, context)
        })
        .event::<events::JobStatusChange>()
        .event::<events::BlockJobReady>()
        .event::<events::BlockJobPending>()
        .event::<events::BlockJobCompleted>()
        .event::<events::BlockJobCancelled>()
        .event::<events::BlockJobError>();
    add_control(router)
}

fn add_control(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<JobCancel>(|machine, arguments, context| {
            machine.cancel_job(arguments.required("id"), true, context)
        })
        .on::<JobComplete>(|machine, arguments, context| {
            machine.complete_job(arguments.required("id"), context)
        })
        .on::<JobFinalize>(|machine, arguments, context| {
            machine.finalize_job(arguments.required("id"), context)
        })
        .on::<JobDismiss>(|machine, arguments, context| {
            machine.dismiss_job(arguments.required("id"), context)
        })
        .on::<JobPause>(|machine, arguments, context| {
            machine.pause_job(arguments.required("id"), context)
        })
        .on::<JobResume>(|machine, arguments, context| {
            machine.resume_job(arguments.required("id"), context)
        })
        .on::<BlockJobCancel>(|machine, arguments, context| {
            machine.check_block_job(arguments.required("device"))?;
            machine.cancel_job(arguments.required("device"), arguments.flag("force"), context)
        })
        .on::<BlockJobComplete>(|machine, arguments, context| {
            machine.check_block_job(arguments.required("device"))?;
            machine.complete_job(arguments.required("device"), context)
        })
        .on::<BlockJobPause>(|machine, arguments, context| {
            machine.check_block_job(arguments.required("device"))?;
            machine.pause_job(arguments.required("device"), context)
        })
        .on::<BlockJobResume>(|machine, arguments, context| {
            machine.check_block_job(arguments.required("device"))?;
            machine.resume_job(arguments.required("device"), context)
        })
        .on::<BlockJobDismiss>(|machine, arguments, context| {
            machine.check_block_job(arguments.required("id"))?;
            machine.dismiss_job(arguments.required("id"), context)
        })
        .on::<BlockJobFinalize>(|machine, arguments, context| {
            machine.check_block_job(arguments.required("id"))?;
            machine.finalize_job(arguments.required("id"), context)
        })
        .on::<BlockJobSetSpeed>(|machine, arguments, _| machine.set_job_speed(arguments))
        .on::<BlockJobChange>(|machine, arguments, _| machine.change_job(arguments))
}

/// A job.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) kind: JobType,
    pub(super) status: JobStatus,
    pub(super) error: Option<String>,
    /// The progress when the work was last stopped or began, and what is to be done.
    pub(super) offset: u64,
    pub(super) length: u64,
    /// The moment at which the work began or continued.
    since: Duration,
    /// Bytes per second, or `None` for work that takes no time.
    rate: Option<u64>,
    /// The speed limit as given, in bytes per second.
    pub(super) speed: u64,
    auto_finalize: bool,
    auto_dismiss: bool,
    /// Whether a user has paused the job.
    is_paused: bool,
    /// Jobs of a transaction that complete together.
    pub(super) group: Option<u64>,
    pub(super) work: Work,
    /// The point at which the job fails, and the message.
    failure: Option<(u64, String)>,
}

/// The work of a job.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Creates an image.
    Create,
    /// Copies a node as it was at the start.
    Backup { source: String, target: String, bitmap: Option<(String, bool)>, is_endless: bool },
    /// Copies a node, and then what is written to it.
    Mirror { source: String, target: String, replaces: Option<String> },
    /// Moves the contents of the nodes above `base` into it.
    Commit { top: String, base: String, parent: Option<String> },
    /// Moves the contents of the nodes between `node` and `base` into `node`.
    Stream { node: String, base: Option<String> },
}

impl Job {
    fn new(id: &str, kind: JobType, length: u64, work: Work) -> Self {
        Self {
            id: id.to_owned(),
            kind,
            status: JobStatus::Created,
            error: None,
            offset: 0,
            length,
            since: Duration::ZERO,
            rate: None,
            speed: 0,
            auto_finalize: true,
            auto_dismiss: true,
            is_paused: false,
            group: None,
            work,
            failure: None,
        }
    }

    pub(super) fn is_block_job(&self) -> bool {
        !matches!(self.work, Work::Create)
    }

    /// Returns whether the job uses a node and has not concluded.
    pub(super) fn uses(&self, node: &str) -> bool {
        self.status != JobStatus::Concluded && self.nodes().contains(&Some(node))
    }

    fn nodes(&self) -> [Option<&str>; 2] {
        match &self.work {
            Work::Create => [None, None],
            Work::Backup { source, target, .. } | Work::Mirror { source, target, .. } => {
                [Some(source), Some(target)]
            }
            Work::Commit { top, base, .. } => [Some(top), Some(base)],
            Work::Stream { node, base } => [Some(node), base.as_deref()],
        }
    }

    /// Returns whether the job waits for a command once its work is done.
    fn becomes_ready(&self) -> bool {
        matches!(self.work, Work::Mirror { .. } | Work::Commit { parent: None, .. })
    }

    fn is_endless(&self) -> bool {
        matches!(self.work, Work::Backup { is_endless: true, .. })
    }
}
