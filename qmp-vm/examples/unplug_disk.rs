//! Unplugs a disk, and closes its image: the reverse of `hotplug_disk`.
//!
//! 1. `device_del` only asks the guest. The guest reacts when it likes, with `DEVICE_DELETED` when
//!    the device is gone, or with `DEVICE_UNPLUG_GUEST_ERROR`. A guest without an operating system
//!    never reacts.
//! 2. `blockdev-del` deletes the node, which the device used until then. That closes the image.
//!
//! `unplug_disk` takes only the events of this device that follow its request. QEMU sends several for a
//! device and its parts, and some may be left from an earlier request. The device is not listed any more
//! before its event, while the node is still in use.
//!
//! A guest that did not react may do so later. So this program can be run again: it does the steps
//! that are left, and a device that is gone by then is not an error.
//!
//! If this program is killed, the guest may still release the disk, and this may be left in QEMU:
//!
//! - the node `disk-ID`, which `blockdev-del` deletes, as does this program when it is run again.
//!
//! ```console
//! $ cargo run --example unplug_disk --features tokio -- unix:/run/vm.sock data1
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::{Client, Result};
use qmp_vm::{Unplugged, Workflows};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id] = &arguments[..] else {
        return Err("usage: unplug_disk ADDRESS ID".into());
    };
    let unplugged = run(address, id, Duration::from_secs(30)).await;
    if !unplugged.map_err(|error| error.report())? {
        return Err("the guest has not released the disk".into());
    }
    Ok(())
}

/// Unplugs a disk, and returns whether it is gone.
pub async fn run(address: &str, id: &str, patience: Duration) -> Result<bool> {
    let vm = Client::connect(address).await?;
    match vm.unplug_disk(id, &format!("disk-{id}"), patience).await {
        Ok(Unplugged::Deleted) => {
            println!("the device is gone, and the image is closed");
            return Ok(true);
        }
        Ok(_) => println!("the guest refuses"),
        // The guest does not react, or the node is in use.
        Err(error) if error.is_timeout() => println!("{}", error.report()),
        // The device cannot be unplugged, for example because its bus does not support that.
        Err(error) if error.server().is_some() => println!("{}", error.report()),
        Err(error) => return Err(error),
    }
    Ok(false)
}
