//! Shutting a VM down: politely first, and then in any case.
//!
//! `Client::shut_down` has all of it in one call:
//!
//! 1. A guest that is not running hears nothing; one that is paused is resumed for this. (What is
//!    left at one end of a migration is no guest any more: there, QEMU is ended at once.)
//! 2. `system_powerdown` presses the power button. Its reply says only that it was pressed, and so
//!    does the event `POWERDOWN`: what tells that the guest is off is `SHUTDOWN`. That also says
//!    who it was: somebody else may have been faster with `quit`, or with a signal.
//! 3. A guest may ignore the button. After the patience is over, QEMU is ended with `quit`.
//! 4. `quit` comes last in any case: with `-no-shutdown` the guest is off, and QEMU is still there.
//!    QEMU may close the connection before it replies, which is the success that it is.
//!
//! ```console
//! $ cargo run --example shut_down -- unix:/run/vm.sock 60
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::{EndedBy, Result, ShutDown};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds] = &arguments[..] else {
        return Err("usage: shut_down ADDRESS SECONDS".into());
    };
    let patience = Duration::from_secs(seconds.parse()?);
    run(address, patience).map_err(|error| error.report())?;
    Ok(())
}

/// Shuts it down, and says who did it.
pub fn run(address: &str, patience: Duration) -> Result<ShutDown> {
    let mut vm = Client::connect(address)?;
    // If this passes its deadline, QEMU hangs, on a disk for example. Whoever has started it then
    // kills the process; a client that launched it does so itself.
    let how = vm.shut_down(patience)?;
    let who = match how.by {
        EndedBy::Guest => "by the guest",
        EndedBy::Quit => "by us: the guest did not",
        EndedBy::Kill => "by force: QEMU did not end",
        _ => "by somebody else",
    };
    let reason = how.reason.as_ref().map_or("QEMU did not say why", |reason| reason.as_str());
    println!("shut down {who} ({reason})");
    Ok(how)
}
