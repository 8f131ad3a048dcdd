//! Freezing the file systems of the guest.

use qmp_client::{Error, Result};
use qmp_types::qga::commands::{GuestFsfreezeFreeze, GuestFsfreezeThaw};

use super::client::Agent;
use super::impossible::impossible;
use crate::monitor::Monitor;
use crate::monitor::session::{Call, Undo};

impl<M: Monitor> Agent<M> {
    /// Freezes the guest's file systems, so that a snapshot of its disks is consistent. They are
    /// thawed when the guard is dropped.
    ///
    /// Freezing has the [deadline of a call](qmp_client::Options::calls_within), and so has thawing
    /// after it failed: an agent that does not answer is waited for twice.
    ///
    /// # Errors
    /// The file systems cannot be frozen. Some may have been, and all are thawed again, unless the
    /// agent does not have the command, or they were frozen already.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, the file systems are thawed as soon as
    /// it is answered.
    pub fn freeze(&self) -> M::Outcome<'_, Result<Frozen<M>>> {
        M::run(async move {
            let freeze = self.client().call(GuestFsfreezeFreeze::new());
            let undoable = freeze.execute_undoable(|frozen| {
                frozen.map_or_else(may_have_frozen, |_| true).then(GuestFsfreezeThaw::new)
            });
            let (count, thaw) = undoable.await?;
            if count < 0 {
                // The guard thaws them.
                return Err(impossible::<GuestFsfreezeFreeze>(format_args!(
                    "{count} file systems"
                )));
            }
            Ok(Frozen { client: self.client().clone(), count, thaw })
        })
    }

    /// Thaws the guest's file systems, no matter which client froze them, and returns how many
    /// were frozen.
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    pub fn thaw(&self) -> M::Outcome<'_, Result<i64>> {
        M::run(async move { thawed(self.client().execute(GuestFsfreezeThaw::new()).await?) })
    }
}

/// Checks the number of file systems that were thawed.
fn thawed(count: i64) -> Result<i64> {
    match count {
        0.. => Ok(count),
        _ => Err(impossible::<GuestFsfreezeThaw>(format_args!("{count} file systems"))),
    }
}

/// Returns whether file systems may be frozen after an attempt to freeze them has failed. A command
/// that the agent does not have, or that it disables while they are frozen, has frozen none.
fn may_have_frozen(error: &Error) -> bool {
    !error.is_command_not_found()
}

/// A guest whose file systems are frozen. Dropping it thaws them.
///
/// On the blocking client, dropping waits for the agent's reply. On the asynchronous one, the file
/// systems are thawed in the background, and the connection stays open until that is answered. If
/// the runtime ends before, the command is sent only if the socket accepts it at once: to be sure
/// that they are thawed, await [`thaw`](Self::thaw).
#[derive(Debug)]
#[must_use = "dropping it thaws the file systems"]
pub struct Frozen<M: Monitor> {
    client: M,
    count: i64,
    thaw: M::Undo<GuestFsfreezeThaw>,
}

impl<M: Monitor> Frozen<M> {
    /// Returns the number of file systems that are frozen.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.count
    }

    /// Thaws the file systems, and returns how many were frozen. If that fails, it is tried once
    /// more, as when the guard is dropped.
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    ///
    /// # Cancel safety
    /// If the future is dropped, the file systems are thawed all the same.
    pub fn thaw(self) -> M::Outcome<'static, Result<i64>> {
        M::run(async move {
            let Self { client, count, thaw } = self;
            match thaw.run().await {
                Ok(count_thawed) => thawed(count_thawed.unwrap_or(count)),
                Err(error) => {
                    drop(client.call(GuestFsfreezeThaw::new()).guard());
                    Err(error)
                }
            }
        })
    }
}
