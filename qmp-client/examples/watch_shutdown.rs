//! Watching for the end of a VM, and saying why it ended.
//!
//! `SHUTDOWN` says the reason. Yet QEMU can end without it: it crashes, it is killed, its host runs
//! out of memory. So the end of the connection is an end, too, and a watcher that waits for the
//! event alone waits for ever.
//!
//! Nor is `SHUTDOWN` always the end of QEMU: with `-no-shutdown` it stays, with the guest off, and
//! may be reset. Both are told apart here.
//!
//! ```console
//! $ cargo run --example watch_shutdown --features tokio -- unix:/run/vm.sock
//! ```

use std::error::Error;

use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::qmp::types::{RunState, ShutdownCause};
use qmp_client::{Client, Closed, Occurrence, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: watch_shutdown ADDRESS".into()) };
    run(address).await.map_err(|error| error.report())?;
    Ok(())
}

/// How a VM ended.
#[derive(Debug)]
pub struct Ended {
    /// Why the guest went off; nothing if nobody said so: then QEMU crashed, or was killed.
    pub reason: Option<ShutdownCause>,
    /// Why the connection ended.
    pub connection: Closed,
}

/// Watches until QEMU has gone.
pub async fn run(address: &str) -> Result<Ended> {
    watch(&Client::connect(address).await?).await
}

/// The same with a client that is used for other things meanwhile.
pub async fn watch(vm: &Client) -> Result<Ended> {
    // First subscribe, then ask: what happens in between is not missed.
    let mut events = vm.events_as::<AnyEvent>();
    let mut reason = None;
    // If this fails since QEMU has gone by now, the subscription says so too.
    let status = vm.execute(QueryStatus::new()).await.map(|info| info.status);
    if matches!(status, Ok(RunState::Shutdown)) {
        println!("the guest is off already");
    }
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => note(event, &mut reason),
            // The last item: QEMU has gone.
            Err(error) if error.is_closed() => break,
            // Some events were dropped, or one is not as the schema says: neither is the end.
            Err(error) => eprintln!("{}", error.report()),
        }
    }
    let connection = vm.closed().await;
    match &reason {
        Some(reason) => println!("ended: {reason}"),
        None => println!("ended without a reason: {}", connection.reason),
    }
    Ok(Ended { reason, connection })
}

fn note(event: Occurrence<AnyEvent>, reason: &mut Option<ShutdownCause>) {
    match event.event {
        AnyEvent::Shutdown(shutdown) => {
            let who = if shutdown.guest { "the guest" } else { "the host" };
            println!("off by {who}: {}", shutdown.reason);
            *reason = Some(shutdown.reason);
        }
        AnyEvent::GuestPanicked(panic) => println!("the guest has panicked: {}", panic.action),
        // It was not the end: QEMU was told to stay, and the guest begins again.
        AnyEvent::Reset(reset) => {
            println!("reset: {}", reset.reason);
            *reason = None;
        }
        _ => {}
    }
}
