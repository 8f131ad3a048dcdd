//! Opens another monitor of a running machine through one: it hears events while the first is used for
//! something else.
//!
//! - QEMU has monitors that can be added since 11.1. On older ones, the proxy that `connect_shared` puts
//!   below the client serves the other monitor. The program is the same.
//! - Each monitor has its own commands in flight: a slow one delays only those that follow it on the
//!   same monitor, as far as QEMU can do both at once.
//! - Dropping the monitor leaves nothing behind in QEMU. If this program is killed, the proxy is gone as
//!   well; QEMU 11.1 may keep an object whose name begins with `qmp-monitor-` until the next program
//!   opens a monitor.
//!
//! A program that launches QEMU writes `Launch::shared` instead.
//!
//! ```console
//! $ cargo run --example another_monitor --features proxy -- unix:/run/vm.sock
//! ```

use std::error::Error;
use std::thread;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::{Options, Result};
use qmp_vm::{Workflows, proxy};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else {
        return Err("usage: another_monitor ADDRESS".into());
    };
    let heard = run(address, Duration::from_secs(60)).map_err(|error| error.report())?;
    println!("{} events in a minute", heard.len());
    Ok(())
}

/// Listens for this long on a monitor of its own, and returns the names of the events.
pub fn run(address: &str, listen: Duration) -> Result<Vec<String>> {
    let vm = proxy::connect_shared::<Client>(address, &Options::new())?;
    let listener = vm.open_monitor()?;
    let mut events = listener.raw_events();

    thread::scope(|scope| {
        let heard = scope.spawn(move || {
            let mut heard = Vec::new();
            // The subscription ends with its connection.
            while let Some(Ok(event)) = events.next() {
                println!("{}", event.name.escape_debug());
                heard.push(event.name.to_string());
            }
            heard
        });
        let status = vm.execute(QueryStatus::new());
        if let Ok(status) = &status {
            println!("the VM is {}; listening for {listen:?}", status.status);
            vm.pause(listen);
        }
        // Closes the connection, and reports if something is left.
        listener.remove()?;
        status?;
        Ok(heard.join().unwrap_or_default())
    })
}
