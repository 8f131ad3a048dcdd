//! Plugging a disk into a VM that runs.
//!
//! The image is opened here and handed to QEMU, which so needs no rights to it, and sees it from
//! within whatever it is confined to. The order:
//!
//! 1. `add-fd`, with the open file: QEMU keeps it in a set, and opens it as `/dev/fdset/N`.
//! 2. `blockdev-add`: a node of the image's format, on a node for that file.
//! 3. `device_add`: the disk that the guest sees, on that node.
//!
//! If a step fails, those before it are undone in reverse: a node cannot go while a device has it,
//! and a set that is left behind keeps the image open, and locked, for as long as QEMU runs. Both
//! are found again by their names when the disk is unplugged (see `unplug_disk`).
//!
//! The format is said, never guessed: a guest that writes a qcow2 header into its raw disk would
//! otherwise choose what QEMU opens the next time.
//!
//! ```console
//! $ cargo run --example hotplug_disk -- unix:/run/vm.sock disk.qcow2 qcow2 data1
//! $ cargo run --example hotplug_disk -- unix:/run/vm.sock disk.img raw data2 root-port-3
//! ```
//!
//! The last argument is the bus, for machines whose main bus does not take plugged devices: on
//! q35, a root port with nothing in it.

use std::error::Error;
use std::fs::File;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{AddFd, BlockdevAdd, BlockdevDel, DeviceAdd, RemoveFd};
use qmp_client::qmp::types::{
    BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile, BlockdevOptionsQcow2,
    BlockdevOptionsRaw,
};
use qmp_client::{Request, Result};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, image, format, id, bus @ ..] = &arguments[..] else {
        return Err("usage: hotplug_disk ADDRESS IMAGE raw|qcow2 ID [BUS]".into());
    };
    let format = match format.as_str() {
        "raw" => Format::Raw,
        "qcow2" => Format::Qcow2,
        other => return Err(format!("there is no format {other} here").into()),
    };
    // As QEMU will open it: a set has what was opened for reading and writing, or it has nothing.
    let opened = File::options().read(true).write(true).open(image);
    let image = opened.map_err(|error| format!("{image}: {error}"))?;
    let bus = bus.first().map(String::as_str);
    run(address, image, format, id, bus).map_err(|error| error.report())?;
    Ok(())
}

/// The format of an image.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// QEMU's own.
    Qcow2,
}

/// Plugs the image in as the disk `id`; all of it or nothing.
pub fn run(address: &str, image: File, format: Format, id: &str, bus: Option<&str>) -> Result<()> {
    let mut vm = Client::connect(address)?;

    // The text is how the set is found again: its number is not in the node's options for ever.
    let add = AddFd::new().opaque(format!("disk {id}"));
    let set = vm.call(add).descriptor(image).execute()?.fdset_id;
    println!("QEMU has the image as /dev/fdset/{set}");

    // Names of nodes have at most 31 bytes, and begin with a letter.
    let node = format!("disk-{id}");
    if let Err(error) = vm.execute(BlockdevAdd::new(options(&node, format, set))) {
        undo(&mut vm, RemoveFd::new(set));
        return Err(error);
    }
    println!("the node {node} is there");

    let mut device = DeviceAdd::new("virtio-blk-pci")
        .id(id)
        .property("drive", node.as_str())
        // What the guest can tell the disk by: /dev/disk/by-id/virtio-SERIAL, of 20 bytes.
        .property("serial", id);
    if let Some(bus) = bus {
        device = device.bus(bus);
    }
    if let Err(error) = vm.execute(device) {
        undo(&mut vm, BlockdevDel::new(node));
        undo(&mut vm, RemoveFd::new(set));
        return Err(error);
    }
    // QEMU has plugged it in; when the guest makes use of it is the guest's affair.
    println!("the disk {id} is plugged in");
    Ok(())
}

fn options(node: &str, format: Format, set: i64) -> BlockdevOptions {
    // A child without a name of its own goes with its parent: one `blockdev-del` is for both.
    let file = BlockdevOptionsFile::new(format!("/dev/fdset/{set}"));
    let file = BlockdevOptions::new(BlockdevOptionsDriver::File(file));
    match format {
        Format::Raw => BlockdevOptions::new(BlockdevOptionsRaw::new(file)).node_name(node),
        Format::Qcow2 => BlockdevOptions::new(BlockdevOptionsQcow2::new(file)).node_name(node),
    }
}

/// What went wrong first is what the caller is told; that something is left behind is only said.
fn undo<R: Request>(vm: &mut Client, command: R) {
    if let Err(error) = vm.execute(command) {
        eprintln!("not undone: {}", error.report());
    }
}
