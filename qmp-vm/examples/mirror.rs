//! Moves a disk of a running VM to another image.
//!
//! The other image was created with the size of the disk
//! (`qemu-img create -f qcow2 new.qcow2 20G`).
//!
//! 1. The target is opened as a node.
//! 2. `blockdev-mirror` copies the disk, and from then on every write goes to both images. When both
//!    have the same contents, the job is *ready*, and goes on until it is completed: `job-complete`
//!    makes the guest use the target. `run_job` does that, and follows the job until it can be
//!    dismissed.
//! 3. The node that is unused now is closed: the source after success, otherwise the target.
//!
//! A job is identified by its `job-id`. In events of block jobs, the id is the member `device`, which
//! is not a device at all. Unless `auto-dismiss` is false, the job disappears when it ends, and its
//! error with it.
//!
//! A job that takes too long is cancelled, and may have completed just before. So what counts is the
//! node that the device has in the end, and QEMU is asked for that.
//!
//! If this program is killed, these may be left in QEMU:
//!
//! - the job `mirror-SOURCE-NODE`, which `job-cancel` and `job-dismiss` end: a mirror that is ready
//!   stays ready, and copies every write;
//! - the node `TARGET-NODE`, which `blockdev-del` deletes when the job has been ended. If the disk
//!   uses it already, `SOURCE-NODE` is left instead; `query-block` tells.
//!
//! ```console
//! $ cargo run --example mirror -- unix:/run/vm.sock disk0 disk0-new new.qcow2
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{BlockdevAdd, BlockdevDel, BlockdevMirror, QueryBlock};
use qmp_client::qmp::types::{
    BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile, BlockdevOptionsQcow2,
    MirrorSyncMode,
};
use qmp_vm::Workflows;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, source, target, image] = &arguments[..] else {
        return Err("usage: mirror ADDRESS SOURCE-NODE TARGET-NODE IMAGE".into());
    };
    let patience = Duration::from_secs(24 * 60 * 60);
    let moved = run(address, source, target, image, patience);
    if !moved.map_err(|error| error.report())? {
        return Err("the disk was not moved".into());
    }
    Ok(())
}

/// Moves the disk, and returns whether it was moved. Only one of the nodes is left.
pub fn run(
    address: &str,
    source: &str,
    target: &str,
    image: &str,
    patience: Duration,
) -> Result<bool> {
    let vm = Client::connect(address)?;
    let file = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(image));
    let qcow2 = BlockdevOptionsQcow2::new(BlockdevOptions::new(file));
    vm.execute(BlockdevAdd::new(BlockdevOptions::new(qcow2).node_name(target)))?;

    let job = format!("mirror-{source}");
    let mirror = BlockdevMirror::new(source, target, MirrorSyncMode::Full)
        .job_id(job.as_str())
        .auto_dismiss(false);
    match vm.run_job(mirror, &job, patience) {
        Ok(outcome) => match outcome.error {
            Some(error) => println!("the mirror failed: {error}"),
            None => println!("the mirror is complete"),
        },
        // QEMU refused to start the job.
        Err(error) if error.server().is_some() => println!("{}", error.report()),
        // The guest writes faster than the target can, or the target hangs.
        Err(error) if error.is_timeout() => {
            println!("cancelling the mirror: {}", error.report());
            let _ = vm.cancel_job(&job, Duration::from_secs(60))?;
        }
        Err(error) => return Err(error),
    }

    let disks = vm.execute(QueryBlock::new())?;
    let mut nodes = disks.iter().filter_map(|disk| disk.inserted.as_ref()?.node_name.as_deref());
    let moved = nodes.any(|node| node == target);
    let (used, unused) = if moved { (target, source) } else { (source, target) };
    if let Err(error) = vm.execute(BlockdevDel::new(unused)) {
        eprintln!("cannot close {unused}: {}", error.report());
    }
    println!("the disk uses {used}");
    Ok(moved)
}
