//! Plugs a CPU into a running VM.
//!
//! `query-hotpluggable-cpus` lists every slot for a CPU. The properties that identify a slot depend on
//! the architecture (sockets, dies, cores and threads on x86, cores alone on POWER, core ids on
//! s390x), and new releases add levels. Therefore, `plug_cpu` does not compute them: it passes the
//! properties that QEMU reports for the first free slot back to QEMU, as properties of the device.
//!
//! One device may be more than one CPU: on POWER, it is a core with all its threads.
//!
//! The VM must have been started with free slots, such as `-smp 2,maxcpus=8`.
//!
//! If this program is killed, nothing is left in QEMU but the CPU, once it is plugged in.
//!
//! ```console
//! $ cargo run --example hotplug_cpu --features tokio -- unix:/run/vm.sock cpu5
//! ```

use std::error::Error;

use qmp_client::qmp::commands::{QueryCpusFast, QueryHotpluggableCpus};
use qmp_client::{Client, Result};
use qmp_vm::Workflows;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id] = &arguments[..] else {
        return Err("usage: hotplug_cpu ADDRESS ID".into());
    };
    if !run(address, id).await.map_err(|error| error.report())? {
        return Err("every CPU slot is occupied".into());
    }
    Ok(())
}

/// Plugs in the CPU `id`, and returns whether a slot was free.
pub async fn run(address: &str, id: &str) -> Result<bool> {
    let vm = Client::connect(address).await?;
    let Some(slot) = vm.plug_cpu(id).await? else { return Ok(false) };

    // The CPU is plugged in now. Whether the guest uses it is up to the guest: many have to be told,
    // for example with the agent's `guest-set-vcpus`.
    println!("{} CPUs are plugged in as {id}", slot.vcpus_count);

    // Futures that are polled together are in flight together.
    let (cpus, slots) =
        tokio::join!(vm.execute(QueryCpusFast::new()), vm.execute(QueryHotpluggableCpus::new()));
    let free = slots?.iter().filter(|slot| slot.qom_path.is_none()).count();
    println!("{} CPUs in all; {free} slots are free", cpus?.len());
    Ok(true)
}
