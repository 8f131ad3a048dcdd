//! Asking what a QEMU can do, before using what not every one has.
//!
//! The version tells less than it seems: distributions leave features out and port others back. So
//! QEMU is asked for its own schema, once, and a path says what one wants to know of it: a
//! command, a member of its arguments, a value of an enumeration.
//!
//! Here it is how a network backend gets back to a peer that was restarted. The newest member for
//! that counts in milliseconds, an older one, deprecated since, in seconds, and before that there
//! was none. Whoever just sends the newest one is refused by the others.
//!
//! ```console
//! $ cargo run --example capabilities --features tokio -- unix:/run/vm.sock net1 /run/switch.sock
//! ```

use std::error::Error;

use qmp_client::qmp::commands::{BlockJobChange, NetdevAdd};
use qmp_client::qmp::types::{
    Netdev, NetdevStreamOptions, NetdevType, SocketAddress, UnixSocketAddress,
};
use qmp_client::{Client, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id, socket] = &arguments[..] else {
        return Err("usage: capabilities ADDRESS ID SOCKET".into());
    };
    run(address, id, socket).await.map_err(|error| error.report())?;
    Ok(())
}

/// How a backend was told to connect again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reconnect {
    /// As the newest releases can.
    Milliseconds,
    /// As releases can that are a few years old.
    Seconds,
    /// This QEMU cannot.
    Never,
}

/// Adds a backend, and says how it connects again.
pub async fn run(address: &str, id: &str, socket: &str) -> Result<Reconnect> {
    let vm = Client::connect(address).await?;
    // The reply is large: ask once for a connection, and keep it.
    let qemu = vm.capabilities().await?;

    // A command, by its type. A misspelt one does not compile.
    if !qemu.supports::<BlockJobChange>() {
        println!("{}: a mirror's mode cannot be changed while it runs", vm.version());
    }
    // A value: the driver may be left out of a build.
    println!("io_uring: {}", qemu.has("blockdev-add/arg-type/driver/io_uring"));

    // A member of one branch of the arguments.
    let options = NetdevStreamOptions::new(SocketAddress::Unix(UnixSocketAddress::new(socket)));
    let (options, how) = if qemu.has("netdev_add/arg-type/stream/reconnect-ms") {
        (options.reconnect_ms(500), Reconnect::Milliseconds)
    } else if qemu.has("netdev_add/arg-type/stream/reconnect") {
        #[allow(deprecated)] // it is what this QEMU has
        (options.reconnect(1), Reconnect::Seconds)
    } else {
        (options, Reconnect::Never)
    };
    vm.execute(NetdevAdd::new(Netdev::new(id, NetdevType::Stream(options)))).await?;
    println!("{id} connects again: {how:?}");
    Ok(how)
}
