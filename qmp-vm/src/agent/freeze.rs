//! Freezing the file systems of the guest.

use qmp_client::{Command, Error, Result};
use qmp_types::qga::commands::{GuestFsfreezeFreeze, GuestFsfreezeThaw};

use super::client::Agent;
use super::impossible::impossible;
use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::rollback::Rollback;
use crate::monitor::session::{Call, Undo};

impl<M: Monitor> Agent<M> {
    /// Freezes the guest's file systems, so that a snapshot of its disks is consistent. They are
    /// thawed when the guard is dropped. If this program is killed, they stay frozen, and a guest on
    /// Linux hangs, until [`thaw`](Self::thaw) is called: a `ThawWatch` does that then.
    ///
    /// The [deadline of a call](qmp_client::Options::calls_within) covers freezing, and thawing after
    /// it failed. For the latter, a tenth of it is kept, at most a second.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// let frozen = guest.freeze()?;
    /// // Take the snapshot here. An error or a panic thaws the guest.
    /// println!("{} file systems", frozen.thaw()?);
    /// # Ok(())
    /// # }
    /// ```
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
            let within = self.client().options().call_within(GuestFsfreezeFreeze::NAME);
            let limit =
                Limit::new(self.client(), within, "the file systems to be frozen").with_reserve();
            let freeze = self.client().call(GuestFsfreezeFreeze::new());
            let freeze = freeze.within(limit.left(self.client()));
            let undo = |frozen: Result<&i64, &Error>| {
                frozen.map_or_else(may_have_frozen, |_| true).then(GuestFsfreezeThaw::new)
            };
            let within = self.client().options().call_within(GuestFsfreezeThaw::NAME);
            let rollback = Rollback::until(limit.end(), within);
            let (count, thaw) = freeze.execute_undoable(self.client(), &rollback, undo).await?;
            rollback.restart();
            // After an error, the guard thaws them.
            let count = number::<GuestFsfreezeFreeze>(count)?;
            Ok(Frozen { client: self.client().clone(), count, thaw })
        })
    }

    /// Thaws the guest's file systems, no matter which client froze them, and returns how many
    /// were frozen.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(guest: &qmp_vm::agent::Agent<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// let frozen = guest.freeze()?;
    /// // Take a snapshot here.
    /// println!("{} file systems are thawed", frozen.thaw()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    pub fn thaw(&self) -> M::Outcome<'_, Result<i64>> {
        M::run(async move {
            number::<GuestFsfreezeThaw>(self.client().execute(GuestFsfreezeThaw::new()).await?)
        })
    }
}

/// Returns whether file systems may be frozen after an attempt to freeze them has failed. A command
/// that the agent does not have, or that it disables while they are frozen, has frozen none.
fn may_have_frozen(error: &Error) -> bool {
    // Before 4.2, agents have no class for a command that is disabled, only this text.
    let is_disabled = error.server().is_some_and(|error| error.desc.contains("has been disabled"));
    !error.is_command_not_found() && !is_disabled
}

/// Returns a number of file systems, unless it is negative: so the first agents report a failure.
fn number<C: Command>(count: i64) -> Result<i64> {
    match count {
        0.. => Ok(count),
        _ => Err(impossible::<C>(format_args!("{count} file systems"))),
    }
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
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(frozen: &qmp_vm::Frozen<qmp_client::blocking::Client>) {
    /// println!("{} file systems are frozen", frozen.count());
    /// # }
    /// ```
    #[must_use]
    pub fn count(&self) -> i64 {
        self.count
    }

    /// Thaws the file systems, and returns how many were frozen. If that is less than
    /// [`count`](Self::count), some were thawed by others before, and a snapshot may be inconsistent.
    /// Windows thaws after ten seconds by itself. If thawing fails, it is tried once more, as when the
    /// guard is dropped. After a timeout, the blocking client does not try again.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(guest: &qmp_vm::agent::Agent<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// // An earlier program left them frozen.
    /// println!("{} file systems are thawed", guest.thaw()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    ///
    /// # Cancel safety
    /// If the future is dropped, the file systems are thawed all the same.
    pub fn thaw(self) -> M::Outcome<'static, Result<i64>> {
        M::run(async move {
            let Self { client, count, thaw } = self;
            let rollback = Rollback::default();
            let thawed = rollback.note(thaw.run().await).map(|thawed| thawed.unwrap_or(count));
            match thawed.and_then(number::<GuestFsfreezeThaw>) {
                Ok(thawed) => Ok(thawed),
                Err(error) => {
                    drop(client.guard(GuestFsfreezeThaw::new(), &rollback));
                    Err(error)
                }
            }
        })
    }
}
