//! Shutting a VM down: politely first, and then in any case.
//!
//! 1. `system_powerdown` presses the power button. Its reply says only that it was pressed, and so
//!    does the event `POWERDOWN`: what tells that the guest is off is `SHUTDOWN`.
//! 2. A guest that is not running hears nothing; one that is paused is resumed for this. (What is
//!    left at one end of a migration is no guest any more: there, only end QEMU.)
//! 3. A guest may ignore the button. After the patience is over, QEMU is ended with `quit`.
//! 4. `quit` comes last in any case: with `-no-shutdown` the guest is off, and QEMU is still there.
//!    QEMU may close the connection before it replies: `quit` takes that for the success it is.
//!
//! `Client::shut_down` does most of this in one call. Here are its steps, and the reason.
//!
//! ```console
//! $ cargo run --example shut_down -- unix:/run/vm.sock 60
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{Cont, QueryStatus, SystemPowerdown};
use qmp_client::qmp::events::Shutdown;
use qmp_client::qmp::types::RunState;

/// How long QEMU may take to write what it has not written yet, and end.
const ENDING: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds] = &arguments[..] else {
        return Err("usage: shut_down ADDRESS SECONDS".into());
    };
    let patience = Duration::from_secs(seconds.parse()?);
    run(address, patience).map_err(|error| error.report())?;
    Ok(())
}

/// Shuts it down, and says whether the guest did so itself.
pub fn run(address: &str, patience: Duration) -> Result<bool> {
    let mut vm = Client::connect(address)?;
    let by_guest = ask_guest(&mut vm, patience)?;
    if !by_guest {
        println!("the guest is not off: ending QEMU");
    }
    // If this passes its deadline, QEMU hangs, on a disk for example. Whoever has started it then
    // kills the process; a client that launched it has that process as `vm.process()`.
    vm.quit_within(ENDING)?;
    println!("QEMU has ended");
    Ok(by_guest)
}

fn ask_guest(vm: &mut Client, patience: Duration) -> Result<bool> {
    match vm.execute(QueryStatus::new())?.status {
        RunState::Running => {}
        RunState::Paused | RunState::Suspended => resume(vm)?,
        RunState::Shutdown => return Ok(true),
        // Nobody is there who could react: it has not begun, has panicked, has moved away.
        other => {
            println!("the guest is {other}");
            return Ok(false);
        }
    }
    // Sent and waited for in one: a `SHUTDOWN` from before is not taken for the answer, and one
    // that comes before the reply is not missed.
    let call = vm.call(SystemPowerdown::new()).within(patience);
    match call.until(|_: &Shutdown| true) {
        Ok((_, shutdown)) => {
            let Shutdown { guest, reason, .. } = shutdown.event;
            println!("off: {reason}{}", if guest { ", by the guest" } else { "" });
            // Somebody else may have been faster with `quit`, or with a signal.
            Ok(guest)
        }
        Err(error) if error.is_timeout() => Ok(false),
        // QEMU has ended without a word. What matters is that it has.
        Err(error) if error.is_closed() => Ok(false),
        Err(error) => Err(error),
    }
}

fn resume(vm: &mut Client) -> Result<()> {
    println!("resuming the guest, so that it hears the power button");
    match vm.execute(Cont::new()) {
        // It cannot be resumed: then it cannot react either.
        Err(error) if error.server().is_none() => Err(error),
        _ => Ok(()),
    }
}
