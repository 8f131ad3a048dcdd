//! Shuts a VM down: first by asking the guest, and then without asking.
//!
//! `shut_down` does all of it in one call:
//!
//! 1. A guest that does not run cannot react. A paused guest is resumed for this. (A VM at the end of
//!    a migration that it left has no guest any more: QEMU is ended at once.)
//! 2. `system_powerdown` presses the power button. Neither its reply nor the event `POWERDOWN` says
//!    more than that. The event `SHUTDOWN` says that the guest is off, and why: another program may
//!    have sent `quit` first, or a signal.
//! 3. The guest may ignore the button. When the patience has run out, QEMU is ended with `quit`.
//! 4. `quit` comes last in any case: with `-no-shutdown`, QEMU goes on after the guest is off. QEMU
//!    may close the connection before it replies, which is success.
//!
//! If this program is killed, the guest may still shut down, and this may be left:
//!
//! - a QEMU whose guest is off, which `quit` ends, if QEMU was started with `-no-shutdown`.
//!
//! ```console
//! $ cargo run --example shut_down -- unix:/run/vm.sock 60
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_vm::{EndedBy, ShutDown, Workflows};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds] = &arguments[..] else {
        return Err("usage: shut_down ADDRESS SECONDS".into());
    };
    let patience = Duration::from_secs(seconds.parse()?);
    run(address, patience).map_err(|error| error.report())?;
    Ok(())
}

/// Shuts a VM down, and returns what ended it.
pub fn run(address: &str, patience: Duration) -> Result<ShutDown> {
    let vm = Client::connect(address)?;
    // If the deadline passes, QEMU hangs, for example on a disk. The program that started QEMU has
    // to kill it then, which `shut_down` does by itself for a VM that was launched here.
    let ended = vm.shut_down(patience)?;
    let by = match ended.by {
        EndedBy::Guest => "by the guest",
        EndedBy::Quit => "by this program: the guest did not react",
        EndedBy::Kill => "by force: QEMU did not exit",
        _ => "by another program",
    };
    let reason = ended.reason.as_ref().map_or("no reason given", |reason| reason.as_str());
    println!("shut down {by} ({reason})");
    Ok(ended)
}
