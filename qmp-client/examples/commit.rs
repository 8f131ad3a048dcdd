//! An external snapshot, and its end: what was written meanwhile is committed to the disk.
//!
//! 1. `blockdev-snapshot-sync` puts an empty overlay above the disk, and the guest writes there.
//!    The image below does not change any more: it can be copied with any program. The disk must
//!    have a device: an overlay that nobody uses is gone at once.
//! 2. `block-commit` writes the overlay down into the image. For the topmost image that ends as a
//!    mirror does: the job gets *ready*, and `job-complete` makes the guest use the image below
//!    again. A commit of images further down never gets ready: it is over when it is.
//! 3. The overlay's node goes by itself; its file can be deleted.
//!
//! This is written out with its events here. `Client::run_job` has all of it in one call, as
//! `mirror` and `stream` show.
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
    // While it is in use, the overlay must stay: it has what the guest wrote.
    failure.map_or(Ok(()), |error| Err(format!("{overlay} is still in use: {error}").into()))
}

/// Why the commit failed, if it did: then the overlay is still in use.
pub fn run(
    address: &str,
    node: &str,
    overlay: &str,
    copy: impl FnOnce(),
) -> Result<Option<String>> {
    let mut vm = Client::connect(address)?;
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
        // Or else the job is gone when it is over, and its error with it.
        .auto_dismiss(false);
    // A job that fails never gets ready: either will do.
    let (_, is_ready) =
        vm.call(commit).within(PATIENCE).until_some(|event| ready_or_concluded(event, &job))?;
    if is_ready {
        println!("both are the same");
        let concluded =
            |event: &JobStatusChange| event.id == job && event.status == JobStatus::Concluded;
        // The reply says that it will be done, the event that it is.
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

/// Whether the job is ready; nothing as long as it is neither that nor over.
fn ready_or_concluded(event: &RawEvent, job: &str) -> Option<bool> {
    // `device` is the name of the job.
    if let Ok(Some(ready)) = event.decode::<BlockJobReady>() {
        return (ready.device == job).then_some(true);
    }
    let change = event.decode::<JobStatusChange>().ok()??;
    (change.id == job && change.status == JobStatus::Concluded).then_some(false)
}
