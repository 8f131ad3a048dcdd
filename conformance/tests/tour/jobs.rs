//! Block jobs, from start to each way of ending.

use qmp_client::qmp::commands::*;
use qmp_client::qmp::events::{
    BlockJobCancelled, BlockJobCompleted, BlockJobError, BlockJobPending, BlockJobReady,
    BlockWriteThreshold, JobStatusChange, QuorumReportBad,
};
use qmp_client::qmp::types::{
    BlkdebugEvent, BlkdebugInjectErrorOptions, BlockJobChangeOptions, BlockJobChangeOptionsMirror,
    BlockJobChangeOptionsType, BlockdevOnError, BlockdevOptions, BlockdevOptionsBlkdebug,
    BlockdevOptionsDriver, BlockdevOptionsFile, BlockdevOptionsQuorum, JobStatus, JobType,
    MirrorCopyMode, MirrorSyncMode, NewImageMode,
};

use crate::block::{null, qcow2};
use crate::stage::{Guide, Tour, scratch};

pub(crate) fn tour(guide: &mut Guide<'_>) {
    let scratch = scratch();
    let mut tour = guide.start("-M pc,accel=tcg -m 32", &[]);
    let image = scratch.image("source", 4 << 20);
    // Data for the jobs to copy.
    std::fs::write(&image, vec![1; 4 << 20]).unwrap();
    let source = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(image.as_str()));
    tour.run(BlockdevAdd::new(BlockdevOptions::new(source).node_name("source")));
    for node in ["target0", "target1", "target2"] {
        null(&mut tour, node);
    }
    mirror(&mut tour);
    paused_and_cancelled(&mut tour);
    backup(&mut tour, &scratch);
    chain(&mut tour, &scratch);
    errors(&mut tour);
    quorum(&mut tour, &scratch);
}

fn mirror(tour: &mut Tour<'_>) {
    tour.run(BlockSetWriteThreshold::new("target0", 1 << 20));
    let mirror = BlockdevMirror::new("source", "target0", MirrorSyncMode::Full).job_id("mirror0");
    tour.run(mirror.auto_dismiss(false));
    tour.event(|ready: &BlockJobReady| ready.device == "mirror0" && ready.type_ == JobType::Mirror);
    let crossed = tour.event(|_: &BlockWriteThreshold| true);
    assert_eq!(crossed.node_name, "target0");
    tour.run(QueryBlockJobs::new());
    let change = BlockJobChangeOptionsMirror::new(MirrorCopyMode::WriteBlocking);
    let change = BlockJobChangeOptionsType::Mirror(change);
    tour.run(BlockJobChange::new(BlockJobChangeOptions::new("mirror0", change)));
    tour.run(BlockJobComplete::new("mirror0"));
    tour.event(|completed: &BlockJobCompleted| completed.device == "mirror0");
    tour.event(|change: &JobStatusChange| {
        change.id == "mirror0" && change.status == JobStatus::Concluded
    });
    tour.run(BlockJobDismiss::new("mirror0"));
}

fn paused_and_cancelled(tour: &mut Tour<'_>) {
    for id in ["slow0", "slow1"] {
        let slow = BlockdevMirror::new("target2", "target1", MirrorSyncMode::Full).job_id(id);
        tour.run(slow.speed(1));
        tour.run(BlockJobSetSpeed::new(id, 2));
        if id == "slow0" {
            tour.run(BlockJobPause::new(id));
            tour.run(BlockJobResume::new(id));
            tour.run(BlockJobCancel::new(id).force(true));
        } else {
            tour.run(JobPause::new(id));
            tour.run(JobResume::new(id));
            tour.run(JobCancel::new(id));
        }
        // Not the event, which depends on whether the job was ready: completed or cancelled.
        let is_null =
            |status: &JobStatusChange| status.id == id && status.status == JobStatus::Null;
        tour.event(is_null);
    }
    tour.attempt(QueryJobs::new());
}

