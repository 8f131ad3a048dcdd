//! Collects the report: sends most queries at once, then receives their replies in order. Each part
//! of the report has a file, in which `ask` sends its queries, and `answer` makes the part of the replies.

pub(super) mod block;
mod display;
pub(super) mod graph;
mod live;
mod machine;
mod names;
mod network;
mod peripherals;
mod query;

use std::time::Duration;

use qmp_client::Error;
use qmp_client::blocking::Client;

pub use live::{Live, live};

use super::model::{Kind, Report};
use query::Queries;

/// Queries a virtual machine or a storage daemon for everything that the report shows.
///
/// Most queries are sent before the first reply is awaited. Each has a deadline of `within`, and all
/// together take at most twice that time. A query that is refused, not answered in time, or answered
/// with something else than the schema says, costs only its section, and the report names it.
///
/// # Errors
/// The connection fails, or not one query is answered before the deadline.
pub fn collect(vm: &Client, within: Duration) -> Result<Report, Error> {
    let mut queries = Queries::new(vm, within);
    let q = &mut queries;
    let machine = machine::ask(q)?;
    let block = block::ask(q)?;
    let network = network::ask(q)?;
    let peripherals = peripherals::ask(q)?;

    let machine = machine.answer(q)?;
    let block = block.answer(q)?;
    let network = network.answer(q)?;
    let peripherals = peripherals.answer(q)?;
    // These depend on the replies.
    let network = network.complete(q)?;
    let accelerator = machine.accelerator.resolve(q)?;
    q.check()?;

    queries.unsupported.sort_unstable();
    let is_daemon = block.exports.is_some() && queries.lacks("query-status");
    Ok(Report {
        kind: if is_daemon { Kind::StorageDaemon } else { Kind::Machine },
        name: machine.name,
        uuid: machine.uuid,
        version: vm.version().to_string(),
        state: machine.state,
        target: machine.target,
        machine: machine.machine,
        accelerator,
        cpus: machine.cpus,
        pluggable_cpus: machine.pluggable_cpus,
        memory: machine.memory,
        block: block.devices,
        nodes: block.nodes,
        bitmaps: block.bitmaps,
        exports: block.exports.unwrap_or_default(),
        network,
        chardevs: peripherals.chardevs,
        displays: peripherals.displays,
        mice: peripherals.mice,
        pci: peripherals.pci,
        iothreads: machine.iothreads,
        jobs: block.jobs,
        migration: machine.migration,
        refused: queries.refused,
        unanswered: queries.unanswered,
        undecodable: queries.undecodable,
        unsupported: queries.unsupported,
    })
}
