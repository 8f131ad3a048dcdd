//! Follows a machine for as long as it exists: through cuts, and through restarts at the same address.
//!
//! ```console
//! $ cargo run --example supervised --features tokio -- unix:/run/vm.sock
//! connected to the first QEMU, version 10.0.2: running
//! STOP
//! lost: the peer closed it
//! connected to the same QEMU, version 10.0.2: paused
//! lost: the peer closed it
//! ended: the process 4711 of QEMU has ended
//! ```
//!
//! - A subscription outlasts connections. Where events may be missing, it says so, in order: after a
//!   gap, everything that was learnt from events is asked for again.
//! - Each connection says whether it is the same QEMU. A machine that was started again at the same
//!   address has nothing of what was done to the one before.
//! - A call that fails says whether its command was executed. Those that only ask are repeated on the
//!   next connection, within their deadline.
//! - Everything that takes a client works on `client_within`, and ends with that connection.
//!
//! If this program is killed, nothing is left: it only asks and listens.
//!
//! With the blocking client, this is `qmp_vm::blocking::supervise`, and a thread for each of the two
//! streams.

use std::time::Duration;

use qmp_client::protocol::Printable;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::{Client, Result};
use qmp_vm::supervise::{Change, Fate, Gap, Item, Supervised, Supervision};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let address = std::env::args().nth(1).unwrap_or_else(|| "/run/vm.sock".to_owned());
    // The process of QEMU is the machine: when it has ended, no other is waited for. Without this,
    // QEMU may be started again.
    let policy = Supervision::new().end_with_process().give_up_after(Duration::from_secs(60));
    match run(&address, policy, |line| println!("{line}")).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.report());
            std::process::ExitCode::FAILURE
        }
    }
}

/// Prints what happens to the machine, until the supervision ends.
pub async fn run(address: &str, policy: Supervision, mut print: impl FnMut(String)) -> Result<()> {
    let vm = qmp_vm::tokio::supervise(address, policy)?;
    let (mut events, mut changes) = (vm.raw_events(), vm.changes());
    loop {
        tokio::select! {
            item = events.next() => match item {
                Some(Ok(Item::Event(event))) => print(Printable(&event.name).to_string()),
                // Whatever was learnt from events is asked for again.
                Some(Ok(Item::Gap(Gap::Reconnected(connection)))) => {
                    let version = connection.client.version().clone();
                    let status = status(&vm).await;
                    print(format!("connected to {}, version {version}: {status}", connection.same_qemu));
                }
                Some(Ok(Item::Gap(gap))) => print(format!("{gap}: {}", status(&vm).await)),
                Some(Ok(_)) => {}
                Some(Err(error)) if !error.is_closed() => print(error.report()),
                Some(Err(_)) | None => {
                    print(format!("ended: {}", vm.ended().await));
                    return Ok(());
                }
            },
            // The subscription tells of connections.
            change = changes.next() => if let Some(Change::Lost(lost)) = change {
                print(format!("lost: {}", lost.reason));
            },
        }
    }
}

/// Asks for the state of the machine. The command only asks, so that it is repeated if the connection
/// ends meanwhile.
async fn status(vm: &Supervised<Client>) -> String {
    match vm.call(QueryStatus::new()).within(Duration::from_secs(5)).execute().await {
        Ok(status) => status.status.to_string(),
        Err(error) if error.fate == Fate::Answered => format!("refused: {error}"),
        Err(error) => format!("not known: {error}"),
    }
}
