//! How jobs progress and conclude.

use std::time::Duration;

use qmp_types::qmp::events::{
    BlockJobCancelled, BlockJobCompleted, BlockJobPending, BlockJobReady, JobStatusChange,
};
use qmp_types::qmp::types::{JobStatus, JobType};
use serde_json::{Value, json};

use super::{Job, Work};
use crate::context::Context;
use crate::simulator::clock::Timer;
use crate::simulator::machine::Machine;

impl Machine {
    pub(super) fn job(&mut self, id: &str) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    pub(super) fn set_status(&mut self, id: &str, status: JobStatus, context: &mut Context) {
        if let Some(job) = self.job(id) {
            job.status = status.clone();
            context.emit(&JobStatusChange::new(id, status));
        }
    }

    /// Begins the work of a job that was created.
    pub(in crate::simulator) fn begin(&mut self, id: &str, context: &mut Context) {
        self.set_status(id, JobStatus::Running, context);
        let rate = self.job(id).map(|job| job.clone()).and_then(|job| self.rate(&job));
        let now = self.clock.now();
        let planned = self.planned_failure(id);
        let Some(job) = self.job(id) else { return };
        (job.rate, job.since) = (rate, now);
        job.failure = job.failure.take().or(planned);
        let job = job.clone();
        self.mark_bitmap(&job.work, true);
        if job.kind == JobType::Backup {
            for status in [JobStatus::Paused, JobStatus::Running] {
                self.set_status(id, status, context);
            }
        }
        // A copy of nothing but zeros is complete before QEMU replies.
        let is_quick = matches!(job.kind, JobType::Backup | JobType::Mirror) || job.length == 0;
        match (job.is_endless(), rate) {
            (true, _) => {}
            (false, Some(_)) => self.schedule(id),
            (false, None) if is_quick && job.kind != JobType::Commit && job.failure.is_none() => {
                self.job_works(id, context);
            }
            (false, None) => context.after_reply(|context| self.job_works(id, context)),
        }
    }

    /// Returns the number of bytes per second that a job copies, or `None` if it takes no time.
    fn rate(&self, job: &Job) -> Option<u64> {
        let source = match &job.work {
            Work::Create => return None,
            Work::Backup { source, .. } | Work::Mirror { source, .. } => source,
            Work::Commit { top, .. } => top,
            Work::Stream { node, .. } => node,
        };
        let node = self.node(source)?;
        let latency = node.options.get("latency-ns").and_then(Value::as_u64);
        let by_latency = latency.filter(|nanoseconds| *nanoseconds > 0).map(|nanoseconds| {
            // A request of a mebibyte at a time.
            (1_u64 << 20).saturating_mul(1_000_000_000) / nanoseconds
        });
        let by_speed = Some(job.speed).filter(|speed| {
            *speed > 0 && (self.disk_speed.is_some() || !node.driver.starts_with("null"))
        });
        let limits = [self.disk_speed, by_latency, self.throttled(source), by_speed];
        limits.into_iter().flatten().min().map(|rate| rate.max(1))
    }

    pub(super) fn update_rate(&mut self, id: &str) {
        let rate = self.jobs.iter().find(|job| job.id == id).and_then(|job| self.rate(job));
        if let Some(job) = self.job(id) {
            job.rate = rate.or(job.rate);
        }
    }

    /// Returns the bytes per second that a throttle group lets through to a node.
    fn throttled(&self, node: &str) -> Option<u64> {
        let group = self.node(node)?.options.get("throttle-group")?.as_str()?;
        let group = self.objects.iter().find(|object| object.id == group)?;
        let limits = group.properties.get("limits").and_then(Value::as_object);
        let own = group.properties.get("x-bps-total");
        let limit = own.or_else(|| limits.and_then(|limits| limits.get("bps-total")));
        limit.and_then(Value::as_u64).filter(|limit| *limit > 0)
    }

    /// Returns the point at which a job is to fail, if the simulator was told to fail it.
    fn planned_failure(&mut self, id: &str) -> Option<(u64, String)> {
        let job = self.jobs.iter().find(|job| job.id == id)?;
        let plan = self.failures.iter().find(|plan| plan.job == id)?;
        let at = u128::from(job.length) * u128::from(plan.percent) / 100;
        Some((u64::try_from(at).unwrap_or(job.length), plan.error.clone()))
    }

    /// Sets the timer for the end of a job's work, or for its failure.
    pub(super) fn schedule(&mut self, id: &str) {
        let timer = Timer::Job(id.to_owned());
        self.clock.cancel(&timer);
        let Some(job) = self.job(id) else { return };
        let Some(rate) = job.rate.filter(|_| job.status == JobStatus::Running) else { return };
        let end = job.failure.as_ref().map_or(job.length, |(at, _)| *at);
        let nanoseconds =
            u128::from(end.saturating_sub(job.offset)) * 1_000_000_000 / u128::from(rate);
        let after = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.clock.set(after, timer);
    }

