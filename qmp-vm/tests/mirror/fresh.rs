//! The answers of a machine that is asked for everything anew, compared with a view.

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    QomList, QueryBalloon, QueryBlock, QueryBlockExports, QueryBlockJobs, QueryChardev,
    QueryHotpluggableCpus, QueryIothreads, QueryJobs, QueryMemdev, QueryMemoryDevices,
    QueryMemorySizeSummary, QueryMigrate, QueryNamedBlockNodes, QueryPci, QueryStatus,
    XDebugQueryBlockGraph,
};
use qmp_client::qmp::types::{
    BalloonInfo, BlockDeviceInfo, BlockExportInfo, BlockInfo, BlockJobInfo, ChardevInfo,
    HotpluggableCPU, IOThreadInfo, JobInfo, Memdev, MemoryDeviceInfo, MemoryInfo, MigrationInfo,
    ObjectPropertyInfo, PciInfo, StatusInfo, XDbgBlockGraph,
};
use qmp_client::{Command, Error, Result};
use qmp_vm::mirror::{Part, View};

/// The answers to the queries of a mirror, each by a call of its own. `None` for what is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Fresh {
    pub status: Option<StatusInfo>,
    pub migration: Option<MigrationInfo>,
    pub jobs: Option<Vec<JobInfo>>,
    pub block_jobs: Option<Vec<BlockJobInfo>>,
    pub nodes: Option<Vec<BlockDeviceInfo>>,
    pub graph: Option<XDbgBlockGraph>,
    pub drives: Option<Vec<BlockInfo>>,
    pub exports: Option<Vec<BlockExportInfo>>,
    pub devices: Option<Vec<ObjectPropertyInfo>>,
    pub unnamed_devices: Option<Vec<ObjectPropertyInfo>>,
    pub pci: Option<Vec<PciInfo>>,
    pub cpus: Option<Vec<HotpluggableCPU>>,
    pub objects: Option<Vec<ObjectPropertyInfo>>,
    pub memory_backends: Option<Vec<Memdev>>,
    pub io_threads: Option<Vec<IOThreadInfo>>,
    pub memory_size: Option<MemoryInfo>,
    pub memory_devices: Option<Vec<MemoryDeviceInfo>>,
    pub balloon: Option<BalloonInfo>,
    pub chardevs: Option<Vec<ChardevInfo>>,
}

fn ask<C: Command>(client: &Client, command: C) -> Result<Option<C::Return>> {
    match client.execute(command) {
        Ok(value) => Ok(Some(value)),
        Err(Error::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn children(client: &Client, path: &str) -> Result<Option<Vec<ObjectPropertyInfo>>> {
    let mut list = ask(client, QomList::new(path))?;
    if let Some(list) = &mut list {
        list.retain(|property| property.type_.starts_with("child<"));
        list.sort_by(|one, other| one.name.cmp(&other.name));
    }
    Ok(list)
}

pub fn fresh(client: &Client) -> Result<Fresh> {
    Ok(Fresh {
        status: ask(client, QueryStatus::new())?,
        migration: ask(client, QueryMigrate::new())?,
        jobs: ask(client, QueryJobs::new())?,
        block_jobs: ask(client, QueryBlockJobs::new())?,
        nodes: ask(client, QueryNamedBlockNodes::new().flat(true))?,
        graph: ask(client, XDebugQueryBlockGraph::new())?,
        drives: ask(client, QueryBlock::new().flat(true))?,
        exports: ask(client, QueryBlockExports::new())?,
        devices: children(client, "/machine/peripheral")?,
        unnamed_devices: children(client, "/machine/peripheral-anon")?,
        pci: ask(client, QueryPci::new())?,
        cpus: ask(client, QueryHotpluggableCpus::new())?,
        objects: children(client, "/objects")?,
        memory_backends: ask(client, QueryMemdev::new())?,
        io_threads: ask(client, QueryIothreads::new())?,
        memory_size: ask(client, QueryMemorySizeSummary::new())?,
        memory_devices: ask(client, QueryMemoryDevices::new())?,
        balloon: ask(client, QueryBalloon::new())?,
        chardevs: ask(client, QueryChardev::new())?,
    })
}

/// Returns the parts in which a view differs from fresh answers, with both values.
pub fn differences(view: &View, fresh: &Fresh) -> Vec<(Part, String)> {
    let mut list = Vec::new();
    macro_rules! compare {
        ($($part:ident: $have:expr, $want:expr;)*) => {
            $(if $have != $want {
                let text = format!("mirror: {:?}\nfresh: {:?}", $have, $want);
                list.push((Part::$part, text));
            })*
        };
    }
    compare! {
        Status: view.status(), fresh.status.as_ref();
        Migration: view.migration(), fresh.migration.as_ref();
        Jobs: view.jobs(), fresh.jobs.as_deref();
        BlockJobs: view.block_jobs(), fresh.block_jobs.as_deref();
        Nodes: view.nodes(), fresh.nodes.as_deref();
        Graph: view.graph(), fresh.graph.as_ref();
        Drives: view.drives(), fresh.drives.as_deref();
        Exports: view.exports(), fresh.exports.as_deref();
        Devices: view.devices(), fresh.devices.as_deref();
        UnnamedDevices: view.unnamed_devices(), fresh.unnamed_devices.as_deref();
        Pci: view.pci(), fresh.pci.as_deref();
        Cpus: view.cpus(), fresh.cpus.as_deref();
        Objects: view.objects(), fresh.objects.as_deref();
        MemoryBackends: view.memory_backends(), fresh.memory_backends.as_deref();
        IoThreads: view.io_threads(), fresh.io_threads.as_deref();
        MemorySize: view.memory_size(), fresh.memory_size.as_ref();
        MemoryDevices: view.memory_devices(), fresh.memory_devices.as_deref();
        Balloon: view.balloon(), fresh.balloon.as_ref();
        Chardevs: view.chardevs(), fresh.chardevs.as_deref();
    }
    list
}
