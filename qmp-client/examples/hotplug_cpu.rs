//! Plugging a CPU into a VM that runs.
//!
//! `query-hotpluggable-cpus` lists every place for a CPU, those with a CPU in them by its
//! `qom-path`. What tells one place from another differs by architecture: sockets, dies, cores and
//! threads on x86, cores alone on POWER, core ids on s390x, and releases add levels. So nothing is
//! made up here: what QEMU says of the place is handed back to it whole, as properties of the
//! device.
//!
//! A device may be more than one CPU: on POWER, all threads of a core.
//!
//! The machine must have been started with places to spare: `-smp 2,maxcpus=8`.
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
        return Err("there is no place for another CPU".into());
    }
    Ok(())
}

/// Plugs the CPU `id` in, and says whether there was a place for it.
pub async fn run(address: &str, id: &str) -> Result<bool> {
    let vm = Client::connect(address).await?;
    let (places, before) =
        tokio::join!(vm.execute(QueryHotpluggableCpus::new()), vm.execute(QueryCpusFast::new()));
    let before = before?.len();

    // QEMU lists the last place first. From the first one on, since a migration's destination must
    // have its CPUs in the same places.
    let free = places?.into_iter().rev().find(|place| place.qom_path.is_none());
    let Some(place) = free else { return Ok(false) };

    let mut device = DeviceAdd::new(place.type_).id(id);
    if let Ok(Value::Object(members)) = serde_json::to_value(&place.props) {
        println!("plugging a CPU in at {}", Value::from(members.clone()));
        for (name, value) in members {
            device = device.property(name, value);
        }
    }
    vm.execute(device).await?;

    // The reply says that it is there. Whether the guest uses it is the guest's affair: many want
    // to be told, as by `guest-set-vcpus` of the guest agent.
    let now = vm.execute(QueryCpusFast::new()).await?.len();
    println!("{before} CPUs have become {now}, with {} in the device", place.vcpus_count);
    Ok(true)
}
