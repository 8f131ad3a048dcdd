//! Follows a VM, and prints what changes in it, for as long as it takes.
//!
//! A picture of a VM that a program builds of events alone is wrong sooner or later: many changes have
//! no event, and events are missed while the connection is down. A mirror asks again wherever events
//! do not tell, and after every outage.
//!
//! - `supervise` connects again whenever the connection ends, with pauses that grow.
//! - The keeper of the mirror hears events and asks. It is spawned, and ends with the last handle.
//! - `changes` compares the view that was taken last with the present one. A program that is slow
//!   misses no change; it gets several at once.
//! - `wait_until` waits for a state, whatever leads there.
//!
//! Commands of this program go through `execute` of the mirror, or are noted with `note`: then the
//! mirror asks at once for what they change. What another program changes without an event, such as a
//! new block node, appears after the policy's period.
//!
//! If this program is killed, nothing is left: it only asks.
//!
//! ```console
//! $ cargo run --example mirror_machine --features tokio -- unix:/run/vm.sock
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::{Client, Result};
use qmp_vm::mirror::{Change, Mirror, Policy, Update};
use qmp_vm::supervise::Supervision;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: mirror_machine ADDRESS".into()) };
    let mirror = mirror(address).map_err(|error| error.report())?;
    let shown = show(&mirror, |_| true).await;
    shown.map_err(|error| error.report())?;
    Ok(())
}

/// Creates a mirror of the VM at an address.
pub fn mirror(address: &str) -> Result<Mirror<Client>> {
    let vm = qmp_vm::tokio::supervise(address, Supervision::new())?;
    let policy = Policy::new().period(Some(Duration::from_secs(10)));
    let (mirror, keeper) = Mirror::supervised(&vm, policy);
    tokio::spawn(keeper.run());
    Ok(mirror)
}

/// Prints all changes, until `more` returns false.
pub async fn show(mirror: &Mirror<Client>, mut more: impl FnMut(&Update) -> bool) -> Result<()> {
    let mut changes = mirror.changes();
    while let Some(update) = changes.next_within(Duration::from_secs(3600)).await {
        match update {
            Ok(update) => {
                update.changes.iter().for_each(print);
                if !more(&update) {
                    return Ok(());
                }
            }
            Err(error) if error.is_timeout() => println!("nothing has changed for an hour"),
            // The last item.
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn print(change: &Change) {
    match change {
        Change::RunState { from: Some(from), to: Some(to) } => println!("{from} -> {to}"),
        Change::Job { id, to: Some(status), .. } => println!("job {id:?} is {status}"),
        Change::Job { id, to: None, .. } => println!("job {id:?} is gone"),
        Change::Other(part) => println!("something else in `{part}`"),
        // `Debug` escapes names that a peer has sent.
        change => println!("{change:?}"),
    }
}
