//! Plugs a CPU into a running VM.
//!
//! `query-hotpluggable-cpus` lists every slot for a CPU; an occupied slot has a `qom-path`. The
//! properties that identify a slot depend on the architecture (sockets, dies, cores and threads on
//! x86, cores alone on POWER, core ids on s390x), and new releases add levels. Therefore, this
//! program does not compute them: it passes the properties that QEMU reports for the slot back to
//! QEMU, as properties of the device.
//!
//! One device may be more than one CPU: on POWER, it is a core with all its threads.
//!
//! The VM must have been started with free slots, such as `-smp 2,maxcpus=8`.
//!
//! ```console
//! $ cargo run --example hotplug_cpu --features tokio -- unix:/run/vm.sock cpu5
//! ```

use std::error::Error;

use qmp_client::qmp::commands::{DeviceAdd, QueryCpusFast, QueryHotpluggableCpus};
use qmp_client::{Client, Result};
use serde_json::Value;

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
    // Futures that are polled together are in flight together.
    let (slots, before) =
        tokio::join!(vm.execute(QueryHotpluggableCpus::new()), vm.execute(QueryCpusFast::new()));
    let before = before?.len();

    // QEMU lists the last slot first. Fill them from the first one on: the destination of a
    // migration must have its CPUs in the same slots.
    let free = slots?.into_iter().rev().find(|slot| slot.qom_path.is_none());
    let Some(slot) = free else { return Ok(false) };

    let mut device = DeviceAdd::new(slot.type_).id(id);
    if let Ok(Value::Object(members)) = serde_json::to_value(&slot.props) {
        println!("plugging in a CPU at {}", Value::from(members.clone()));
        for (name, value) in members {
            device = device.property(name, value);
        }
    }
    vm.execute(device).await?;

    // The CPU is plugged in now. Whether the guest uses it is up to the guest: many have to be told,
    // for example with the agent's `guest-set-vcpus`.
    let now = vm.execute(QueryCpusFast::new()).await?.len();
    println!("{before} CPUs before, {now} CPUs now, {} of them in the device", slot.vcpus_count);
    Ok(true)
}