fn backup(tour: &mut Tour<'_>, scratch: &conformance::Scratch) {
    let backup = BlockdevBackup::new("source", MirrorSyncMode::Full, "target1").job_id("backup0");
    tour.run(backup.auto_finalize(false).speed(0));
    tour.event(|pending: &BlockJobPending| pending.id == "backup0");
    tour.run(BlockJobFinalize::new("backup0"));
    tour.event(|completed: &BlockJobCompleted| completed.device == "backup0");

    let backup = BlockdevBackup::new("source", MirrorSyncMode::Full, "target1").job_id("backup1");
    tour.run(backup.auto_finalize(false));
    tour.event(|pending: &BlockJobPending| pending.id == "backup1");
    tour.run(JobFinalize::new("backup1"));
    tour.event(|completed: &BlockJobCompleted| completed.device == "backup1");

    let backup = BlockdevBackup::new("source", MirrorSyncMode::Full, "target1").job_id("backup2");
    tour.run(backup.speed(1));
    tour.run(BlockJobCancel::new("backup2"));
    tour.event(|cancelled: &BlockJobCancelled| cancelled.device == "backup2");

    let target = scratch.file("drive-backup.qcow2");
    let backup = DriveBackup::new("source", MirrorSyncMode::Full, target).job_id("backup3");
    tour.run(backup.format("qcow2").mode(NewImageMode::AbsolutePaths));
    tour.event(|completed: &BlockJobCompleted| completed.device == "backup3");

    let target = scratch.file("drive-mirror.qcow2");
    let mirror = DriveMirror::new("source", target, MirrorSyncMode::Full).job_id("mirror1");
    tour.run(mirror.format("qcow2"));
    tour.event(|ready: &BlockJobReady| ready.device == "mirror1");
    tour.run(JobComplete::new("mirror1"));
    tour.event(|completed: &BlockJobCompleted| completed.device == "mirror1");
}

/// Creates overlays, and removes them by committing and by streaming.
fn chain(tour: &mut Tour<'_>, scratch: &conformance::Scratch) {
    qcow2(tour, "base", &scratch.file("base.qcow2"));
    qcow2(tour, "middle", &scratch.file("middle.qcow2"));
    tour.run(BlockdevSnapshot::new("base", "middle"));
    tour.run(ChangeBackingFile::new("middle", "middle", scratch.file("base.qcow2")));
    qcow2(tour, "top", &scratch.file("top.qcow2"));
    tour.run(BlockdevSnapshot::new("middle", "top"));
    let commit = BlockCommit::new("top").job_id("commit0").top_node("middle").base_node("base");
    tour.run(commit);
    tour.event(|completed: &BlockJobCompleted| {
        completed.device == "commit0" && completed.type_ == JobType::Commit
    });
    tour.run(BlockStream::new("top").job_id("stream0"));
    tour.event(|completed: &BlockJobCompleted| {
        completed.device == "stream0" && completed.type_ == JobType::Stream
    });
}

fn errors(tour: &mut Tour<'_>) {
    let error = BlkdebugInjectErrorOptions::new(BlkdebugEvent::None).once(true).errno(5);
    let broken = BlockdevOptionsBlkdebug::new("source").inject_error(vec![error]);
    tour.run(BlockdevAdd::new(BlockdevOptions::new(broken).node_name("broken")));
    let backup = BlockdevBackup::new("broken", MirrorSyncMode::Full, "target1").job_id("fails");
    tour.run(backup.on_source_error(BlockdevOnError::Ignore));
    let failed = tour.event(|error: &BlockJobError| error.device == "fails");
    assert_eq!(failed.device, "fails");
    tour.event(|completed: &BlockJobCompleted| completed.device == "fails");
}

/// Reads from a quorum whose third child differs from the other two.
fn quorum(tour: &mut Tour<'_>, scratch: &conformance::Scratch) {
    let image = scratch.image("other", 4 << 20);
    std::fs::write(&image, vec![2; 4 << 20]).unwrap();
    let other = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(image.as_str()));
    tour.run(BlockdevAdd::new(BlockdevOptions::new(other).node_name("other")));
    let children = vec!["target0".into(), "target2".into(), "other".into()];
    let quorum = BlockdevOptionsQuorum::new(children, 2);
    tour.run(BlockdevAdd::new(BlockdevOptions::new(quorum).node_name("quorum")));
    tour.run(XBlockdevChange::new("quorum").child("children.2"));
    tour.run(XBlockdevChange::new("quorum").node("other"));
    let backup = BlockdevBackup::new("quorum", MirrorSyncMode::Full, "target1").job_id("backup4");
    tour.run(backup);
    let bad = tour.event(|_: &QuorumReportBad| true);
    assert_eq!(bad.node_name, "other");
    tour.event(|completed: &BlockJobCompleted| completed.device == "backup4");
}
