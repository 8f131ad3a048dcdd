//! A workflow of your own: the steps of `plug_disk` and its kin, for a device that has no method.
//!
//! This one gives a running VM a channel for the guest agent, in two steps:
//!
//! 1. `chardev-add` makes QEMU listen on a socket.
//! 2. `device_add` adds the port that the guest sees, and connects it to that socket.
//!
//! If the second step fails, the socket must be removed with `chardev-remove`. `execute_undoable`
//! returns a guard that does so:
//!
//! - Its argument says which command undoes the first step, given that step's result.
//! - Dropping the guard executes that command, so that every `?` further down undoes the step. With
//!   several guards, the last one is dropped first, which is the right order.
//! - `disarm` keeps the result of the step, and `run` undoes it now and reports a failure.
//!
//! The asynchronous client has the same methods. There, the guard also acts when the future is
//! dropped in the middle.
//!
//! The VM must have been started with `-device virtio-serial`.
//!
//! If this program is killed, no guard acts, and this may be left in QEMU:
//!
//! - the character device `chardev-ID`, which `chardev-remove` removes unless the port is plugged
//!   in.
//!
//! ```console
//! $ cargo run --example own_workflow -- unix:/run/vm.sock agent0 /run/vm-agent.sock
//! ```

use std::error::Error;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{ChardevAdd, ChardevRemove, DeviceAdd};
use qmp_client::qmp::types::{
    ChardevBackend, ChardevSocket, ChardevSocketWrapper, SocketAddressLegacy, UnixSocketAddress,
    UnixSocketAddressWrapper,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id, socket] = &arguments[..] else {
        return Err("usage: own_workflow ADDRESS ID SOCKET".into());
    };
    let vm = Client::connect(address).map_err(|error| error.report())?;
    plug_agent(&vm, id, socket).map_err(|error| error.report())?;
    println!("the agent can be reached at unix:{socket}");
    Ok(())
}

/// Plugs in a channel for the guest agent. If that fails, nothing is left in QEMU.
pub fn plug_agent(vm: &Client, id: &str, socket: &str) -> Result<()> {
    let chardev = format!("chardev-{id}");
    let listen = ChardevAdd::new(chardev.as_str(), listens_at(socket));
    let remove = ChardevRemove::new(chardev.as_str());
    // After a failure, nothing is ours to remove: there may be an older one with the same id.
    let undoable =
        vm.call(listen).execute_undoable(move |added| added.is_ok().then(|| remove.clone()));
    let (_, listening) = undoable?;

    // If this fails, `listening` is dropped, which removes the socket before the error is returned.
    let port = DeviceAdd::new("virtserialport")
        .id(id)
        .property("chardev", chardev)
        // The agent looks for a port of this name.
        .property("name", "org.qemu.guest_agent.0");
    vm.execute(port)?;
    listening.disarm();
    Ok(())
}

fn listens_at(path: &str) -> ChardevBackend {
    let address = UnixSocketAddressWrapper::new(UnixSocketAddress::new(path));
    let socket = ChardevSocket::new(SocketAddressLegacy::Unix(address)).server(true).wait(false);
    ChardevBackend::Socket(ChardevSocketWrapper::new(socket))
}
