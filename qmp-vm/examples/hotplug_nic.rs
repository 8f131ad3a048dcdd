//! Plugs a network card into a running VM.
//!
//! `plug_nic` does it in three steps:
//!
//! 1. `getfd` passes an open descriptor to QEMU and gives it a name: one for each queue of the tap
//!    device, and one of `/dev/vhost-net` for each.
//! 2. `netdev_add` takes the descriptors by their names, as in `fds=a:b` and `vhostfds=c:d`.
//! 3. `device_add` adds the card.
//!
//! If a step fails, the earlier ones are undone. `netdev_add` takes the descriptors over; if it
//! fails, it may have taken some of them, which cannot be reached any more, and `closefd` closes the
//! others. If `device_add` fails, `netdev_del` undoes the second step.
//!
//! If this program is killed, no guard acts, and these may be left in QEMU:
//!
//! - the descriptor `queue-ID-0`, which `closefd` closes on the same monitor, and the others of its
//!   kind. No command lists them; another descriptor that is passed by the same name replaces it;
//! - the network backend `ID`, which `netdev_del` deletes unless the card is plugged in.
//!
//! A tap device is created by an ioctl of `/dev/net/tun`, which needs privileges; a program that has
//! done so passes the descriptors to `run`. A macvtap device is a file, `/dev/tapN`, which is opened
//! once for each queue: the first form below does that. The second form connects to the socket of a
//! user-mode network stack, such as passt, and needs no privileges:
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
use qmp_client::qmp::commands::{DeviceAdd, NetdevAdd};
use qmp_client::qmp::types::{Netdev, NetdevSocketOptions, NetdevTapOptions, NetdevType};
use qmp_vm::{NicNames, Workflows};

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

/// The kind of a backend's descriptors.
#[derive(Debug)]
pub enum Kind {
    /// Queues of a tap device.
    Tap,
    /// A stream, in which the length of each frame precedes it.
    Socket,
}

/// The host's side of a network card.
#[derive(Debug)]
pub struct Backend {
    /// The kind of the queues.
    pub kind: Kind,
    /// The queues. A socket is one queue.
    pub queues: Vec<OwnedFd>,
    /// One descriptor of `/dev/vhost-net` for each queue, or none: then QEMU itself copies the
    /// frames.
    pub vhost: Vec<OwnedFd>,
}

/// Plugs in a card whose network backend is `id`. If that fails, nothing is left in QEMU.
pub fn run(address: &str, id: &str, mac: &str, backend: Backend) -> Result<()> {
    let vm = Client::connect(address)?;
    let Backend { kind, queues, vhost } = backend;
    let has_vhost = !vhost.is_empty();
    let card = format!("nic-{id}");
    let mut device = DeviceAdd::new("virtio-net-pci")
        .id(card.as_str())
        .property("netdev", id)
        // By default, QEMU counts from the same address in every VM.
        .property("mac", mac)
        // A boot ROM is useless for a card that is plugged in after booting.
        .property("romfile", "");
    if queues.len() > 1 {
        // One interrupt for each direction of each queue, one for control, one for changes.
        device = device.property("mq", true).property("vectors", 2 * queues.len() + 2);
    }
    let add_netdev = |names: &NicNames| {
        let options = match kind {
            Kind::Socket => {
                NetdevType::Socket(NetdevSocketOptions::new().fd(names.queues.as_str()))
            }
            Kind::Tap => {
                let tap = NetdevTapOptions::new().fds(names.queues.as_str());
                NetdevType::Tap(match has_vhost {
                    // Without `vhost`, QEMU ignores these descriptors.
                    true => tap.vhost(true).vhostfds(names.vhost.as_str()),
                    false => tap,
                })
            }
        };
        NetdevAdd::new(Netdev::new(id, options))
    };
    vm.plug_nic(id, queues, vhost, add_netdev, device)?;
    println!("the card {card} is plugged in");
    Ok(())
}
