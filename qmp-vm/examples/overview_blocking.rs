//! Prints an overview of a VM, with the blocking client.
//!
//! This is `overview` without `.await`. `send` submits a command and returns a ticket without
//! waiting for the reply, and `receive` waits for it. All queries are submitted before the first
//! reply is awaited, so the whole overview takes one round trip, without threads.
//!
//! If this program is killed, nothing is left: it only asks.
//!
//! ```console
//! $ cargo run --example overview_blocking -- unix:/run/vm.sock
//! ```

use std::error::Error;
use std::fmt;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    QueryBalloon, QueryBlock, QueryCpusFast, QueryJobs, QueryMemorySizeSummary, QueryMigrate,
    QueryName, QueryStatus, QueryUuid,
};
use qmp_client::qmp::types::{MigrationStatus, RunState};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: overview_blocking ADDRESS".into()) };
    let overview = run(address).map_err(|error| error.report())?;
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
pub fn run(address: &str) -> Result<Overview> {
    let vm = Client::connect(address)?;
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

    let memory = memory.receive()?;
    let disks = disks.receive()?.into_iter().map(|disk| {
        // A disk that was plugged in has no drive name; the path of its device identifies it.
        let name = disk.qdev.filter(|_| disk.device.is_empty()).unwrap_or(disk.device);
        (name, disk.inserted.map(|inserted| inserted.file))
    });
    let jobs = jobs.receive()?.into_iter();
    Ok(Overview {
        name: name.receive()?.name,
        uuid: uuid.receive()?.uuid,
        status: status.receive()?.status,
        cpus: cpus.receive()?.len(),
        memory: memory.base_memory + memory.plugged_memory.unwrap_or(0),
        balloon: match balloon.receive() {
            Ok(balloon) => Some(balloon.actual),
            // QEMU refuses if the VM has no balloon. Any other error is a failure of the program.
            Err(error) if error.server().is_some() => None,
            Err(error) => return Err(error),
        },
        disks: disks.collect(),
        jobs: jobs.map(|job| format!("{} ({})", job.id, job.type_)).collect(),
        // Before the first migration, the status is missing or `none`, depending on the release.
        migration: migration.receive()?.status.filter(|it| *it != MigrationStatus::None),
    })
}
