//! Waiting for a QEMU that is starting.
//!
//! Its socket is not there yet, or there is a stale one of an earlier QEMU at which nobody
//! listens: `wait_for_socket` tries again until the deadline. A QEMU that does not like its
//! options ends at once, and then there is nothing to wait for: `connect_to_child` looks after the
//! process between two attempts.
//!
//! Two deadlines, since they mean different things. The socket is there soon or never. The
//! greeting may take long: a QEMU with much memory to allocate has its socket before it answers.
//!
//! Where nobody else has to connect, `Launch` is simpler: the monitor is a socket pair, and there
//! is nothing to wait for and nothing to clean up.
//!
//! ```console
//! $ cargo run --example wait_for_start -- /run/vm.sock qemu-system-x86_64 -display none
//! ```

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::{Address, Options, Result, TransportError};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, program, options @ ..] = &arguments[..] else {
        return Err("usage: wait_for_start SOCKET QEMU OPTION...".into());
    };
    let started = run(Path::new(socket), program, options);
    let (mut vm, mut qemu) = started.map_err(|error| error.report())?;
    vm.quit().map_err(|error| error.report())?;
    println!("{}", qemu.wait()?);
    Ok(())
}

/// Starts QEMU, and connects to it.
pub fn run(socket: &Path, program: &str, options: &[String]) -> Result<(Client, Child)> {
    let qemu = Command::new(program)
        .args(options)
        // `wait=off`: QEMU does not wait for us, or else it would before it is set up.
        .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
        .stdin(Stdio::null())
        .spawn();
    let mut qemu =
        qemu.map_err(|error| TransportError::new(format!("cannot start {program}"), error))?;
    let address = Address::from(socket.to_owned());
    let patience = Options::new()
        .wait_for_socket(Duration::from_secs(10))
        .greeting_within(Duration::from_secs(5 * 60));
    match Client::connect_to_child(&address, &patience, &mut qemu) {
        Ok(mut vm) => {
            let status = vm.execute(QueryStatus::new())?.status;
            println!("QEMU {} is there, {status}", vm.version());
            Ok((vm, qemu))
        }
        Err(error) => {
            // A process that is not waited for stays as a zombie, and one that hangs just stays.
            let _ = qemu.kill();
            let _ = qemu.wait();
            Err(error)
        }
    }
}
