//! Plugs a disk into a running VM.
//!
//! This program opens the image and passes the open file to QEMU, so that QEMU needs no permission
//! for the path, and finds the image from inside any sandbox. `plug_disk` does it in three steps:
//!
//! 1. `add-fd` passes the open file. QEMU keeps it in a set, and opens it as `/dev/fdset/N`.
//! 2. `blockdev-add` adds a node of the image's format, on top of a node for the file. From then on
//!    the node holds the file open, and the set is removed.
//! 3. `device_add` adds the disk that the guest sees, on top of that node.
//!
//! If a step fails, the earlier ones are undone in reverse order: nothing is left in QEMU, and the
//! image is not locked. `unplug_disk` removes the disk again, and `own_workflow` shows how to
//! write such a sequence for something other than disks.
//!
//! Always specify the format. A guest that writes a qcow2 header to its raw disk could otherwise
//! choose the file that QEMU opens the next time.
//!
//! If this program is killed, no guard acts, and these may be left in QEMU:
//!
//! - a set of descriptors, which `remove-fd` removes: `query-fdsets` lists it. QEMU 7.2 does so only
//!   while the guest runs; then, it also removes unused sets when the last monitor is closed;
//! - the node `disk-ID`, which `blockdev-del` deletes unless the disk is plugged in.
//!
//! ```console
//! $ cargo run --example hotplug_disk -- unix:/run/vm.sock disk.qcow2 qcow2 data1
//! $ cargo run --example hotplug_disk -- unix:/run/vm.sock disk.img raw data2 root-port-3
//! ```
//!
//! The last argument is the bus, for machine types whose main bus does not support hotplugging: on
//! q35, it is an empty root port.

use std::error::Error;
use std::fs::File;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{BlockdevAdd, DeviceAdd};
use qmp_client::qmp::types::{
    BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile, BlockdevOptionsQcow2,
    BlockdevOptionsRaw,
};
use qmp_vm::Workflows;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, image, format, id, bus @ ..] = &arguments[..] else {
        return Err("usage: hotplug_disk ADDRESS IMAGE raw|qcow2 ID [BUS]".into());
    };
    let format = match format.as_str() {
        "raw" => Format::Raw,
        "qcow2" => Format::Qcow2,
        other => return Err(format!("unsupported format `{other}`").into()),
    };
    // QEMU opens the image for reading and writing, and only finds a descriptor that was opened in
    // the same way.
    let opened = File::options().read(true).write(true).open(image);
    let image = opened.map_err(|error| format!("cannot open {image}: {error}"))?;
    let bus = bus.first().map(String::as_str);
    run(address, image, format, id, bus).map_err(|error| error.report())?;
    Ok(())
}

/// The format of an image.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

/// Plugs in an image as the disk `id`. If that fails, nothing is left in QEMU.
pub fn run(address: &str, image: File, format: Format, id: &str, bus: Option<&str>) -> Result<()> {
    let vm = Client::connect(address)?;
    // The name of a node has at most 31 bytes, and begins with a letter.
    let node = format!("disk-{id}");
    let mut device = DeviceAdd::new("virtio-blk-pci")
        .id(id)
        .property("drive", node.as_str())
        // The guest finds the disk as /dev/disk/by-id/virtio-SERIAL; a serial has at most 20 bytes.
        .property("serial", id);
    if let Some(bus) = bus {
        device = device.bus(bus);
    }
    let add_node = |path: &str| BlockdevAdd::new(options(&node, format, path));
    vm.plug_disk(image, &node, add_node, device)?;
    // The disk is plugged in now; when the guest starts to use it is up to the guest.
    println!("the disk {id} is plugged in");
    Ok(())
}

fn options(node: &str, format: Format, path: &str) -> BlockdevOptions {
    // The node for the file has no name, so it is deleted together with the node above it.
    let file = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(path));
    let file = BlockdevOptions::new(file);
    match format {
        Format::Raw => BlockdevOptions::new(BlockdevOptionsRaw::new(file)).node_name(node),
        Format::Qcow2 => BlockdevOptions::new(BlockdevOptionsQcow2::new(file)).node_name(node),
    }
}
