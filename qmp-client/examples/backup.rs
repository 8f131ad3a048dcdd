//! Backing up the disks of a running VM: everything the first time, afterwards what has changed.
//!
//! A bitmap on each disk records what is written. For each disk there is an image that was made
//! for it, with its size, and for a backup of the changes on top of the backup before:
//!
//! ```console
//! $ qemu-img create -f qcow2 monday.qcow2 20G
//! $ cargo run --example backup --features qga -- unix:/run/vm.sock - disk0 full monday.qcow2
//! $ qemu-img create -f qcow2 -b monday.qcow2 -F qcow2 tuesday.qcow2
//! $ cargo run --example backup --features qga -- unix:/run/vm.sock unix:/run/agent.sock \
//!     disk0 changes tuesday.qcow2
//! ```
//!
//! 1. The targets are opened, and each disk has a bitmap, before the guest is bothered.
//! 2. The guest agent, if there is one, freezes the file systems.
//! 3. One transaction begins all backups: they are of the same moment. Grouped, they succeed or
//!    fail together.
//! 4. The guest is thawed at once, whatever came of the transaction. The backup is of the moment in
//!    which it began; that it is copied takes as long as it takes.
//! 5. Each job is waited for by its own name, its error is read, and then it is dismissed, all of
//!    which `finish_jobs` does: without `auto-dismiss=false` it would be gone, its error with it.
//! 6. The targets are closed.
//!
//! `bitmap-mode=on-success` begins the bitmap anew if the backup succeeds, and leaves it as it was
//! if not: so after a failure the next attempt loses nothing. Only a bitmap that was made for a
//! first backup, which then failed, stands for no backup, and goes.

use std::error::Error;
use std::time::Duration;

use qmp_client::blocking::{Agent, Client, Frozen};
use qmp_client::qmp::commands::*;
use qmp_client::qmp::types::{
    ActionCompletionMode, BitmapSyncMode, BlockDirtyInfo, BlockdevBackup, BlockdevBackupWrapper,
    BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile, BlockdevOptionsQcow2,
    MirrorSyncMode, TransactionAction, TransactionProperties,
};
use qmp_client::{Request, Result};

const BITMAP: &str = "backup";
/// How long a job may take to end that is cancelled.
const ENDING: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, agent, node, what, target] = &arguments[..] else {
        return Err("usage: backup ADDRESS AGENT|- NODE full|changes IMAGE".into());
    };
    let agent = Some(agent.as_str()).filter(|agent| *agent != "-");
    let disk = Disk { node: node.clone(), target: target.clone(), changes: what == "changes" };
    let failures = run(address, agent, &[disk], Duration::from_secs(24 * 60 * 60));
    match &failures.map_err(|error| error.report())?[..] {
        [] => Ok(()),
        failures => Err(failures.join("; ").into()),
    }
}

/// What is backed up, and to where.
#[derive(Debug)]
pub struct Disk {
    /// The node of the disk, on which its device is.
    pub node: String,
    /// A qcow2 image, as QEMU sees it.
    pub target: String,
    /// Only what has changed since the backup before.
    pub changes: bool,
}

/// Why backups failed: nothing if they succeeded.
pub fn run(
    address: &str,
    agent: Option<&str>,
    disks: &[Disk],
    patience: Duration,
) -> Result<Vec<String>> {
    let mut vm = Client::connect(address)?;
    // The agent may be slow to answer: not while something waits for it.
    let mut guest = agent.map(Agent::connect).transpose()?;
    let (mut targets, mut bitmaps) = (Vec::new(), Vec::new());
    let done = prepare(&mut vm, disks, &mut targets, &mut bitmaps).and_then(|actions| {
        let thawed = begin(&mut vm, guest.as_mut(), actions)?;
        let failures = conclude(&mut vm, disks, patience)?;
        thawed.map(|()| failures)
    });
    for target in targets {
        clean_up(&mut vm, BlockdevDel::new(target));
    }
    if done.as_ref().is_ok_and(Vec::is_empty) {
        println!("backed up");
    } else {
        for node in bitmaps {
            clean_up(&mut vm, BlockDirtyBitmapRemove::new(node, BITMAP));
        }
    }
    done
}

