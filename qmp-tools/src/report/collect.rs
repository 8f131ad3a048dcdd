//! Collects the report: sends all queries at once, then receives their replies in order.

// `query-kvm` is deprecated, but every supported release has it.
#![allow(deprecated)]

use std::collections::HashMap;

use qmp_client::blocking::{Client, Ticket};
use qmp_client::qmp::commands::{
    QomGet, QueryBalloon, QueryBlock, QueryBlockstats, QueryChardev, QueryCpusFast,
    QueryHotpluggableCpus, QueryIothreads, QueryJobs, QueryKvm, QueryMemorySizeSummary, QueryMice,
    QueryMigrate, QueryName, QueryNamedBlockNodes, QueryPci, QueryRxFilter, QuerySpice,
    QueryStatus, QueryTarget, QueryUuid, QueryVersion, QueryVnc,
};
use qmp_client::qmp::types::{
    BlockDeviceInfo, BlockInfo, BlockStats, CpuInfoFast, CpuInstanceProperties, JobInfo,
    MigrationInfo, PciDeviceInfo, PciInfo, SpiceInfo, VncInfo,
};
use qmp_client::{Error, Version};
use serde::de::DeserializeOwned;

use super::{
    BlockDevice, Chardev, Cpu, Display, Image, IoThread, Job, Memory, Migration, Mouse, Nic,
    PciFunction, Report,
};

/// Queries a virtual machine for everything that the report shows.
///
/// All queries are sent before the first reply is awaited. A query that the machine answers with
/// an error is left out of the report.
///
/// # Errors
/// Returns an error if the connection fails, or if a reply cannot be decoded.
pub fn collect(vm: &Client) -> Result<Report, Error> {
    let version = vm.send(QueryVersion::new())?;
    let name = vm.send(QueryName::new())?;
    let uuid = vm.send(QueryUuid::new())?;
    let status = vm.send(QueryStatus::new())?;
    let target = vm.send(QueryTarget::new())?;
    let machine = vm.send(QomGet::new("/machine", "type"))?;
    let kvm = vm.send(QueryKvm::new())?;
    let cpus = vm.send(QueryCpusFast::new())?;
    let pluggable = vm.send(QueryHotpluggableCpus::new())?;
    let memory = vm.send(QueryMemorySizeSummary::new())?;
    let balloon = vm.send(QueryBalloon::new())?;
    let block = vm.send(QueryBlock::new())?;
    let stats = vm.send(QueryBlockstats::new())?;
    let nodes = vm.send(QueryNamedBlockNodes::new().flat(true))?;
    let filters = vm.send(QueryRxFilter::new())?;
    let chardevs = vm.send(QueryChardev::new())?;
    let vnc = vm.send(QueryVnc::new())?;
    let spice = vm.send(QuerySpice::new())?;
    let mice = vm.send(QueryMice::new())?;
    let pci = vm.send(QueryPci::new())?;
    let iothreads = vm.send(QueryIothreads::new())?;
    let jobs = vm.send(QueryJobs::new())?;
    let migration = vm.send(QueryMigrate::new())?;

    let version = version.receive()?;
    let version = Version::new(version.qemu, version.package);
    let name = answer(name)?.and_then(|info| info.name);
    let uuid = answer(uuid)?.map(|info| info.uuid).filter(|uuid| !is_zero(uuid));
    let state = answer(status)?.map(|info| info.status.to_string());
    let target = answer(target)?.map(|info| info.arch.to_string());
    let machine = answer(machine)?.and_then(|name| name.as_str().map(machine_name));
    let accelerator = answer(kvm)?.map(|kvm| if kvm.enabled { "kvm" } else { "tcg" });
    let cpus: Vec<Cpu> = answer(cpus)?.iter().flatten().map(cpu).collect();
    let pluggable = answer(pluggable)?.map(|slots| {
        slots.iter().filter(|slot| slot.qom_path.is_none()).map(|slot| slot.vcpus_count).sum()
    });
    let memory = answer(memory)?;
    let balloon = answer(balloon)?.map(|info| info.actual);
    let memory = memory.map(|memory| Memory {
        base: memory.base_memory,
        plugged: memory.plugged_memory,
        balloon,
    });
    let block = answer(block)?.unwrap_or_default();
    let stats = answer(stats)?.unwrap_or_default();
    let nodes = answer(nodes)?.unwrap_or_default();
    let network = answer(filters)?.unwrap_or_default();
    let chardevs = answer(chardevs)?.unwrap_or_default();
    let vnc = answer(vnc)?.and_then(vnc_display);
    let spice = answer(spice)?.and_then(spice_display);
    let mice = answer(mice)?.unwrap_or_default();
    let pci = answer(pci)?.unwrap_or_default();
    let iothreads = answer(iothreads)?.unwrap_or_default();
    let jobs = answer(jobs)?.unwrap_or_default();
    let migration = answer(migration)?.and_then(migration_of);

    Ok(Report {
        name,
        uuid,
        version: version.to_string(),
        state,
        target,
        machine,
        accelerator: accelerator.map(str::to_owned).filter(|_| !cpus.is_empty()),
        cpus,
        pluggable_cpus: pluggable,
        memory,
        nodes: other_nodes(&block, &nodes),
        block: block_devices(&block, &stats),
        network: network
            .into_iter()
            .map(|nic| Nic { name: nic.name, mac: nic.main_mac, promiscuous: nic.promiscuous })
            .collect(),
        chardevs: chardevs
            .into_iter()
            .map(|c| Chardev { label: c.label, backend: c.filename, open: c.frontend_open })
            .collect(),
        displays: vnc.into_iter().chain(spice).collect(),
        mice: mice
            .into_iter()
            .map(|m| Mouse { name: m.name, current: m.current, absolute: m.absolute })
            .collect(),
        pci: pci_functions(&pci),
        iothreads: iothreads
            .into_iter()
            .map(|thread| IoThread { id: thread.id, thread: thread.thread_id })
            .collect(),
        jobs: jobs.into_iter().map(job).collect(),
        migration,
    })
}

