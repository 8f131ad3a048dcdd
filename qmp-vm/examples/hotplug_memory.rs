//! Plugs a DIMM into a running VM.
//!
//! `plug_memory` does it in two steps:
//!
//! 1. `object-add` creates the memory. QEMU allocates it here, which takes time if it has to reserve
//!    all of it at once; therefore the recommended deadline of `object-add` is a long one.
//! 2. `device_add` adds the DIMM that the guest sees, in a free slot.
//!
//! If the second step fails (no slot is free, no room is left, or the size does not fit), the memory
//! is freed with `object-del`. `own_workflow` shows how to write such a sequence.
//!
//! A DIMM can be unplugged only if the guest agrees, which it rarely does. Where memory has to come
//! and go, use virtio-mem instead (see `resize_memory`).
//!
//! If this program is killed, no guard acts, and this may be left in QEMU:
//!
//! - the object `memory-ID`, which `object-del` deletes unless the DIMM is plugged in.
//!
//! The VM must have been started with free slots, such as `-m 4G,slots=8,maxmem=64G`. Linux guests
//! need multiples of 128 MiB.
//!
//! ```console
//! $ cargo run --example hotplug_memory -- unix:/run/vm.sock dimm1 1024
//! ```

use std::error::Error;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{DeviceAdd, ObjectAdd, QueryMemorySizeSummary};
use qmp_client::qmp::types::{MemoryBackendProperties, ObjectOptions, ObjectOptionsQomType};
use qmp_vm::Workflows;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id, mebibytes] = &arguments[..] else {
        return Err("usage: hotplug_memory ADDRESS ID MEBIBYTES".into());
    };
    let size = mebibytes.parse::<u64>()?.checked_mul(1 << 20).ok_or("the size is too large")?;
    run(address, id, size).map_err(|error| error.report())?;
    Ok(())
}

/// Plugs in `size` bytes of memory. Returns how many bytes are plugged in altogether.
pub fn run(address: &str, id: &str, size: u64) -> Result<u64> {
    let vm = Client::connect(address)?;
    let backend = format!("memory-{id}");
    let properties = ObjectOptionsQomType::MemoryBackendRam(MemoryBackendProperties::new(size));
    let create = ObjectAdd::new(ObjectOptions::new(properties, backend.as_str()));
    let dimm = DeviceAdd::new("pc-dimm").id(id).property("memdev", backend.as_str());
    vm.plug_memory(&backend, create, dimm)?;

    let summary = vm.execute(QueryMemorySizeSummary::new())?;
    let plugged = summary.plugged_memory.unwrap_or(0);
    println!("{} MiB, and {} MiB plugged in", summary.base_memory >> 20, plugged >> 20);
    Ok(plugged)
}
