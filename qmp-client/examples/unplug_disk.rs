//! Unplugging a disk, and giving back all that it had: the reverse of `hotplug_disk`.
//!
//! 1. `device_del` only asks. The guest answers when it likes: `DEVICE_DELETED`, when the device
//!    is gone, or `DEVICE_UNPLUG_GUEST_ERROR`, or nothing ever, if no system runs in it.
//! 2. `blockdev-del` the node, which the device held until then.
//! 3. `remove-fd` the set, or else the image stays open, and locked.
//!
//! `unplug` takes only an event of this device, and of this request: one from before is not taken
//! for the answer, and one of the several that QEMU sends for a device and its parts is enough.
//!
//! A guest that did not answer may answer later. So this can be called again: what is gone by then
//! is no error, and the remaining steps are done.
//!
//! ```console
//! $ cargo run --example unplug_disk --features tokio -- unix:/run/vm.sock data1
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::qmp::commands::{
    BlockdevDel, QomList, QueryFdsets, QueryNamedBlockNodes, RemoveFd,
};
use qmp_client::types::ErrorClass;
use qmp_client::{Client, Result, Unplugged};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id] = &arguments[..] else {
        return Err("usage: unplug_disk ADDRESS ID".into());
    };
    let unplugged = run(address, id, Duration::from_secs(30)).await;
    if !unplugged.map_err(|error| error.report())? {
        return Err("the guest keeps the disk".into());
    }
    Ok(())
}

/// Whether the disk is gone. If not, nothing has been taken from it.
pub async fn run(address: &str, id: &str, patience: Duration) -> Result<bool> {
    let vm = Client::connect(address).await?;
    if !unplug(&vm, id, patience).await? {
        return Ok(false);
    }
    println!("the device is gone");

    let node = format!("disk-{id}");
    let nodes = vm.execute(QueryNamedBlockNodes::new().flat(true)).await?;
    if nodes.iter().any(|other| other.node_name.as_deref() == Some(node.as_str())) {
        vm.execute(BlockdevDel::new(node)).await?;
        println!("the node is gone");
    }

    let ours = format!("disk {id}");
    for set in vm.execute(QueryFdsets::new()).await? {
        if set.fds.iter().any(|fd| fd.opaque.as_deref() == Some(ours.as_str())) {
            vm.execute(RemoveFd::new(set.fdset_id)).await?;
            println!("the image is closed");
        }
    }
    Ok(true)
}

async fn unplug(vm: &Client, id: &str, patience: Duration) -> Result<bool> {
    match vm.unplug(id, patience).await {
        Ok(Unplugged::Deleted) => return Ok(true),
        Ok(_) => println!("the guest refuses"),
        // It is gone since an earlier attempt.
        Err(error) if error.class() == Some(&ErrorClass::DeviceNotFound) => return Ok(true),
        // The guest does not answer.
        Err(error) if error.is_timeout() => println!("{}", error.report()),
        // A guest that was asked before, and has not answered: some releases refuse to ask twice.
        Err(error) if error.server().is_some() => println!("{}", error.report()),
        Err(error) => return Err(error),
    }
    // Its answer may have come in the last moment, or to an earlier request.
    let devices = vm.execute(QomList::new("/machine/peripheral")).await?;
    Ok(!devices.iter().any(|device| device.name == id))
}
