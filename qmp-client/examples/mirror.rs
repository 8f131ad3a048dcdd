//! Moving a disk of a running VM to another image.
//!
//! The other image was made with the size of the disk (`qemu-img create -f qcow2 new.qcow2 20G`).
//!
//! 1. The target is opened as a node.
//! 2. `blockdev-mirror` copies the disk, and from then on every write goes to both. When both are
//!    the same, the job is *ready*, and goes on until somebody ends it: `job-complete` makes the
//!    guest use the target. `run_job` does that, and sees the job through to its dismissal.
//! 3. The node that lost its device is closed: the source after a success, else the target.
//!
//! A job is known by the `job-id` that it was given. Events of block jobs have it in their member
//! `device`, which is no device at all. With `auto-dismiss` left on, the job is gone when it is
//! over, and why it failed with it.
//!
//! A job that takes too long is cancelled, and may be over by then. So what counts is which node the
//! device has in the end, and that is looked at.
//!
//! ```console
//! $ cargo run --example mirror -- unix:/run/vm.sock disk0 disk0-new new.qcow2
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{BlockdevAdd, BlockdevDel, BlockdevMirror, QueryBlock};
use qmp_client::qmp::types::{
    BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile, BlockdevOptionsQcow2,
    MirrorSyncMode,
};
use qmp_client::{Request, Result};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, source, target, image] = &arguments[..] else {
        return Err("usage: mirror ADDRESS SOURCE-NODE TARGET-NODE IMAGE".into());
    };
    let patience = Duration::from_secs(24 * 60 * 60);
    let moved = run(address, source, target, image, patience);
    if !moved.map_err(|error| error.report())? {
        return Err("the disk is where it was".into());
    }
    Ok(())
}

/// Whether the disk has moved. Only one of the nodes is left.
pub fn run(
    address: &str,
    source: &str,
    target: &str,
    image: &str,
    patience: Duration,
) -> Result<bool> {
    let mut vm = Client::connect(address)?;
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
        // It never began.
        Err(error) if error.server().is_some() => println!("{}", error.report()),
        // It takes too long: the guest writes faster than the target does, or the target hangs.
        Err(error) if error.is_timeout() => {
            println!("cancelling the mirror");
            let _ = vm.cancel_job(&job, Duration::from_secs(60))?;
        }
        Err(error) => return Err(error),
    }

    let disks = vm.execute(QueryBlock::new())?;
    let mut nodes = disks.iter().filter_map(|disk| disk.inserted.as_ref()?.node_name.as_deref());
    let moved = nodes.any(|node| node == target);
    let unused = if moved { source } else { target };
    clean_up(&mut vm, BlockdevDel::new(unused));
    println!("the disk is on {}", if moved { target } else { source });
    Ok(moved)
}

fn clean_up<R: Request>(vm: &mut Client, command: R) {
    if let Err(error) = vm.execute(command) {
        eprintln!("left behind: {}", error.report());
    }
}