    /// Returns how far a job has come.
    pub(super) fn progress(&self, job: &Job) -> u64 {
        let (JobStatus::Running, Some(rate), false) = (&job.status, job.rate, job.is_endless())
        else {
            return job.offset;
        };
        let elapsed = self.clock.now().saturating_sub(job.since);
        let done = elapsed.as_nanos().saturating_mul(u128::from(rate)) / 1_000_000_000;
        let done = u64::try_from(done).unwrap_or(u64::MAX);
        job.offset.saturating_add(done).min(job.length)
    }

    /// Called when a job has done its work, or reaches the point at which it fails.
    pub(in crate::simulator) fn job_works(&mut self, id: &str, context: &mut Context) {
        let Some(job) = self.job(id).filter(|job| job.status == JobStatus::Running) else {
            return;
        };
        if let Some((at, error)) = job.failure.take() {
            job.offset = at;
            job.error = Some(error);
            return self.abort(id, context);
        }
        job.offset = job.length;
        if job.becomes_ready() {
            self.set_status(id, JobStatus::Ready, context);
            if let Some(job) = self.job(id) {
                let event = BlockJobReady::new(
                    job.kind.clone(),
                    job.id.as_str(),
                    job.length.try_into().unwrap_or(i64::MAX),
                    job.offset.try_into().unwrap_or(i64::MAX),
                    job.speed.try_into().unwrap_or(i64::MAX),
                );
                context.emit(&event);
            }
            return;
        }
        self.work_is_done(id, context);
    }

    /// Waits for the other jobs of the transaction, and then finalizes.
    pub(super) fn work_is_done(&mut self, id: &str, context: &mut Context) {
        self.set_status(id, JobStatus::Waiting, context);
        let Some(group) = self.job(id).and_then(|job| job.group) else {
            return self.is_pending(id, context);
        };
        let mut others = self.jobs.iter().filter(|job| job.group == Some(group));
        if others.any(|job| job.status != JobStatus::Waiting) {
            return;
        }
        let ids = self.group(group);
        ids.iter().for_each(|id| self.is_pending(id, context));
    }

    fn group(&self, group: u64) -> Vec<String> {
        let jobs = self.jobs.iter().filter(|job| job.group == Some(group));
        jobs.map(|job| job.id.clone()).collect()
    }

    fn is_pending(&mut self, id: &str, context: &mut Context) {
        self.set_status(id, JobStatus::Pending, context);
        let Some(job) = self.job(id) else { return };
        if job.auto_finalize {
            return self.conclude(id, context);
        }
        if job.is_block_job() {
            context.emit(&BlockJobPending::new(job.kind.clone(), job.id.as_str()));
        }
    }

    /// Lets a job's effects happen.
    pub(super) fn conclude(&mut self, id: &str, context: &mut Context) {
        let Some(job) = self.job(id).cloned() else { return };
        self.mark_bitmap(&job.work, false);
        self.take_effect(&job);
        if job.is_block_job() {
            context.emit(&completed(&job));
        }
        self.leave(id, context);
    }

    /// Ends a job that has failed, and the others of its transaction.
    pub(super) fn abort(&mut self, id: &str, context: &mut Context) {
        let Some(group) = self.job(id).and_then(|job| job.group.take()) else {
            return self.abort_one(id, context);
        };
        let others = self.group(group);
        for id in &others {
            self.clock.cancel(&Timer::Job(id.clone()));
            if let Some(job) = self.job(id) {
                job.group = None;
                job.status = JobStatus::Aborting;
            }
        }
        self.abort_one(id, context);
        for id in &others {
            self.cancelled(id, context);
        }
    }

    fn abort_one(&mut self, id: &str, context: &mut Context) {
        self.set_status(id, JobStatus::Aborting, context);
        let Some(job) = self.job(id).cloned() else { return };
        self.mark_bitmap(&job.work, false);
        if job.is_block_job() {
            context.emit(&completed(&job));
        }
        self.leave(id, context);
    }

    /// Fails a job because a test wants it. Returns whether the job was at work.
    pub(in crate::simulator) fn fail_job(
        &mut self,
        id: &str,
        error: &str,
        context: &mut Context,
    ) -> bool {
        let progress = self.jobs.iter().find(|job| job.id == id).map(|job| self.progress(job));
        let at_work = [JobStatus::Running, JobStatus::Ready, JobStatus::Paused];
        let Some(job) = self.job(id).filter(|job| at_work.contains(&job.status)) else {
            return false;
        };
        job.offset = progress.unwrap_or_default();
        job.error = Some(error.to_owned());
        self.clock.cancel(&Timer::Job(id.to_owned()));
        self.abort(id, context);
        true
    }

