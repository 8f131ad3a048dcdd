//! Watches a VM, and reports when and why it has ended.
//!
//! The event `SHUTDOWN` gives the reason. But QEMU can end without sending it: it crashes, it is
//! killed, its host runs out of memory. So the end of the connection counts as well, and a program
//! that waits for the event alone may wait forever.
//!
//! Conversely, `SHUTDOWN` is not always the end of QEMU: with `-no-shutdown`, QEMU goes on after the
//! guest is off, and the guest may be reset. This program tells the two apart.
//!
//! If this program is killed, nothing is left: it only listens.
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

/// The end of a VM.
#[derive(Debug)]
pub struct Ended {
    /// The reason why the guest is off; `None` if QEMU crashed or was killed.
    pub reason: Option<ShutdownCause>,
    /// The reason why the connection ended.
    pub connection: Closed,
}

/// Waits until QEMU has ended.
pub async fn run(address: &str) -> Result<Ended> {
    watch(&Client::connect(address).await?).await
}

/// Does the same as [`run`], with a client that other tasks may use meanwhile.
pub async fn watch(vm: &Client) -> Result<Ended> {
    // Subscribe first, and query the state afterwards, so that no change is missed.
    let mut events = vm.events::<AnyEvent>();
    let mut reason = None;
    // If this fails because QEMU has ended by now, the subscription reports that too.
    let status = vm.execute(QueryStatus::new()).await.map(|info| info.status);
    if matches!(status, Ok(RunState::Shutdown)) {
        println!("the guest is off already");
    }
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => note(event, &mut reason),
            // The last item: QEMU has ended.
            Err(error) if error.is_closed() => break,
            // Events were dropped, or one does not match the schema. The subscription goes on.
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
            let by = if shutdown.guest { "the guest" } else { "the host" };
            println!("shut down by {by}: {}", shutdown.reason);
            *reason = Some(shutdown.reason);
        }
        AnyEvent::GuestPanicked(panic) => println!("the guest has panicked: {}", panic.action),
        // The guest starts again: QEMU was told to go on.
        AnyEvent::Reset(reset) => {
            println!("reset: {}", reset.reason);
            *reason = None;
        }
        _ => {}
    }
}