/// Returns the reply to a query, or `None` if the machine answered with an error.
fn answer<T: DeserializeOwned>(query: Ticket<T>) -> Result<Option<T>, Error> {
    match query.receive() {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_zero(uuid: &str) -> bool {
    uuid.bytes().all(|b| matches!(b, b'0' | b'-'))
}

/// Returns a machine's name, given its object type: the name followed by `-machine`.
fn machine_name(object_type: &str) -> String {
    object_type.strip_suffix("-machine").unwrap_or(object_type).to_owned()
}

fn cpu(info: &CpuInfoFast) -> Cpu {
    Cpu {
        index: info.cpu_index,
        thread: info.thread_id,
        place: info.props.as_ref().map(place).unwrap_or_default(),
    }
}

fn place(props: &CpuInstanceProperties) -> String {
    let parts = [
        ("node", props.node_id),
        ("drawer", props.drawer_id),
        ("book", props.book_id),
        ("socket", props.socket_id),
        ("die", props.die_id),
        ("cluster", props.cluster_id),
        ("module", props.module_id),
        ("core", props.core_id),
        ("thread", props.thread_id),
    ];
    let parts = parts.iter().filter_map(|(name, id)| id.map(|id| format!("{name} {id}")));
    parts.collect::<Vec<_>>().join(", ")
}

fn block_devices(devices: &[BlockInfo], stats: &[BlockStats]) -> Vec<BlockDevice> {
    let stats: HashMap<_, _> = stats
        .iter()
        .filter_map(|stats| Some((device_name(stats.device.as_deref(), &stats.qdev)?, stats)))
        .collect();
    devices
        .iter()
        .map(|device| {
            let name = device_name(Some(&device.device), &device.qdev).unwrap_or_default();
            let stats = stats.get(&name).map(|stats| &stats.stats);
            BlockDevice {
                removable: device.removable,
                locked: device.locked,
                io_status: device.io_status.as_ref().map(ToString::to_string),
                image: device.inserted.as_ref().map(image),
                read: stats.map(|stats| stats.rd_bytes),
                written: stats.map(|stats| stats.wr_bytes),
                name,
            }
        })
        .collect()
}

/// Returns a block device's name: its `device`, or its QOM path if that is empty, as it is for
/// devices on a `-blockdev` node.
fn device_name(device: Option<&str>, qdev: &Option<String>) -> Option<String> {
    device.filter(|name| !name.is_empty()).or(qdev.as_deref()).map(str::to_owned)
}

fn image(info: &BlockDeviceInfo) -> Image {
    Image {
        node: info.node_name.clone(),
        file: info.file.clone(),
        format: info.drv.clone(),
        size: info.image.virtual_size,
        on_disk: info.image.actual_size,
        read_only: info.ro,
        encrypted: info.encrypted,
        backing: info.backing_file.clone(),
    }
}

/// Returns the named nodes that belong to no device, except those that QEMU named itself.
fn other_nodes(devices: &[BlockInfo], nodes: &[BlockDeviceInfo]) -> Vec<Image> {
    let shown: Vec<&String> =
        devices.iter().filter_map(|device| device.inserted.as_ref()?.node_name.as_ref()).collect();
    let is_other = |node: &&BlockDeviceInfo| {
        node.node_name.as_ref().is_some_and(|name| !name.starts_with('#') && !shown.contains(&name))
    };
    nodes.iter().filter(is_other).map(image).collect()
}

fn vnc_display(info: VncInfo) -> Option<Display> {
    let (host, service) = (info.host?, info.service?);
    info.enabled.then(|| Display {
        protocol: String::from("vnc"),
        address: host_and_port(&host, &service),
        clients: info.clients.unwrap_or_default().len(),
    })
}

fn spice_display(info: SpiceInfo) -> Option<Display> {
    let port = info.tls_port.or(info.port)?;
    let channels = info.channels.unwrap_or_default();
    let mut connections: Vec<i64> = channels.iter().map(|c| c.connection_id).collect();
    connections.sort_unstable();
    connections.dedup();
    info.enabled.then(|| Display {
        protocol: String::from("spice"),
        address: host_and_port(&info.host.unwrap_or_default(), &port.to_string()),
        clients: connections.len(),
    })
}

fn host_and_port(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn pci_functions(buses: &[PciInfo]) -> Vec<PciFunction> {
    let mut functions = Vec::new();
    let mut todo: Vec<&PciDeviceInfo> =
        buses.iter().rev().flat_map(|bus| bus.devices.iter().rev()).collect();
    while let Some(device) = todo.pop() {
        let class = device.class_info.desc.clone();
        functions.push(PciFunction {
            address: format!("{:02x}:{:02x}.{:x}", device.bus, device.slot, device.function),
            id: format!("{:04x}:{:04x}", device.id.vendor, device.id.device),
            class: class.unwrap_or_else(|| format!("class {:#06x}", device.class_info.class)),
            device: device.qdev_id.clone(),
        });
        let bridged = device.pci_bridge.iter().filter_map(|bridge| bridge.devices.as_ref());
        todo.extend(bridged.flat_map(|devices| devices.iter().rev()));
    }
    functions
}

fn job(info: JobInfo) -> Job {
    let whole = info.total_progress;
    Job {
        id: info.id,
        kind: info.type_.to_string(),
        status: info.status.to_string(),
        progress: (whole > 0).then(|| info.current_progress as f64 / whole as f64),
        error: info.error,
    }
}

fn migration_of(info: MigrationInfo) -> Option<Migration> {
    let status = info.status?.to_string();
    Some(Migration {
        status: Some(status).filter(|status| status != "none")?,
        transferred: info.ram.as_ref().map(|ram| ram.transferred),
        remaining: info.ram.as_ref().map(|ram| ram.remaining),
        error: info.error_desc,
    })
}
