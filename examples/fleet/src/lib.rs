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

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// The signals cannot be waited for.
pub async fn stopped() -> std::io::Result<()> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
