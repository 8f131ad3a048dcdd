//! Launches a QEMU of this program, uses it, and shuts it down.
//!
//! - The monitor is a socket pair: no path has to be agreed on, no other program can connect, and
//!   nothing has to be waited for. If other programs have to connect as well, give QEMU another
//!   `-qmp`, or do what `wait_for_start` does.
//! - If QEMU rejects its options, the error has what it wrote to its standard error. Later output is
//!   passed on, line by line; with `-nographic`, that includes the guest's console.
//! - If this program ends in any way, QEMU ends as well.
//! - The result dereferences to the client, which may be cloned. Dropping it ends QEMU.
//! - `shut_down` asks the guest first, then tells QEMU to quit, and finally kills the process: after
//!   twice the patience, QEMU has ended.
//!
//! If this program is killed, nothing is left: a shell that waits for the end of this program tells
//! QEMU to end, and kills it if it does not.
//!
//! With the asynchronous client, this is `start::<qmp_client::Client>().await`.
//!
//! ```console
//! $ cargo run --example launch -- qemu-system-x86_64 -m 1G -drive file=disk.qcow2
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryStatus;
use qmp_vm::{Launch, ShutDown};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, rest @ ..] = &arguments[..] else {
        return Err("usage: launch QEMU OPTION...".into());
    };
    let use_it = |vm: &Client| {
        println!(
            "the VM is {}; press Enter to shut it down",
            vm.execute(QueryStatus::new())?.status
        );
        let _ = std::io::stdin().read_line(&mut String::new());
        Ok(())
    };
    run(program, rest, Duration::from_secs(60), use_it).map_err(|error| error.report())?;
    Ok(())
}

/// Launches QEMU with these options, and shuts it down after it was used.
pub fn run(
    program: &str,
    options: &[String],
    patience: Duration,
    use_it: impl FnOnce(&Client) -> Result<()>,
) -> Result<ShutDown> {
    let vm = Launch::new(program)
        .args(options)
        // A guest's console may contain sequences that control the terminal.
        .on_stdout(|line| println!("console: {}", line.escape_debug()))
        .on_stderr(|line| eprintln!("QEMU: {line}"))
        .start::<Client>()?;
    println!("QEMU {} is process {}", vm.version(), vm.process().id());
    // If this fails, `vm` is dropped, and QEMU is ended.
    use_it(&vm)?;
    let ended = vm.shut_down(patience)?;
    println!("ended by {:?}: {:?}", ended.by, vm.process().try_wait()?);
    Ok(ended)
}
