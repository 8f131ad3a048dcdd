//! Giving a VM more memory, or less, by virtio-mem.
//!
//! The machine has such a device from its beginning, with the memory that it may get at most:
//!
//! ```text
//! -m 4G,maxmem=64G -object memory-backend-ram,id=more,size=32G,reserve=off
//! -device virtio-mem-pci,id=vmem0,memdev=more,requested-size=0
//! ```
//!
//! 1. `qom-set` of `requested-size`, a multiple of the device's block size and not above its
//!    memory: QEMU refuses anything else. It is a wish: the guest follows it as far as it can.
//! 2. `MEMORY_DEVICE_SIZE_CHANGE` tells how far it is; QEMU sends at most one a second. A guest
//!    that gives memory back may never get there, and one without a driver does nothing: so the
//!    wait ends, with what is reached by then. The wish stands, and the guest goes on.
//!
//! ```console
//! $ cargo run --example resize_memory --features tokio -- unix:/run/vm.sock vmem0 8192
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::qmp::commands::{QomSet, QueryMemoryDevices};
use qmp_client::qmp::events::MemoryDeviceSizeChange;
use qmp_client::qmp::types::{MemoryDeviceInfo, VirtioMEMDeviceInfo};
use qmp_client::{Client, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id, mebibytes] = &arguments[..] else {
        return Err("usage: resize_memory ADDRESS ID MEBIBYTES".into());
    };
    let size = mebibytes.parse::<u64>()?.checked_mul(1 << 20).ok_or("that is too much")?;
    let patience = Duration::from_secs(60);
    run(address, id, size, patience).await.map_err(|error| error.report())?;
    Ok(())
}

/// Wishes for `size` bytes, and gives how many the guest has after this time at the latest.
/// Nothing if there is no such device.
pub async fn run(address: &str, id: &str, size: u64, patience: Duration) -> Result<Option<u64>> {
    let vm = Client::connect(address).await?;
    let Some(device) = device(&vm, id).await? else { return Ok(None) };
    println!(
        "{} of {} MiB, in blocks of {} MiB",
        device.size >> 20,
        device.max_size >> 20,
        device.block_size >> 20
    );

    // First subscribe, then wish.
    let mut changes = vm.events_of::<MemoryDeviceSizeChange>();
    let path = format!("/machine/peripheral/{id}");
    vm.execute(QomSet::new(path, "requested-size", size)).await?;

    let end = tokio::time::Instant::now() + patience;
    let mut reached = device.size;
    while reached != size {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        match changes.next_within(left).await {
            Some(Ok(change)) if change.event.id.as_deref() == Some(id) => {
                reached = change.event.size;
                println!("{} MiB", reached >> 20);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) if !error.is_timeout() => return Err(error),
            _ => break,
        }
    }
    // Events are limited in number; the device knows best.
    let reached = self::device(&vm, id).await?.map(|device| device.size);
    println!("{} MiB of {} MiB", reached.unwrap_or(0) >> 20, size >> 20);
    Ok(reached)
}

async fn device(vm: &Client, id: &str) -> Result<Option<VirtioMEMDeviceInfo>> {
    let devices = vm.execute(QueryMemoryDevices::new()).await?;
    Ok(devices.into_iter().find_map(|device| match device {
        MemoryDeviceInfo::VirtioMem(wrapper) if wrapper.data.id.as_deref() == Some(id) => {
            Some(wrapper.data)
        }
        _ => None,
    }))
}
