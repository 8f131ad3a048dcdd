//! Reboots a guest through its agent, and waits until the guest is up again.
//!
//! 1. The agent asks the guest's operating system to reboot, which stops its services properly;
//!    `system_reset` would be like the reset button. The agent cannot report success, since it is
//!    stopped as well: the command succeeds if no error has arrived after ten seconds.
//! 2. The event `RESET` says that the guest has reset the VM. It may arrive during those ten seconds,
//!    so the program subscribes before it asks. Resets by other programs are ignored.
//! 3. The agent answers again when the guest has booted.
//!
//! A VM that was started with `-no-reboot` ends instead, and the subscription reports that.
//!
//! With `ShutdownMode::Powerdown`, the agent shuts the guest down. That helps if the guest ignores
//! its power button, which is what `shut_down` presses.
//!
//! If this program is killed, nothing is left: a guest that was asked to reboot does.
//!
//! ```console
//! $ cargo run --example reboot --features qga -- unix:/run/vm.sock unix:/run/agent.sock
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::events::Reset;
use qmp_vm::ShutdownMode;
use qmp_vm::blocking::Agent;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, agent] = &arguments[..] else {
        return Err("usage: reboot ADDRESS AGENT".into());
    };
    run(address, agent, Duration::from_secs(5 * 60)).map_err(|error| error.report())?;
    Ok(())
}

/// Reboots the guest. It may take `patience` to shut down, and again to boot.
pub fn run(address: &str, agent: &str, patience: Duration) -> Result<()> {
    let vm = Client::connect(address)?;
    let guest = Agent::connect(agent)?;
    let mut resets = vm.events_of::<Reset>().matching(|reset| reset.event.guest);
    guest.shutdown(ShutdownMode::Reboot)?;
    if let Some(reset) = resets.next_within(patience) {
        println!("the guest has shut down: {}", reset?.event.reason);
    }
    guest.ping(patience)?;
    println!("the guest has booted");
    Ok(())
}
