//! Backs up the disks of a running VM: everything the first time, and afterwards only what has
//! changed.
//!
//! A dirty bitmap on each disk records what the guest writes. Each backup goes to an image that was
//! created for it, with the size of the disk. The image of an incremental backup is created on top
//! of that of the previous backup:
//!
//! ```console
//! $ qemu-img create -f qcow2 monday.qcow2 20G
//! $ cargo run --example backup --features qga -- unix:/run/vm.sock - disk0 full monday.qcow2
//! $ qemu-img create -f qcow2 -b monday.qcow2 -F qcow2 tuesday.qcow2
//! $ cargo run --example backup --features qga -- unix:/run/vm.sock unix:/run/agent.sock \
//!     disk0 changes tuesday.qcow2
//! ```
//!
//! 1. The targets are opened, and every disk gets a bitmap, before the guest notices anything.
//! 2. The guest agent, if the VM has one, freezes the guest's file systems.
//! 3. One transaction starts all backups, so that they show the same moment. The jobs are grouped:
//!    they succeed or fail together.
//! 4. The guest is thawed at once, whether or not the transaction succeeded. A backup shows the
//!    moment at which it started, however long the copying takes.
//! 5. `watch_jobs`, which was called before the transaction, waits for all jobs, and reports how each
//!    one ended. The jobs dismiss themselves, and an event tells their errors.
//! 6. The targets are closed.
//!
//! Whatever step fails, guards undo the earlier ones: the guest is thawed, the targets are closed,
//! and the bitmaps that this program added are removed.
//!
//! If this program is killed, no guard acts. A `ThawWatch` thaws the guest then, within a moment, and
//! jobs that have started go on to their end. These may be left in QEMU:
//!
//! - the bitmap `backup`, which `block-dirty-bitmap-remove` removes: unless it was there before, the
//!   next backup has to be a full one;
//! - the node `to-NODE`, which `blockdev-del` deletes when the job has ended.
//!
//! With `bitmap-mode=on-success`, QEMU clears the bitmap if the backup succeeds, and keeps it if the
//! backup fails, so that the next attempt copies what this one should have copied. Only a bitmap
//! that was added for a first backup is removed if that backup fails: no backup belongs to it.

use std::error::Error;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_client::blocking::{Client, Undo};
use qmp_client::qmp::commands::{
    BlockDirtyBitmapAdd, BlockDirtyBitmapRemove, BlockdevAdd, BlockdevDel, JobCancel,
    QueryNamedBlockNodes, Transaction,
};
use qmp_client::qmp::types::{
    ActionCompletionMode, BitmapSyncMode, BlockDeviceInfo, BlockDirtyInfo, BlockdevBackup,
    BlockdevBackupWrapper, BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile,
    BlockdevOptionsQcow2, MirrorSyncMode, TransactionAction, TransactionProperties,
};
use qmp_client::transport::Unix;
use qmp_client::{Options, Result, TransportError};
use qmp_vm::blocking::Agent;
use qmp_vm::{Jobs, ThawWatch, Workflows};

/// The name of the bitmap on every disk.
const BITMAP: &str = "backup";
/// The time that a cancelled job may take to end.
const ENDING: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, agent, node, kind, target] = &arguments[..] else {
        return Err("usage: backup ADDRESS AGENT|- NODE full|changes IMAGE".into());
    };
    let agent = Some(agent.as_str()).filter(|agent| *agent != "-");
    let disk = Disk { node: node.clone(), target: target.clone(), changes: kind == "changes" };
    let failures = run(address, agent, &[disk], Duration::from_secs(24 * 60 * 60));
    match &failures.map_err(|error| error.report())?[..] {
        [] => Ok(()),
        failures => Err(failures.join("; ").into()),
    }
}

/// A disk to back up.
#[derive(Debug)]
pub struct Disk {
    /// The node on which the disk's device is.
    pub node: String,
    /// The qcow2 image that receives the backup, by the name that QEMU opens.
    pub target: String,
    /// Whether to copy only what has changed since the previous backup.
    pub changes: bool,
}

/// A backup that is ready to start. Dropping it closes the target, and removes the bitmap if it is
/// a new one.
struct Prepared {
    action: TransactionAction,
    target: Undo<BlockdevDel>,
    new_bitmap: Option<Undo<BlockDirtyBitmapRemove>>,
}

/// The guest agent, and the connection to it.
struct Guest {
    connection: UnixStream,
    agent: Agent,
}

impl Guest {
    /// Connects to the agent. Its socket is opened here, since the shell that thaws the guest if this
    /// program is killed shares it.
    fn connect(address: &str) -> Result<Self> {
        let path = address.strip_prefix("unix:").unwrap_or(address);
        let failed = |error| TransportError::new(format!("cannot connect to {path}"), error);
        let connection = UnixStream::connect(path).map_err(failed)?;
        let transport = connection.try_clone().and_then(Unix::from_stream).map_err(failed)?;
        Ok(Self { connection, agent: Agent::over(transport, &Options::new())? })
    }
}

