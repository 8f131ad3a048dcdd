//! Waits for a QEMU that is starting.
//!
//! Its socket does not exist yet, or it is a stale one of an earlier QEMU, on which no process
//! listens: `wait_for_socket` retries until the deadline. A QEMU that rejects its options exits at
//! once, and waiting for it is pointless: `connect_to_child` checks the process between two attempts.
//!
//! The two deadlines mean different things. The socket is created soon or never, while the greeting
//! may take long: a QEMU that allocates a lot of memory has its socket before it answers.
//!
//! If no other program has to connect, `launch` is simpler: the monitor is a socket pair, so nothing
//! has to be waited for or cleaned up.
//!
//! If this program is killed, this is left:
//!
//! - the QEMU that was started, which goes on. Its socket is known, so another program can take
//!   over; if QEMU has to end with its program, use `launch`.
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
use qmp_client::{Options, Result, TransportError};
use qmp_vm::Workflows;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, program, options @ ..] = &arguments[..] else {
        return Err("usage: wait_for_start SOCKET QEMU OPTION...".into());
    };
    let started = run(Path::new(socket), program, options);
    let (vm, mut qemu) = started.map_err(|error| error.report())?;
    vm.quit_within(Duration::from_secs(30)).map_err(|error| error.report())?;
    println!("{}", qemu.wait()?);
    Ok(())
}

/// Starts QEMU, and connects to it.
pub fn run(socket: &Path, program: &str, options: &[String]) -> Result<(Client, Child)> {
    let qemu = Command::new(program)
        .args(options)
        // With `wait=on`, QEMU would wait for a client before it initializes the VM.
        .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
        .stdin(Stdio::null())
        .spawn();
    let mut qemu =
        qemu.map_err(|error| TransportError::new(format!("cannot start {program}"), error))?;
    let options = Options::new()
        .wait_for_socket(Duration::from_secs(10))
        .greeting_within(Duration::from_secs(5 * 60));
    match Client::connect_to_child(socket, &options, || qemu.try_wait()) {
        Ok(vm) => {
            let status = vm.execute(QueryStatus::new())?.status;
            println!("QEMU {} is {status}", vm.version());
            Ok((vm, qemu))
        }
        Err(error) => {
            // A process that hangs stays, and one that has exited stays as a zombie.
            let _ = qemu.kill();
            let _ = qemu.wait();
            Err(error)
        }
    }
}
