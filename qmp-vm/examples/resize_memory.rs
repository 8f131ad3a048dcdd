//! Gives a VM more memory or less, with virtio-mem.
//!
//! The VM was started with such a device, and with the memory that it may have at most:
//!
//! ```text
//! -m 4G,maxmem=64G -object memory-backend-ram,id=more,size=32G,reserve=off
//! -device virtio-mem-pci,id=vmem0,memdev=more,requested-size=0
//! ```
//!
//! 1. `qom-set` sets `requested-size`, which is a multiple of the device's block size, and not more
//!    than its memory; QEMU refuses any other size. It is a request, which the guest fulfills as far
//!    as it can.
//! 2. `MEMORY_DEVICE_SIZE_CHANGE` reports the progress; QEMU sends at most one a second. A guest that
//!    gives memory back may never reach the requested size, and a guest without a driver does
//!    nothing. So this waits for a limited time, and returns the size that was reached. The request
//!    stays in force.
//!
//! If this program is killed, nothing is left but the request, which stays in force.
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
    let size = mebibytes.parse::<u64>()?.checked_mul(1 << 20).ok_or("the size is too large")?;
    let patience = Duration::from_secs(60);
    let reached = run(address, id, size, patience).await.map_err(|error| error.report())?;
    reached.map(|_| ()).ok_or_else(|| format!("`{id}` is not a virtio-mem device").into())
}

/// Requests `size` bytes, and returns how many bytes the guest has when it has reached the size, or
/// when `patience` has passed; `None` if the device does not exist.
pub async fn run(address: &str, id: &str, size: u64, patience: Duration) -> Result<Option<u64>> {
    let vm = Client::connect(address).await?;
    let Some(device) = device(&vm, id).await? else { return Ok(None) };
    println!(
        "{} of {} MiB, in blocks of {} MiB",
        device.size >> 20,
        device.max_size >> 20,
        device.block_size >> 20
    );

    // Subscribe before the request, so that no event is missed, and only to this device's events.
    let this = id.to_owned();
    let mut changes = vm
        .events_of::<MemoryDeviceSizeChange>()
        .matching(move |change| change.event.id.as_ref() == Some(&this));
    let path = format!("/machine/peripheral/{id}");
    vm.execute(QomSet::new(path, "requested-size", size)).await?;

    let end = vm.now() + patience;
    let mut reached = device.size;
    while reached != size {
        let left = end.saturating_duration_since(vm.now());
        match changes.next_within(left).await {
            Some(Ok(change)) => {
                reached = change.event.size;
                println!("{} MiB", reached >> 20);
            }
            Some(Err(error)) if !error.is_timeout() => return Err(error),
            _ => break,
        }
    }
    // The number of events is limited, so query the final size.
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