/// Backs up the disks, and returns why the backups failed; nothing if they succeeded.
pub fn run(
    address: &str,
    agent: Option<&str>,
    disks: &[Disk],
    patience: Duration,
) -> Result<Vec<String>> {
    let vm = Client::connect(address)?;
    // The agent may answer slowly, so connect to it before anything has to wait for it.
    let guest = agent.map(Guest::connect).transpose()?;
    let nodes = vm.execute(QueryNamedBlockNodes::new().flat(true))?;
    let prepared: Vec<Prepared> =
        disks.iter().map(|disk| prepare(&vm, &nodes, disk)).collect::<Result<_>>()?;

    let actions = prepared.iter().map(|backup| backup.action.clone()).collect();
    let mut jobs = vm.watch_jobs(disks.iter().map(job));
    let thawed = start(&vm, guest.as_ref(), actions)?;
    let failures = finish(&vm, &mut jobs, disks, patience)?;

    for Prepared { target, new_bitmap, .. } in prepared {
        if let Err(error) = target.run() {
            eprintln!("cannot close a target: {}", error.report());
        }
        // The bitmap belongs to a backup now.
        if let Some(bitmap) = new_bitmap.filter(|_| failures.is_empty()) {
            bitmap.disarm();
        }
    }
    thawed?;
    if failures.is_empty() {
        println!("backed up");
    }
    Ok(failures)
}

fn prepare(vm: &Client, nodes: &[BlockDeviceInfo], disk: &Disk) -> Result<Prepared> {
    let node = nodes.iter().find(|node| node.node_name.as_ref() == Some(&disk.node));
    let bitmap = node.and_then(|node| {
        node.dirty_bitmaps.iter().flatten().find(|it| it.name.as_deref() == Some(BITMAP))
    });
    // A bitmap that QEMU could not save, or that was disabled, has missed writes.
    let is_complete = |it: &&BlockDirtyInfo| !it.inconsistent.unwrap_or(false) && it.recording;
    let usable = bitmap.filter(is_complete).is_some();
    if bitmap.is_some() && !usable {
        vm.execute(BlockDirtyBitmapRemove::new(&*disk.node, BITMAP))?;
    }
    let new_bitmap = if usable {
        None
    } else {
        // A qcow2 image stores the bitmap, so that it outlives QEMU.
        let persistent = node.is_some_and(|node| node.drv == "qcow2");
        let add = BlockDirtyBitmapAdd::new(&*disk.node, BITMAP).persistent(persistent);
        let remove = BlockDirtyBitmapRemove::new(&*disk.node, BITMAP);
        Some(vm.call(add).execute_undoable(move |added| added.is_ok().then(|| remove.clone()))?.1)
    };
    let sync = match usable && disk.changes {
        true => MirrorSyncMode::Bitmap,
        // Without a bitmap, QEMU does not know what has changed.
        false => MirrorSyncMode::Full,
    };
    println!("{}: {sync}", disk.node);

    let name = format!("to-{}", disk.node);
    let file = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(&*disk.target));
    let image = BlockdevOptionsQcow2::new(BlockdevOptions::new(file));
    let open = BlockdevAdd::new(BlockdevOptions::new(image).node_name(&*name));
    let close = BlockdevDel::new(&*name);
    let undoable =
        vm.call(open).execute_undoable(move |opened| opened.is_ok().then(|| close.clone()));
    let (_, target) = undoable?;

    let backup = BlockdevBackup::new(&*disk.node, sync, name)
        .job_id(job(disk))
        .bitmap(BITMAP)
        .bitmap_mode(BitmapSyncMode::OnSuccess);
    let action = TransactionAction::BlockdevBackup(BlockdevBackupWrapper::new(backup));
    Ok(Prepared { action, target, new_bitmap })
}

/// Starts the backups while the guest is frozen. Returns whether the guest was thawed afterwards;
/// the outer result is that of the transaction.
fn start(
    vm: &Client,
    guest: Option<&Guest>,
    actions: Vec<TransactionAction>,
) -> Result<Result<()>> {
    let grouped = TransactionProperties::new().completion_mode(ActionCompletionMode::Grouped);
    // Guards do not act if this program is killed.
    let watch = guest.map(|guest| ThawWatch::start(&guest.connection)).transpose()?;
    // Dropping this guard would thaw the guest too, but could not report a failure to do so.
    let frozen = guest.map(|guest| guest.agent.freeze()).transpose()?;
    // A frozen guest cannot write: give up the backup rather than keep the guest waiting.
    let transaction = vm.call(Transaction::new(actions).properties(grouped));
    let started = transaction.within(Duration::from_secs(30)).execute();
    let thawed = frozen.map_or(Ok(true), |frozen| {
        let count = frozen.count();
        frozen.thaw().map(|thawed| thawed >= count)
    });
    drop(watch);
    match &thawed {
        Ok(true) => {}
        // Windows thaws by itself after ten seconds.
        Ok(false) => eprintln!("the guest was thawed early: its files may be inconsistent"),
        // Reported at once, since the jobs may take hours.
        Err(error) => eprintln!("THE GUEST MAY STILL BE FROZEN: {}", error.report()),
    }
    started.map(|_| thawed.map(|_| ()))
}

/// Waits for the jobs, and returns why they failed.
fn finish(
    vm: &Client,
    jobs: &mut Jobs<Client>,
    disks: &[Disk],
    patience: Duration,
) -> Result<Vec<String>> {
    let outcomes = match jobs.finish(patience) {
        // Cancelling one job of a group cancels all of them. They may have ended by themselves.
        Err(error) if error.is_timeout() => {
            for disk in disks.iter().take(1) {
                if let Err(error) = vm.execute(JobCancel::new(job(disk))) {
                    println!("{}", error.report());
                }
            }
            jobs.finish(ENDING)?
        }
        outcomes => outcomes?,
    };
    let outcomes = disks.iter().zip(outcomes);
    Ok(outcomes.filter_map(|(disk, it)| Some(format!("{}: {}", disk.node, it.error?))).collect())
}

/// Returns the id of a disk's job. Jobs of all kinds share one namespace.
fn job(disk: &Disk) -> String {
    format!("backup-{}", disk.node)
}