fn prepare(
    vm: &mut Client,
    disks: &[Disk],
    targets: &mut Vec<String>,
    bitmaps: &mut Vec<String>,
) -> Result<Vec<TransactionAction>> {
    let nodes = vm.execute(QueryNamedBlockNodes::new().flat(true))?;
    let mut actions = Vec::new();
    for disk in disks {
        let node = nodes.iter().find(|node| node.node_name.as_ref() == Some(&disk.node));
        let found = node.and_then(|node| {
            node.dirty_bitmaps.iter().flatten().find(|it| it.name.as_deref() == Some(BITMAP))
        });
        // One that QEMU could not save, or that was switched off, has missed writes.
        let is_whole = |it: &&BlockDirtyInfo| !it.inconsistent.unwrap_or(false) && it.recording;
        let usable = found.filter(is_whole);
        if found.is_some() && usable.is_none() {
            vm.execute(BlockDirtyBitmapRemove::new(&*disk.node, BITMAP))?;
        }
        if usable.is_none() {
            // It outlives QEMU where the image has room for it.
            let persistent = node.is_some_and(|node| node.drv == "qcow2");
            let add = BlockDirtyBitmapAdd::new(&*disk.node, BITMAP).persistent(persistent);
            vm.execute(add)?;
            bitmaps.push(disk.node.clone());
        }
        let sync = match usable {
            Some(_) if disk.changes => MirrorSyncMode::Bitmap,
            // Without a bitmap there is no telling what has changed.
            _ => MirrorSyncMode::Full,
        };
        println!("{}: {sync}", disk.node);
        let target = format!("to-{}", disk.node);
        let file = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(&*disk.target));
        let image = BlockdevOptionsQcow2::new(BlockdevOptions::new(file));
        vm.execute(BlockdevAdd::new(BlockdevOptions::new(image).node_name(&*target)))?;
        targets.push(target.clone());
        let backup = BlockdevBackup::new(&*disk.node, sync, target)
            .job_id(job(disk))
            .bitmap(BITMAP)
            .bitmap_mode(BitmapSyncMode::OnSuccess)
            .auto_dismiss(false);
        actions.push(TransactionAction::BlockdevBackup(BlockdevBackupWrapper::new(backup)));
    }
    Ok(actions)
}

/// Whether the guest is thawed, if the backups have begun.
fn begin(
    vm: &mut Client,
    guest: Option<&mut Agent>,
    actions: Vec<TransactionAction>,
) -> Result<Result<()>> {
    let grouped = TransactionProperties::new().completion_mode(ActionCompletionMode::Grouped);
    // Dropped, it thaws; but then nobody hears that it could not.
    let frozen = guest.map(Agent::freeze).transpose()?;
    // A frozen guest stands still: better no backup than a long one.
    let transaction = Transaction::new(actions).properties(grouped);
    let begun = vm.execute_within(transaction, Duration::from_secs(30));
    let thawed = frozen.map_or(Ok(0), Frozen::thaw);
    if let Err(error) = &thawed {
        // Said at once: the jobs may take hours.
        eprintln!("THE GUEST MAY STILL BE FROZEN: {}", error.report());
    }
    begun.map(|_| thawed.map(|_| ()))
}

fn conclude(vm: &mut Client, disks: &[Disk], patience: Duration) -> Result<Vec<String>> {
    let jobs: Vec<String> = disks.iter().map(job).collect();
    let outcomes = match vm.finish_jobs(&jobs, patience) {
        // Of a group, all are cancelled with the first.
        Err(error) if error.is_timeout() => {
            jobs.iter().map(|job| vm.cancel_job(job, ENDING)).collect::<Result<_>>()?
        }
        outcomes => outcomes?,
    };
    let failed = disks.iter().zip(outcomes);
    Ok(failed.filter_map(|(disk, it)| Some(format!("{}: {}", disk.node, it.error?))).collect())
}

/// Jobs of all kinds share their names.
fn job(disk: &Disk) -> String {
    format!("backup-{}", disk.node)
}

fn clean_up<R: Request>(vm: &mut Client, command: R) {
    if let Err(error) = vm.execute(command) {
        eprintln!("left behind: {}", error.report());
    }
}
