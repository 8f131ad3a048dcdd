//! Takes an external snapshot of a disk, and commits it again.
//!
//! 1. `blockdev-snapshot-sync` puts an empty overlay on top of the disk, and the guest writes to the
//!    overlay from then on. The image below does not change any more: any program can copy it. The
//!    disk must have a device; otherwise, the overlay is unused and disappears at once.
//! 2. `block-commit` writes the overlay's contents back into the image. For the topmost image, this
//!    ends as a mirror does: the job becomes *ready*, and `job-complete` makes the guest use the
//!    image again. A commit of an image further down never becomes ready; it ends by itself.
//! 3. The overlay's node disappears by itself, and its file can be deleted.
//!
//! The job is followed by its events here, to show how that is done with `until` and `until_some`.
//! `run_job` does all of it in one call, as `mirror` and `stream` show.
//!
//! If this program is killed, the overlay stays in use, and these may be left:
//!
//! - the overlay `NODE-overlay`, which `block-commit` removes when the job below has been ended;
//! - the job `commit-NODE`, which `job-cancel` and `job-dismiss` end: a commit that is ready stays
//!   ready;
//! - the file `OVERLAY-FILE`, which has what the guest has written until the commit has completed.
//!
//! ```console
//! $ cargo run --example commit -- unix:/run/vm.sock disk0 /images/overlay.qcow2 \
//!     cp /images/disk0.qcow2 /backup/
//! ```

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    BlockCommit, BlockdevSnapshotSync, JobComplete, JobDismiss, QueryJobs,
};
use qmp_client::qmp::events::{BlockJobReady, JobStatusChange};
use qmp_client::qmp::types::JobStatus;
use qmp_client::{RawEvent, Result};

const PATIENCE: Duration = Duration::from_secs(60 * 60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, node, overlay, program, rest @ ..] = &arguments[..] else {
        return Err("usage: commit ADDRESS NODE OVERLAY-FILE COPY-COMMAND...".into());
    };
    let copy = || {
        let status = Command::new(program).args(rest).status();
        println!("{program}: {status:?}");
    };
    let failure = run(address, node, overlay, copy).map_err(|error| error.report())?;
    // The overlay must be kept while it is in use: it has what the guest has written.
    failure.map_or(Ok(()), |error| Err(format!("{overlay} is still in use: {error}").into()))
}

/// Calls `copy` between the snapshot and the commit. Returns why the commit failed, if it did: then
/// the overlay is still in use.
pub fn run(
    address: &str,
    node: &str,
    overlay: &str,
    copy: impl FnOnce(),
) -> Result<Option<String>> {
    let vm = Client::connect(address)?;
    let top = format!("{node}-overlay");
    let snapshot = BlockdevSnapshotSync::new(overlay)
        .node_name(node)
        .snapshot_node_name(top.as_str())
        .format("qcow2");
    vm.execute(snapshot)?;
    println!("the guest writes to {overlay}");
    copy();

    let job = format!("commit-{node}");
    let commit = BlockCommit::new(top)
        .base_node(node)
        .job_id(job.as_str())
        // Otherwise, the job disappears when it ends, and its error with it.
        .auto_dismiss(false);
    // A job that fails never becomes ready, so wait for either.
    let (_, is_ready) =
        vm.call(commit).within(PATIENCE).until_some(|event| ready_or_concluded(event, &job))?;
    if is_ready {
        println!("the image has everything that the overlay has");
        let concluded =
            |event: &JobStatusChange| event.id == job && event.status == JobStatus::Concluded;
        // The reply says that the job is going to complete, and the event that it has.
        vm.call(JobComplete::new(job.as_str())).within(PATIENCE).until(concluded)?;
    }
    let jobs = vm.execute(QueryJobs::new())?;
    let error = jobs.into_iter().find(|it| it.id == job).and_then(|it| it.error);
    vm.execute(JobDismiss::new(job))?;
    match &error {
        None => println!("the guest writes to {node} again; {overlay} can be deleted"),
        Some(error) => println!("the commit failed: {error}"),
    }
    Ok(error)
}

/// Returns whether the job is ready; `None` while it is neither ready nor concluded.
fn ready_or_concluded(event: &RawEvent, job: &str) -> Option<bool> {
    // In events of block jobs, the member `device` is the id of the job.
    if let Ok(Some(ready)) = event.decode::<BlockJobReady>() {
        return (ready.device == job).then_some(true);
    }
    let change = event.decode::<JobStatusChange>().ok()??;
    (change.id == job && change.status == JobStatus::Concluded).then_some(false)
}
