//! An overview of a VM, blocking.
//!
//! `send` does not wait: it gives a ticket, and `receive` takes the reply for it. So all questions
//! are on their way before the first answer is looked at, and the whole takes one round trip. The
//! order of the answers does not matter, and what QEMU refuses is an error of its own ticket.
//!
//! Eight commands at most are in flight, which is what QEMU takes before it stops reading; further
//! ones are sent as the answers come in. The deadline of each began when it was given to `send`.
//!
//! ```console
//! $ cargo run --example overview_blocking -- unix:/run/vm.sock
//! ```

use std::error::Error;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    QueryBalloon, QueryBlock, QueryCpusFast, QueryMemorySizeSummary, QueryName, QueryStatus,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: overview_blocking ADDRESS".into()) };
    run(address).map_err(|error| error.report())?;
    Ok(())
}

/// Asks everything at once, and gives a line of text.
pub fn run(address: &str) -> Result<String> {
    let mut vm = Client::connect(address)?;
    let name = vm.send(QueryName::new())?;
    let status = vm.send(QueryStatus::new())?;
    let cpus = vm.send(QueryCpusFast::new())?;
    let memory = vm.send(QueryMemorySizeSummary::new())?;
    let disks = vm.send(QueryBlock::new())?;
    let balloon = vm.send(QueryBalloon::new())?;

    let balloon = match vm.receive(balloon) {
        Ok(balloon) => format!("{} MiB left by the balloon", balloon.actual >> 20),
        Err(error) if error.server().is_some() => String::from("no balloon"),
        Err(error) => return Err(error),
    };
    let memory = vm.receive(memory)?;
    let overview = format!(
        "{}: {}, {} CPUs, {} MiB of memory, {balloon}, {} disks",
        vm.receive(name)?.name.unwrap_or_else(|| String::from("without a name")),
        vm.receive(status)?.status,
        vm.receive(cpus)?.len(),
        (memory.base_memory + memory.plugged_memory.unwrap_or(0)) >> 20,
        vm.receive(disks)?.len(),
    );
    println!("{overview}");
    Ok(overview)
}