    /// Ends a job that was cancelled.
    pub(super) fn cancelled(&mut self, id: &str, context: &mut Context) {
        self.clock.cancel(&Timer::Job(id.to_owned()));
        let progress = self.jobs.iter().find(|job| job.id == id).map(|job| self.progress(job));
        if let Some(job) = self.job(id) {
            job.offset = progress.unwrap_or_default();
            job.error = Some("Operation canceled".to_owned());
        }
        self.set_status(id, JobStatus::Aborting, context);
        let Some(job) = self.job(id).cloned() else { return };
        self.mark_bitmap(&job.work, false);
        if job.is_block_job() {
            let (length, offset, speed) = numbers(&job);
            let event = BlockJobCancelled::new(job.kind.clone(), id, length, offset, speed);
            context.emit(&event);
        }
        self.leave(id, context);
    }

    fn leave(&mut self, id: &str, context: &mut Context) {
        self.set_status(id, JobStatus::Concluded, context);
        // What the job alone has used goes with it.
        let job = self.job(id).cloned();
        for node in job.iter().flat_map(|job| job.nodes().into_iter().flatten()) {
            self.release(node);
        }
        if self.job(id).is_some_and(|job| job.auto_dismiss) {
            self.forget(id, context);
        }
    }

    pub(super) fn forget(&mut self, id: &str, context: &mut Context) {
        self.jobs.retain(|job| job.id != id);
        context.emit(&JobStatusChange::new(id, JobStatus::Null));
    }

    fn mark_bitmap(&mut self, work: &Work, busy: bool) {
        if let Work::Backup { source, bitmap: Some((name, _)), .. } = work {
            let node = self.node_mut(source);
            if let Some(bitmap) = node.and_then(|node| node.bitmap(name)) {
                bitmap.busy = busy;
            }
        }
    }

    /// Changes the graph as a successful job does.
    fn take_effect(&mut self, job: &Job) {
        match &job.work {
            Work::Create => {}
            Work::Backup { source, bitmap, .. } => {
                if let Some((name, false)) = bitmap {
                    let node = self.node_mut(source);
                    if let Some(bitmap) = node.and_then(|node| node.bitmap(name)) {
                        bitmap.count = 0;
                    }
                }
            }
            Work::Mirror { source, target, replaces } => {
                let old = replaces.as_ref().unwrap_or(source);
                self.replace_node(old, target);
                if old != target {
                    // The source is released when the job has concluded.
                    self.release(old);
                }
            }
            Work::Commit { top, base, parent } => match parent {
                None => {
                    self.replace_node(top, base);
                }
                Some(parent) => {
                    // A graph that was changed meanwhile is left alone if this would close a cycle.
                    self.link_backing(parent, base).ok();
                }
            },
            Work::Stream { node, base } => {
                let base_file = base.as_ref().and_then(|base| self.node(base));
                let base_file = base_file.map(|node| (node.filename.clone(), None));
                let old = self.node(node).and_then(|node| node.child("backing"));
                let old = old.map(str::to_owned);
                if let Some(node) = self.node_mut(node) {
                    node.set_child("backing", None);
                    node.backing_file = base_file;
                }
                if let Some(base) = base {
                    // This fails if the graph was changed meanwhile so that it would be a cycle.
                    self.link_backing(node, base).ok();
                }
                if let Some(old) = old.filter(|old| Some(old) != base.as_ref()) {
                    self.release(&old);
                }
            }
        }
    }

    pub(super) fn query_jobs(&self) -> Value {
        let infos = self.jobs.iter().rev().map(|job| {
            let mut info = json!({
                "id": job.id,
                "type": job.kind,
                "status": job.status,
                "current-progress": self.progress(job),
                "total-progress": job.length,
            });
            if let Some(error) = &job.error {
                info["error"] = error.as_str().into();
            }
            info
        });
        infos.collect()
    }

    pub(super) fn query_block_jobs(&self) -> Value {
        let jobs = self.jobs.iter().rev().filter(|job| job.is_block_job());
        let infos = jobs.map(|job| {
            let mut info = json!({
                "type": job.kind,
                "device": job.id,
                "len": job.length,
                "offset": self.progress(job),
                "speed": job.speed,
                "busy": job.status == JobStatus::Running,
                "paused": job.is_paused,
                "ready": job.status == JobStatus::Ready,
                "io-status": "ok",
                "status": job.status,
                "auto-finalize": job.auto_finalize,
                "auto-dismiss": job.auto_dismiss,
            });
            if let Some(error) = &job.error {
                info["error"] = error.as_str().into();
            }
            if job.kind == JobType::Mirror {
                info["actively-synced"] = false.into();
            }
            info
        });
        infos.collect()
    }
}

fn numbers(job: &Job) -> (i64, i64, i64) {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    (signed(job.length), signed(job.offset), signed(job.speed))
}

fn completed(job: &Job) -> BlockJobCompleted {
    let (length, offset, speed) = numbers(job);
    let event = BlockJobCompleted::new(job.kind.clone(), job.id.as_str(), length, offset, speed);
    match &job.error {
        Some(error) => event.error(error.as_str()),
        None => event,
    }
}
