//! Asks QEMU what it supports, before using a feature that only some releases have.
//!
//! The version is a poor guide: distributions build QEMU without some features, and backport
//! others. Instead, QEMU is asked for its own schema, once, and paths into that schema say whether
//! it has a command, a member of a command's arguments, or a value of an enumeration.
//!
//! The example is a network backend that reconnects to its peer after the peer was restarted. New
//! releases take the delay in milliseconds, older ones take it in seconds (which is deprecated by
//! now), and even older ones cannot reconnect. A program that always sends the newest member is
//! refused by older releases.
//!
//! If this program is killed, nothing is left in QEMU but the backend, once it has been added.
//!
//! ```console
//! $ cargo run --example capabilities --features tokio -- unix:/run/vm.sock net1 /run/switch.sock
//! ```

use std::error::Error;

use qmp_client::qmp::commands::{BlockJobChange, NetdevAdd};
use qmp_client::qmp::events::NetdevStreamConnected;
use qmp_client::qmp::types::{
    Netdev, NetdevStreamOptions, NetdevType, SocketAddress, UnixSocketAddress,
};
use qmp_client::{Client, Result};
use qmp_vm::Workflows;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id, socket] = &arguments[..] else {
        return Err("usage: capabilities ADDRESS ID SOCKET".into());
    };
    run(address, id, socket).await.map_err(|error| error.report())?;
    Ok(())
}

/// The way in which a network backend reconnects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reconnect {
    /// After a delay in milliseconds, as new releases can.
    Milliseconds,
    /// After a delay in seconds, as releases can that are a few years old.
    Seconds,
    /// Not at all.
    Never,
}

/// Adds a network backend, and returns how it reconnects.
pub async fn run(address: &str, id: &str, socket: &str) -> Result<Reconnect> {
    let vm = Client::connect(address).await?;
    // The reply is large: ask once for each connection, and keep it.
    let qemu = vm.capabilities().await?;

    // A command or an event is named by its type, so that a misspelled name does not compile.
    if !qemu.supports::<BlockJobChange>() {
        println!("QEMU {} cannot change the mode of a running mirror", vm.version());
    }
    if !qemu.emits::<NetdevStreamConnected>() {
        println!("QEMU {} does not report when the backend connects", vm.version());
    }
    // A value: QEMU may have been built without this driver.
    println!("io_uring: {}", qemu.has("blockdev-add/arg-type/driver/io_uring"));

    // A member that belongs to one branch of the arguments.
    let options = NetdevStreamOptions::new(SocketAddress::Unix(UnixSocketAddress::new(socket)));
    let (options, reconnect) = if qemu.has("netdev_add/arg-type/stream/reconnect-ms") {
        (options.reconnect_ms(500), Reconnect::Milliseconds)
    } else if qemu.has("netdev_add/arg-type/stream/reconnect") {
        #[allow(deprecated)] // this QEMU has no other member for it
        (options.reconnect(1), Reconnect::Seconds)
    } else {
        (options, Reconnect::Never)
    };
    vm.execute(NetdevAdd::new(Netdev::new(id, NetdevType::Stream(options)))).await?;
    println!("{id} reconnects: {reconnect:?}");
    Ok(reconnect)
}
