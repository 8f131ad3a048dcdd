//! Another monitor of a machine, opened through one that is connected.
//!
//! ```text
//! open_monitor ── is it offered by a proxy only? ── yes ─────────────────> proxied::open ──┐
//!                            │ no                                                          │
//!                 does QEMU have `monitor-qmp`? ── yes ──────────────────> qemu::open ─────┤
//!                            │ no                                                          │
//!                 is it offered by a proxy? ── yes ──────────────────────> proxied::open ──┤
//!                            │ no                                                          v
//!                 Misuse::OneMonitor                             stream, removal ──> AnotherMonitor
//! ```
//!
//! QEMU is asked what it has, in `qom-list-types`. A proxy says in its greeting what it has, so that
//! nothing depends on which release, or whose proxy, is at the other end, and a client need not own the
//! proxy that serves it.

mod offer;
mod proxied;
mod qemu;

use std::ops::Deref;
use std::os::unix::net::UnixStream;

use qmp_client::{Client, Misuse, Options, Result};

use self::offer::Offer;
use self::qemu::Removal;
use crate::monitor::Monitor;

#[cfg(feature = "proxy")]
pub(crate) use self::offer::{OFFERED, ONLY};
#[cfg(feature = "proxy")]
pub(crate) use self::proxied::OPEN_MONITOR;

/// Another monitor of a machine: a client of its own, to which this dereferences.
///
/// [`Workflows::open_monitor`](crate::Workflows::open_monitor) opens it. It has its own negotiation, its
/// own commands in flight, and hears all events.
///
/// Dropping it closes the connection, however many clones of the client exist, and removes from QEMU
/// what was added for it. This is done through the monitor that opened it: on the blocking client,
/// dropping waits for QEMU's replies; on the asynchronous one, the commands are executed in the
/// background and keep that connection open until they are answered.
///
/// If the monitor that opened it is closed first, or the program is killed, QEMU (11.1) removes the
/// object and the character device by itself when the connection closes, unless it is executing a command
/// of this monitor at that moment; then it leaves both, without their descriptor, until a program opens
/// a monitor the next time. Their names begin with `qmp-monitor-`.
#[derive(Debug)]
#[must_use = "dropping it closes the monitor"]
pub struct AnotherMonitor<M: Monitor = Client> {
    removal: Option<Removal<M>>,
    client: M,
}

impl<M: Monitor> AnotherMonitor<M> {
    /// Returns the client, which may be cloned.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(monitor: &qmp_vm::AnotherMonitor<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// println!("{}", monitor.client().execute(QueryStatus::new())?.status);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn client(&self) -> &M {
        &self.client
    }

    /// Closes the connection, removes from QEMU what was added for it, and reports a failure.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(monitor: qmp_vm::AnotherMonitor<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// monitor.remove()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`. If the connection has been closed already, QEMU may have removed
    /// everything by itself, which is not an error.
    ///
    /// # Cancel safety
    /// If the future is dropped, everything is removed all the same.
    pub fn remove(mut self) -> M::Outcome<'static, Result<()>> {
        M::run(async move {
            match self.removal.take() {
                Some(removal) => removal.run().await,
                None => Ok(()),
            }
        })
    }
}

impl<M: Monitor> Deref for AnotherMonitor<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.client
    }
}

impl<M: Monitor> Drop for AnotherMonitor<M> {
    fn drop(&mut self) {
        // First, because QEMU does not always remove everything when it is the client that closes.
        drop(self.removal.take());
        self.client.close();
    }
}

/// Opens another monitor. `connect` makes a client of this side of it.
pub(crate) async fn open<M, F>(
    vm: &M,
    connect: impl FnOnce(UnixStream, Options) -> F + Send,
) -> Result<AnotherMonitor<M>>
where
    M: Monitor,
    F: Future<Output = Result<M>> + Send,
{
    let offer = Offer::of(vm.greeting());
    let (stream, removal) = if offer != Offer::Only && qemu::is_able(vm).await? {
        let (stream, removal) = qemu::open(vm).await?;
        (stream, Some(removal))
    } else if offer == Offer::None {
        return Err(Misuse::OneMonitor.into());
    } else {
        (proxied::open(vm).await?, None)
    };
    // If this fails or is dropped, what was added is removed.
    let client = connect(stream, vm.options().clone()).await?;
    Ok(AnotherMonitor { removal, client })
}
