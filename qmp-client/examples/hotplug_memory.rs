//! Plugging a DIMM into a VM that runs.
//!
//! 1. `object-add`: the memory itself. Here QEMU allocates, and where it is told to reserve all of
//!    it at once, that takes its time: hence the deadline of `object-add` is a long one.
//! 2. `device_add`: the DIMM that the guest sees, in a slot that is free.
//!
//! If the second step fails (no slot, no room, a size that does not fit), the memory is given back
//! with `object-del`. A DIMM comes out only if the guest agrees, which it rarely does; where memory
//! has to come and go, virtio-mem is better (see `resize_memory`).
//!
//! The machine must have been started with room to spare: `-m 4G,slots=8,maxmem=64G`. A Linux guest
//! wants multiples of 128 MiB.
//!
//! ```console
//! $ cargo run --example hotplug_memory -- unix:/run/vm.sock dimm1 1024
//! ```

use std::error::Error;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{DeviceAdd, ObjectAdd, ObjectDel, QueryMemorySizeSummary};
use qmp_client::qmp::types::{MemoryBackendProperties, ObjectOptions, ObjectOptionsQomType};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id, mebibytes] = &arguments[..] else {
        return Err("usage: hotplug_memory ADDRESS ID MEBIBYTES".into());
    };
    let size = mebibytes.parse::<u64>()?.checked_mul(1 << 20).ok_or("that is too much")?;
    run(address, id, size).map_err(|error| error.report())?;
    Ok(())
}

/// `size` is in bytes. Gives the memory that was plugged in by now, in bytes.
pub fn run(address: &str, id: &str, size: u64) -> Result<u64> {
    let mut vm = Client::connect(address)?;
    let backend = format!("memory-{id}");
    let properties = MemoryBackendProperties::new(size);
    let memory = ObjectOptionsQomType::MemoryBackendRam(properties);
    vm.execute(ObjectAdd::new(ObjectOptions::new(memory, backend.as_str())))?;
    println!("{} MiB are there", size >> 20);

    let dimm = DeviceAdd::new("pc-dimm").id(id).property("memdev", backend.as_str());
    if let Err(error) = vm.execute(dimm) {
        if let Err(error) = vm.execute(ObjectDel::new(backend)) {
            eprintln!("not undone: {}", error.report());
        }
        return Err(error);
    }
    let memory = vm.execute(QueryMemorySizeSummary::new())?;
    let plugged = memory.plugged_memory.unwrap_or(0);
    println!("{} MiB, and {} MiB plugged in", memory.base_memory >> 20, plugged >> 20);
    Ok(plugged)
}
