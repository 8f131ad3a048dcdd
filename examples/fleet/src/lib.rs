//! The common parts of two programs that hand a host's monitors over to other systems:
//! `forward_events`, to a message broker, and `metrics`, to Prometheus.
//!
//! ```text
//! arguments, directories ──> Fleet ──a task for each machine──┬─> forward ──Note──> Publisher ──> NATS
//!                                    (a supervised client)    └─> metrics ──> Board <──HTTP── Prometheus
//! ```
//!
//! Each machine has a supervised client, so that a machine that is started again, or whose monitor is
//! cut off, is connected to again. Memory is limited: by the queue of each client, and by a window of
//! messages that the broker has not confirmed.

pub mod forward;
pub mod machines;
pub mod metrics;
pub mod names;

use qmp_client::protocol::Printable;
use tokio::signal::unix::{SignalKind, signal};

/// Prints a line on standard error. Text from elsewhere is escaped.
pub fn say(line: &str) {
    eprintln!("{}", Printable(line));
}

/// Returns a future that waits for SIGINT or SIGTERM. From now on, they do not end the program.
///
/// # Errors
/// The signals cannot be waited for.
pub fn stopped() -> Result<impl Future<Output = ()>, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
