//! Suspends a guest to its memory, and wakes it up again.
//!
//! 1. The guest agent suspends the guest. It cannot report success, since it is suspended too: the
//!    command succeeds if no error has arrived after ten seconds. Some guests do not support every
//!    mode, which is an error of the agent.
//! 2. The event `SUSPEND` says that the guest is suspended. It usually arrives during those ten
//!    seconds, so the program subscribes before it asks.
//! 3. `system_wakeup` wakes the guest, and `WAKEUP` says that it has.
//! 4. The agent answers again when the guest's operating system has resumed.
//!
//! If this program is killed, this may be left:
//!
//! - the suspended guest, which `system_wakeup` wakes.
//!
//! ```console
//! $ cargo run --example suspend --features tokio,qga -- unix:/run/vm.sock unix:/run/agent.sock
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::qmp::commands::SystemWakeup;
use qmp_client::qmp::events::{Suspend, Wakeup};
use qmp_client::{Client, Result};
use qmp_vm::{Agent, SuspendMode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, agent] = &arguments[..] else {
        return Err("usage: suspend ADDRESS AGENT".into());
    };
    let enter = async {
        println!("the guest is suspended; press Enter to wake it up");
        let read = || std::io::stdin().read_line(&mut String::new());
        let _ = tokio::task::spawn_blocking(read).await;
    };
    let patience = Duration::from_secs(60);
    run(address, agent, patience, enter).await.map_err(|error| error.report())?;
    Ok(())
}

/// Suspends the guest until `asleep` completes.
pub async fn run(
    address: &str,
    agent: &str,
    patience: Duration,
    asleep: impl Future<Output = ()>,
) -> Result<()> {
    let vm = Client::connect(address).await?;
    let guest = Agent::connect(agent).await?;
    let mut suspended = vm.events_of::<Suspend>();
    guest.suspend(SuspendMode::Ram).await?;
    if let Some(event) = suspended.next_within(patience).await {
        println!("suspended at {:?}", event?.timestamp);
    }

    asleep.await;

    vm.call(SystemWakeup::new()).within(patience).until(|_: &Wakeup| true).await?;
    guest.ping(patience).await?;
    println!("the guest has resumed");
    Ok(())
}
