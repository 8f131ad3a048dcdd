//! Shutting a guest down, and suspending it.

use qmp_client::Result;
use qmp_types::qga::commands::{
    GuestShutdown, GuestSuspendDisk, GuestSuspendHybrid, GuestSuspendRam,
};

use super::client::Agent;
use crate::monitor::Monitor;

/// The way in which a guest shuts down.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ShutdownMode {
    /// The guest powers off.
    #[default]
    Powerdown,
    /// The guest halts, and its power stays on.
    Halt,
    /// The guest reboots.
    Reboot,
}

impl ShutdownMode {
    /// Returns the name on the wire, such as `powerdown`.
    ///
    /// ```
    /// assert_eq!(qmp_vm::ShutdownMode::Reboot.as_str(), "reboot");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Powerdown => "powerdown",
            Self::Halt => "halt",
            Self::Reboot => "reboot",
        }
    }
}

/// The place where a guest keeps its memory while it is suspended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SuspendMode {
    /// The guest's disk; the guest powers off.
    Disk,
    /// The guest's memory.
    Ram,
    /// Both: the disk is used if the power fails.
    Hybrid,
}

impl<M: Monitor> Agent<M> {
    /// Asks the guest to shut down or to reboot. The agent does not answer success: it refuses
    /// within [ten seconds](qmp_client::deadlines::recommended), or ends with its guest, or is taken
    /// to agree. QEMU's event `SHUTDOWN` tells when the guest has shut down.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// use qmp_vm::ShutdownMode;
    ///
    /// guest.shutdown(ShutdownMode::Reboot)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The agent refuses, or has not answered an earlier command in time.
    ///
    /// # Cancel safety
    /// If the future is dropped, a guest that was asked may still shut down.
    pub fn shutdown(&self, mode: ShutdownMode) -> M::Outcome<'_, Result<()>> {
        let command = GuestShutdown::new().mode(mode.as_str());
        M::run(async move { self.client().execute(command).await.map(|_| ()) })
    }

    /// Asks the guest to suspend itself, which the agent does not answer either: see
    /// [`shutdown`](Self::shutdown). QEMU's events `SUSPEND` and `SUSPEND_DISK` tell when the guest
    /// has, and `system_wakeup` wakes it.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// use qmp_vm::SuspendMode;
    ///
    /// guest.suspend(SuspendMode::Ram)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`shutdown`](Self::shutdown); the guest may not support this mode.
    ///
    /// # Cancel safety
    /// If the future is dropped, a guest that was asked may still suspend itself.
    pub fn suspend(&self, mode: SuspendMode) -> M::Outcome<'_, Result<()>> {
        M::run(async move {
            let client = self.client();
            match mode {
                SuspendMode::Disk => client.execute(GuestSuspendDisk::new()).await.map(|_| ()),
                SuspendMode::Ram => client.execute(GuestSuspendRam::new()).await.map(|_| ()),
                SuspendMode::Hybrid => client.execute(GuestSuspendHybrid::new()).await.map(|_| ()),
            }
        })
    }
}
