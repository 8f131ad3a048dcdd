//! The machine as a whole: what it can do, how it ends and how it moves; and its devices.

use std::time::Duration;

use qmp_types::qmp::commands::{
    Cont, DeviceDel, HumanMonitorCommand, Migrate, QueryMigrate, QueryQmpSchema, QueryStatus,
    SystemPowerdown, SystemWakeup,
};
use qmp_types::qmp::events::{Migration, Shutdown};
use qmp_types::qmp::types::{MigrationInfo, RunState};

use super::super::Client;
use crate::capabilities::Capabilities;
use crate::error::{Error, Result};
use crate::workflow::{
    Asked, Hearing, MigrationWatch, SETTLING, Settling, ShutDown, Unplugged, unplugged,
};

impl Client {
    /// What this QEMU can do. The reply is large: ask once.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub async fn capabilities(&self) -> Result<Capabilities> {
        self.execute(QueryQmpSchema::new()).await.map(Capabilities::new)
    }

    /// Executes a command of the monitor for people, and gives what it prints. There, an error is
    /// a text like any other.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub async fn human_monitor(&self, command: &str) -> Result<String> {
        self.execute(HumanMonitorCommand::new(command)).await
    }

    /// Asks the guest to shut down, and ends QEMU: when the guest is off, or has not reacted within
    /// `patience`; at once if it is in no state to react, as before its start, after a migration
    /// or a panic. To end may take `patience` again.
    ///
    /// A guest that is paused is resumed, and one that sleeps is woken, so that it hears its power
    /// button. If QEMU ends without an event that says why, that is success too.
    ///
    /// # Errors
    /// QEMU does not end. Whoever has its process then kills that.
    ///
    /// # Cancel safety
    ///
    /// A guest that was asked shuts down, or does not; a QEMU that was told to quit ends.
    pub async fn shut_down(&self, patience: Duration) -> Result<ShutDown> {
        let asked = self.ask_guest(patience).await;
        // With `-no-shutdown` the guest is off, and QEMU is still there.
        let mut ending = self.events_of::<Shutdown>();
        self.quit_within(patience).await?;
        // The connection has ended: what there is to be told has been.
        let told = ending.next().await.and_then(Result::ok);
        Ok(ShutDown::new(asked, told.map(|shutdown| shutdown.event)))
    }

    async fn ask_guest(&self, patience: Duration) -> Asked {
        let begin = self.hold().now();
        let left = || patience.saturating_sub(self.hold().now().saturating_duration_since(begin));
        let asked = async {
            let info = self.execute(QueryStatus::new()).within(left()).await?;
            match Hearing::of(&info.status) {
                Hearing::Off => return Ok(Asked::off()),
                Hearing::Nobody => return Ok(Asked::Stays),
                Hearing::Awake => {}
                Hearing::Paused => drop(self.execute(Cont::new()).within(left()).await?),
                Hearing::Asleep => drop(self.execute(SystemWakeup::new()).within(left()).await?),
            }
            // An older `SHUTDOWN` is not the answer, and one before the reply is, even if that does
            // not come any more.
            let mut told = None;
            let call = self.execute(SystemPowerdown::new()).within(left());
            let until = call.until_some(|event| {
                told = event.decode().ok()?;
                told.is_some().then_some(())
            });
            let until = until.await;
            told.map_or_else(|| until.map(|_| Asked::Stays), |told| Ok(Asked::told(told)))
        };
        asked.await.unwrap_or_else(|error| Asked::failed(&error))
    }

    /// Unplugs a device, by id or QOM path, and waits until it is gone or the guest has refused.
    /// Events from before this are not taken for its own, nor are those of other devices.
    ///
    /// # Errors
    /// QEMU refuses, or the guest does not react in time: it may still give the device up later.
    ///
    /// # Cancel safety
    ///
    /// A guest that was asked may give the device up later.
    pub async fn unplug(&self, device: &str, within: Duration) -> Result<Unplugged> {
        let call = self.execute(DeviceDel::new(device)).within(within);
        let (_, outcome) = call.until_some(|event| unplugged(event, device)).await?;
        outcome
    }

    /// Migrates, and follows it to its end: `progress` is shown what QEMU says of it whenever the
    /// state changes, and twice a second. Parameters and other capabilities are set before.
    ///
    /// The last state is returned: completed, failed or cancelled. By then the run state has
    /// [settled](Self::settle), so that `cont` is not refused; QEMU has half a minute more for
    /// that.
    ///
    /// # Errors
    /// QEMU refuses, or it is not over in time: then it goes on.
    ///
    /// # Cancel safety
    ///
    /// A migration that was begun goes on; `migrate_cancel` ends it.
    pub async fn migrate(
        &self,
        migrate: Migrate,
        within: Duration,
        mut progress: impl FnMut(&MigrationInfo),
    ) -> Result<MigrationInfo> {
        let watch = MigrationWatch::new(self.hold().now(), within);
        let mut changes = self.events_of::<Migration>();
        self.execute(MigrationWatch::events()).await?;
        self.execute(migrate).await?;
        loop {
            let info = self.execute(QueryMigrate::new()).await?;
            progress(&info);
            let Some(pause) = watch.pause(&info, self.hold().now())? else {
                // How it ended is known, and counts for more than this.
                let _ = self.settle(SETTLING).await;
                return Ok(info);
            };
            match changes.next_within(pause).await {
                // Whatever was said, the next look tells.
                Some(Ok(_) | Err(Error::Timeout(_) | Error::Lagged(_) | Error::Decode(_))) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(self.gone()),
            }
        }
    }

    /// Waits until the run state has settled after a migration, and gives it. When a migration has
    /// completed or failed, the source is still cleaning up, and refuses `cont` for a moment; the
    /// destination is in `inmigrate` until all is there, and a moment longer.
    ///
    /// # Errors
    /// It has not settled in time.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn settle(&self, within: Duration) -> Result<RunState> {
        let mut settling = Settling::new(self.hold().now(), within);
        loop {
            let status = self.execute(QueryStatus::new()).await?.status;
            match settling.pause(&status, self.hold().now())? {
                Some(pause) => self.pause(pause).await,
                None => return Ok(status),
            }
        }
    }
}
