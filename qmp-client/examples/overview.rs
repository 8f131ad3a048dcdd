//! An overview of a VM, asynchronous.
//!
//! A dozen questions one after the other cost a dozen round trips, and on a loaded host each of
//! them waits for QEMU's main loop. Polled together, they are in flight together: QEMU answers
//! them in one go.
//!
//! A machine has not got everything. What it has not is an error of that one question, and is
//! looked at where it is used: the others are answered all the same.
//!
//! ```console
//! $ cargo run --example overview --features tokio -- unix:/run/vm.sock
//! ```

use std::error::Error;

use qmp_client::qmp::commands::{
    QueryBalloon, QueryBlock, QueryCpusFast, QueryJobs, QueryMemorySizeSummary, QueryMigrate,
    QueryName, QueryStatus, QueryUuid,
};
use qmp_client::qmp::types::{MigrationStatus, RunState};
use qmp_client::{Client, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: overview ADDRESS".into()) };
    run(address).await.map_err(|error| error.report())?;
    Ok(())
}

/// What there is to know at a glance.
#[derive(Debug)]
pub struct Overview {
    /// As given by `-name`.
    pub name: Option<String>,
    /// All zeros if it was given none.
    pub uuid: String,
    /// Whether it runs, or why it does not.
    pub status: RunState,
    /// How many there are.
    pub cpus: usize,
    /// In bytes, with what was plugged in.
    pub memory: u64,
    /// What the balloon leaves the guest, in bytes. Nothing without a balloon.
    pub balloon: Option<i64>,
    /// The devices with their images.
    pub disks: Vec<(String, Option<String>)>,
    /// Those that are not dismissed.
    pub jobs: Vec<String>,
    /// Nothing if there never was one.
    pub migration: Option<MigrationStatus>,
}

/// Asks everything at once.
pub async fn run(address: &str) -> Result<Overview> {
    let vm = Client::connect(address).await?;
    let (name, uuid, status, cpus, memory, balloon, disks, jobs, migration) = tokio::join!(
        vm.execute(QueryName::new()),
        vm.execute(QueryUuid::new()),
        vm.execute(QueryStatus::new()),
        // Not `query-cpus`: that one stopped each CPU, and is gone.
        vm.execute(QueryCpusFast::new()),
        vm.execute(QueryMemorySizeSummary::new()),
        vm.execute(QueryBalloon::new()),
        vm.execute(QueryBlock::new()),
        vm.execute(QueryJobs::new()),
        vm.execute(QueryMigrate::new()),
    );
    let memory = memory?;
    let disks = disks?.into_iter().map(|disk| {
        // A disk that was plugged in has no name of a drive, but the path of its device.
        let name = disk.qdev.filter(|_| disk.device.is_empty()).unwrap_or(disk.device);
        (name, disk.inserted.map(|inserted| inserted.file))
    });
    let overview = Overview {
        name: name?.name,
        uuid: uuid?.uuid,
        status: status?.status,
        cpus: cpus?.len(),
        memory: memory.base_memory + memory.plugged_memory.unwrap_or(0),
        balloon: match balloon {
            Ok(balloon) => Some(balloon.actual),
            // There is no balloon. The connection's end is no such answer.
            Err(error) if error.server().is_some() => None,
            Err(error) => return Err(error),
        },
        disks: disks.collect(),
        jobs: jobs?.into_iter().map(|job| format!("{} ({})", job.id, job.type_)).collect(),
        // Before the first migration there is no status; some releases say `none`.
        migration: migration?.status.filter(|status| *status != MigrationStatus::None),
    };
    println!("QEMU {}: {overview:#?}", vm.version());
    Ok(overview)
}
