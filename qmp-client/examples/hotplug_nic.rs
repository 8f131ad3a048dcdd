//! Plugging a network card into a VM that runs.
//!
//! 1. `getfd` hands QEMU an open descriptor under a name: one for each queue of the tap device, and
//!    one of `/dev/vhost-net` for each.
//! 2. `netdev_add` takes them by their names, `fds=a:b` and `vhostfds=c:d`. There a colon is
//!    between names, so none is in them; and a name that begins with a digit is taken for a number.
//! 3. `device_add`: the card.
//!
//! `getfd` under a name that is in use closes the older descriptor, so the names here are made from
//! the card's. `netdev_add` takes the descriptors over; if it fails, it may have taken some, which
//! are out of reach then, and `closefd` gives the others back. If `device_add` fails, `netdev_del`
//! undoes the second step.
//!
//! A tap device is made with an ioctl on `/dev/net/tun`, which needs privileges, and whoever has
//! made it passes its descriptors to `plug`. A macvtap device is a file, `/dev/tapN`, which is
//! opened once for each queue; that is what the program below does. Its other form connects to a
//! socket, as a user-mode network stack has one (passt, say), and needs no privileges:
//!
//! ```console
//! $ cargo run --example hotplug_nic -- unix:/run/vm.sock net1 52:54:00:0c:00:17 \
//!     tap /dev/tap5 4
//! $ cargo run --example hotplug_nic -- unix:/run/vm.sock net1 52:54:00:0c:00:17 \
//!     socket /run/passt.sock
//! ```

use std::error::Error;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{Closefd, DeviceAdd, Getfd, NetdevAdd, NetdevDel};
use qmp_client::qmp::types::{Netdev, NetdevSocketOptions, NetdevTapOptions, NetdevType};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (address, id, mac, backend) = match arguments[..] {
        [address, id, mac, "tap", path, queues] => {
            let open = |path| File::options().read(true).write(true).open(path);
            let mut backend = Backend { kind: Kind::Tap, queues: Vec::new(), vhost: Vec::new() };
            for _ in 0..queues.parse::<u32>()? {
                backend.queues.push(open(path)?.into());
                backend.vhost.push(open("/dev/vhost-net")?.into());
            }
            (address, id, mac, backend)
        }
        [address, id, mac, "socket", path] => {
            let queues = vec![UnixStream::connect(path)?.into()];
            (address, id, mac, Backend { kind: Kind::Socket, queues, vhost: Vec::new() })
        }
        _ => return Err("usage: hotplug_nic ADDRESS ID MAC tap PATH QUEUES | socket PATH".into()),
    };
    run(address, id, mac, backend).map_err(|error| error.report())?;
    Ok(())
}

/// What the descriptors are.
#[derive(Debug)]
pub enum Kind {
    /// Tap devices.
    Tap,
    /// A stream; each frame follows its length.
    Socket,
}

/// What is behind the card.
#[derive(Debug)]
pub struct Backend {
    /// What the queues are.
    pub kind: Kind,
    /// A socket has one queue.
    pub queues: Vec<OwnedFd>,
    /// As many as there are queues, or none: then QEMU moves the frames itself.
    pub vhost: Vec<OwnedFd>,
}

/// Plugs a card in, with the network backend `id` behind it; all of it or nothing.
pub fn run(address: &str, id: &str, mac: &str, backend: Backend) -> Result<()> {
    plug(&mut Client::connect(address)?, id, mac, backend)
}

fn plug(vm: &mut Client, id: &str, mac: &str, backend: Backend) -> Result<()> {
    let queues = backend.queues.len();
    let mut names = Vec::new();
    let added = pass_and_add(vm, id, backend, &mut names);
    if let Err(error) = added {
        for name in names {
            // What was taken is refused here, and is closed already.
            let _ = vm.execute(Closefd::new(name));
        }
        return Err(error);
    }
    println!("the network backend {id} is there, with {queues} queues");

    let card = format!("nic-{id}");
    let mut device = DeviceAdd::new("virtio-net-pci")
        .id(card.as_str())
        .property("netdev", id)
        // Or else QEMU counts from the same address in every VM.
        .property("mac", mac)
        // Nobody boots from a card that is plugged in later: it needs no ROM for that.
        .property("romfile", "");
    if queues > 1 {
        // An interrupt for each direction of each queue, one for control, one for changes.
        device = device.property("mq", true).property("vectors", 2 * queues + 2);
    }
    if let Err(error) = vm.execute(device) {
        if let Err(error) = vm.execute(NetdevDel::new(id)) {
            eprintln!("not undone: {}", error.report());
        }
        return Err(error);
    }
    println!("the card {card} is plugged in");
    Ok(())
}

/// `names` are those that QEMU has been given, also if this fails.
fn pass_and_add(
    vm: &mut Client,
    id: &str,
    backend: Backend,
    names: &mut Vec<String>,
) -> Result<()> {
    let mut pass = |vm: &mut Client, kind: &str, descriptors: Vec<OwnedFd>| -> Result<String> {
        let mut list = Vec::new();
        for (number, descriptor) in descriptors.into_iter().enumerate() {
            let name = format!("{kind}-{id}-{number}");
            // The descriptor travels with its own command: no other can be taken for it.
            vm.call(Getfd::new(name.as_str())).descriptor(descriptor).execute()?;
            names.push(name.clone());
            list.push(name);
        }
        Ok(list.join(":"))
    };
    let with_vhost = !backend.vhost.is_empty();
    let fds = pass(vm, "queue", backend.queues)?;
    let vhostfds = pass(vm, "vhost", backend.vhost)?;
    let options = match backend.kind {
        Kind::Socket => NetdevType::Socket(NetdevSocketOptions::new().fd(fds)),
        Kind::Tap if with_vhost => {
            // `vhost` is said: QEMU would otherwise ignore the descriptors.
            NetdevType::Tap(NetdevTapOptions::new().fds(fds).vhost(true).vhostfds(vhostfds))
        }
        Kind::Tap => NetdevType::Tap(NetdevTapOptions::new().fds(fds)),
    };
    vm.execute(NetdevAdd::new(Netdev::new(id, options))).map(|_| ())
}
