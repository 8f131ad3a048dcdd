//! Plugs a disk as a typed device, with what this release of QEMU has.
//!
//! QMP does not describe devices: `device_add` takes any name and any properties, and a mistake is
//! found when the command is executed. The types of `qmp_client::devices` have the properties of QEMU
//! 7.2 to 11.1, with their types, so that the compiler finds it. `new` takes what the device cannot do
//! without: here the node with the data, which must exist.
//!
//! Some properties are new, as their documentation says. QEMU refuses a device with a property that it
//! does not have, so that this program asks first, with `device_capabilities`. What the types do not
//! have at all goes by `property`.
//!
//! If this program is killed, nothing is left: the disk is plugged in, or it is not.
//!
//! ```console
//! $ cargo run --example typed_device --features devices -- unix:/run/vm.sock node0 disk0
//! $ cargo run --example typed_device --features devices -- unix:/run/vm.sock node0 disk0 root-port-3
//! ```

use std::error::Error;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::devices::VirtioBlkPci;
use qmp_client::qmp::commands::DeviceAdd;
use qmp_client::qmp::types::OnOffAuto;
use qmp_vm::Workflows;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, node, id, bus @ ..] = &arguments[..] else {
        return Err("usage: typed_device ADDRESS NODE ID [BUS]".into());
    };
    let bus = bus.first().map(String::as_str);
    let device = run(address, node, id, bus).map_err(|error| error.report())?;
    match device {
        Some(command) => println!("plugged in {} with {:?}", command.driver, command.properties),
        None => println!("this QEMU does not have virtio-blk-pci"),
    }
    Ok(())
}

/// Plugs in a node as the disk `id`, and returns the command; `None` if QEMU does not have the device.
pub fn run(address: &str, node: &str, id: &str, bus: Option<&str>) -> Result<Option<DeviceAdd>> {
    let vm = Client::connect(address)?;
    let Some(kind) = vm.device_capabilities("virtio-blk-pci")? else { return Ok(None) };
    let mut disk = VirtioBlkPci::new(node).id(id).serial(id).write_cache(OnOffAuto::On);
    if let Some(bus) = bus {
        disk = disk.bus(bus);
    }
    // Since 11.1.
    if kind.has("stats-intervals") {
        disk = disk.stats_intervals(vec![60]);
    }
    let command = DeviceAdd::from(disk);
    vm.execute(command.clone())?;
    Ok(Some(command))
}
