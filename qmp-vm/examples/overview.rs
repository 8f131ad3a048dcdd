//! Prints an overview of a VM, with the asynchronous client.
//!
//! A dozen queries, one after the other, cost a dozen round trips, and on a busy host each of them
//! waits for QEMU's main loop. `send` submits a command and returns a ticket without waiting for the
//! reply, and `receive` waits for it. All queries are submitted before the first reply is awaited,
//! so the whole overview takes one round trip. The replies may be received in any order.
//!
//! A VM does not have every device. A query about a device that is missing fails on its own: the
//! error is handled where that reply is used, and the other queries are answered all the same.
//!
//! At most eight commands are in flight, which is what QEMU accepts before it stops reading. Further
//! ones are queued, and sent as replies arrive. The deadline of each begins at `send`.
//!
//! `overview_blocking` is the same program without `.await`. To wait for a few commands at once, an
//! asynchronous program can also use `tokio::join!`, as `hotplug_cpu` does.
//!
//! If this program is killed, nothing is left: it only asks.
//!
//! ```console
//! $ cargo run --example overview --features tokio -- unix:/run/vm.sock
//! ```

use std::error::Error;
use std::fmt;

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
    let overview = run(address).await.map_err(|error| error.report())?;
    println!("{overview}\n{overview:#?}");
    Ok(())
}

/// The state of a VM at a glance.
#[derive(Debug)]
pub struct Overview {
    /// The name that `-name` sets.
    pub name: Option<String>,
    /// The UUID that `-uuid` sets; all zeros by default.
    pub uuid: String,
    /// The run state, which says why a VM that does not run is stopped.
    pub status: RunState,
    /// The number of CPUs.
    pub cpus: usize,
    /// The memory in bytes, including what was plugged in.
    pub memory: u64,
    /// The bytes of memory that the balloon leaves to the guest; `None` without a balloon.
    pub balloon: Option<i64>,
    /// The disks and their images.
    pub disks: Vec<(String, Option<String>)>,
    /// The jobs that have not been dismissed.
    pub jobs: Vec<String>,
    /// The state of the last migration; `None` before the first one.
    pub migration: Option<MigrationStatus>,
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("unnamed");
        write!(f, "{name}: {}, {} CPUs, ", self.status, self.cpus)?;
        write!(f, "{} MiB of memory, ", self.memory >> 20)?;
        match self.balloon {
            Some(bytes) => write!(f, "{} MiB left by the balloon, ", bytes >> 20)?,
            None => f.write_str("no balloon, ")?,
        }
        write!(f, "{} disks", self.disks.len())
    }
}

/// Submits all queries, and then receives the replies.
pub async fn run(address: &str) -> Result<Overview> {
    let vm = Client::connect(address).await?;
    let name = vm.send(QueryName::new())?;
    let uuid = vm.send(QueryUuid::new())?;
    let status = vm.send(QueryStatus::new())?;
    // `query-cpus`, which older programs use, interrupted every CPU. It has been removed.
    let cpus = vm.send(QueryCpusFast::new())?;
    let memory = vm.send(QueryMemorySizeSummary::new())?;
    let balloon = vm.send(QueryBalloon::new())?;
    let disks = vm.send(QueryBlock::new())?;
    let jobs = vm.send(QueryJobs::new())?;
    let migration = vm.send(QueryMigrate::new())?;

    let memory = memory.receive().await?;
    let disks = disks.receive().await?.into_iter().map(|disk| {
        // A disk that was plugged in has no drive name; the path of its device identifies it.
        let name = disk.qdev.filter(|_| disk.device.is_empty()).unwrap_or(disk.device);
        (name, disk.inserted.map(|inserted| inserted.file))
    });
    let jobs = jobs.receive().await?.into_iter();
    Ok(Overview {
        name: name.receive().await?.name,
        uuid: uuid.receive().await?.uuid,
        status: status.receive().await?.status,
        cpus: cpus.receive().await?.len(),
        memory: memory.base_memory + memory.plugged_memory.unwrap_or(0),
        balloon: match balloon.receive().await {
            Ok(balloon) => Some(balloon.actual),
            // QEMU refuses if the VM has no balloon. Any other error is a failure of the program.
            Err(error) if error.server().is_some() => None,
            Err(error) => return Err(error),
        },
        disks: disks.collect(),
        jobs: jobs.map(|job| format!("{} ({})", job.id, job.type_)).collect(),
        // Before the first migration, the status is missing or `none`, depending on the release.
        migration: migration.receive().await?.status.filter(|it| *it != MigrationStatus::None),
    })
}
