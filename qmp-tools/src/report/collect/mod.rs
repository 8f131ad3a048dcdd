//! Collects the report: sends all queries at once, then receives their replies in order.

// `query-kvm` is deprecated, but every supported release has it.
#![allow(deprecated)]

pub(super) mod block;
mod display;
pub(super) mod graph;
mod live;
mod machine;
mod names;
mod network;
mod query;

use std::time::Duration;

use qmp_client::Error;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    HumanMonitorCommand, QomGet, QueryAccelerators, QueryBalloon, QueryBlock, QueryBlockExports,
    QueryBlockstats, QueryChardev, QueryCpusFast, QueryHotpluggableCpus, QueryIothreads, QueryJobs,
    QueryKvm, QueryMemorySizeSummary, QueryMice, QueryMigrate, QueryName, QueryNamedBlockNodes,
    QueryPci, QueryRxFilter, QuerySpice, QueryTarget, QueryUuid, QueryVnc, QueryVncServers,
    XDebugQueryBlockGraph, XQueryJit,
};

pub use live::{Live, live};

use super::model::{Chardev, IoThread, Kind, Memory, Mouse, Report};
use block::Block;
use query::Queries;

/// Queries a virtual machine or a storage daemon for everything that the report shows.
///
/// Most queries are sent before the first reply is awaited. Each has a deadline of `within`, and all
/// together take at most twice that time. A query that is
/// refused, not answered in time, or answered with something else than the schema says, costs only
/// its section, and the report names it.
///
/// # Errors
/// The connection fails, or not one query is answered before the deadline.
pub fn collect(vm: &Client, within: Duration) -> Result<Report, Error> {
    let mut queries = Queries::new(vm, within);
    let q = &mut queries;

    let name = q.ask(QueryName::new())?;
    let uuid = q.ask(QueryUuid::new())?;
    let status = q.ask_raw("query-status")?;
    let target = q.ask(QueryTarget::new())?;
    let machine = q.ask(QomGet::new("/machine", "type"))?;
    let accelerators = q.ask(QueryAccelerators::new())?;
    let kvm = q.ask(QueryKvm::new())?;
    let cpus = q.ask(QueryCpusFast::new())?;
    let pluggable = q.ask(QueryHotpluggableCpus::new())?;
    let memory = q.ask(QueryMemorySizeSummary::new())?;
    let balloon = q.ask(QueryBalloon::new())?;
    let block = q.ask(QueryBlock::new())?;
    let stats = q.ask(QueryBlockstats::new())?;
    let nodes = q.ask(QueryNamedBlockNodes::new().flat(true))?;
    let graph = q.ask(XDebugQueryBlockGraph::new())?;
    let exports = q.ask(QueryBlockExports::new())?;
    let jobs = q.ask(QueryJobs::new())?;
    let filters = q.ask(QueryRxFilter::new())?;
    let human = q.ask_as(HumanMonitorCommand::new("info network"), "info network")?;
    let containers = network::containers(q)?;
    let chardevs = q.ask(QueryChardev::new())?;
    let servers = q.ask(QueryVncServers::new())?;
    let vnc = q.attempt(QueryVnc::new(), "")?;
    let spice = q.ask(QuerySpice::new())?;
    let mice = q.ask(QueryMice::new())?;
    let pci = q.ask(QueryPci::new())?;
    let iothreads = q.ask(QueryIothreads::new())?;
    let migration = q.ask(QueryMigrate::new())?;

    let name = q.answer(name)?.and_then(|info| info.name);
    let uuid = q.answer(uuid)?.map(|info| info.uuid).filter(|uuid| !machine::is_zero(uuid));
    let status = q.answer(status)?;
    let target = q.answer(target)?.map(|info| info.arch.to_string());
    let machine = q.answer(machine)?;
    let accelerators = q.answer(accelerators)?.map(|info| info.enabled.to_string());
    let kvm = q.answer(kvm)?.is_some_and(|kvm| kvm.enabled);
    let cpus: Vec<_> = q.answer(cpus)?.iter().flatten().map(machine::cpu).collect();
    let pluggable_cpus = q.answer(pluggable)?.map(|slots| machine::pluggable(&slots));
    let memory = q.answer(memory)?;
    let balloon = q.answer(balloon)?.map(|info| info.actual);
    let memory = memory.map(|memory| Memory {
        base: memory.base_memory,
        plugged: memory.plugged_memory,
        balloon,
    });
    let (devices, stats) = (q.answer(block)?, q.answer(stats)?);
    let (nodes, graph) = (q.answer(nodes)?, q.answer(graph)?);
    let block = Block::new(
        devices.unwrap_or_default(),
        stats.unwrap_or_default(),
        nodes.unwrap_or_default(),
        graph.as_ref(),
    );
    let exports = q.answer(exports)?;
    let kind = match (&status, &exports) {
        (None, Some(_)) if q.lacks("query-status") => Kind::StorageDaemon,
        _ => Kind::Machine,
    };
    let jobs = q.answer(jobs)?.unwrap_or_default();
    let filters = q.answer(filters)?.unwrap_or_default();
    let human = q.answer(human)?.unwrap_or_default();
    let chardevs = q.answer(chardevs)?.unwrap_or_default();
    let servers = q.answer(servers)?.map(display::vnc_servers);
    let vnc = q.answer(vnc)?.and_then(display::vnc);
    let spice = q.answer(spice)?.and_then(display::spice);
    let mice = q.answer(mice)?.unwrap_or_default();
    let pci = q.answer(pci)?.unwrap_or_default();
    let iothreads = q.answer(iothreads)?.unwrap_or_default();
    let migration = q.answer(migration)?.and_then(machine::migration);
    let cards = network::devices(q, containers)?;
    let accelerator = accelerator(q, accelerators, kvm)?;
    q.check()?;

    Ok(Report {
        kind,
        name,
        uuid,
        version: vm.version().to_string(),
        state: status.as_ref().and_then(machine::state),
        target,
        machine: machine.and_then(|name| name.as_str().map(names::machine)),
        accelerator,
        cpus,
        pluggable_cpus,
        memory,
        nodes: block.other_nodes(),
        bitmaps: block.bitmaps(),
        block: block.devices(),
        exports: exports.unwrap_or_default().into_iter().map(block::export).collect(),
        network: network::merge(cards, &filters, &human),
        chardevs: chardevs
            .into_iter()
            .map(|c| Chardev { label: c.label, backend: c.filename, open: c.frontend_open })
            .collect(),
        displays: servers
            .unwrap_or_else(|| vnc.into_iter().collect())
            .into_iter()
            .chain(spice)
            .collect(),
        mice: mice
            .into_iter()
            .map(|m| Mouse { name: m.name, current: m.current, absolute: m.absolute })
            .collect(),
        pci: machine::pci_functions(&pci),
        iothreads: iothreads
            .into_iter()
            .map(|thread| IoThread { id: thread.id, thread: thread.thread_id })
            .collect(),
        jobs: jobs.into_iter().map(block::job).collect(),
        migration,
        refused: queries.refused,
        unanswered: queries.unanswered,
        undecodable: queries.undecodable,
        unsupported: queries.unsupported,
    })
}

/// Returns the accelerator. Releases before 11.0 tell only whether it is KVM; that it is TCG is told
/// by a command that fails with any other.
fn accelerator(
    queries: &mut Queries<'_>,
    told: Option<String>,
    kvm: bool,
) -> Result<Option<String>, Error> {
    if told.is_some() || !queries.lacks("query-accelerators") {
        return Ok(told);
    }
    if kvm {
        return Ok(Some(String::from("kvm")));
    }
    if !queries.goes_on() {
        return Ok(None);
    }
    let jit = queries.attempt(XQueryJit::new(), "")?;
    Ok(queries.answer(jit)?.map(|_| String::from("tcg")))
}
