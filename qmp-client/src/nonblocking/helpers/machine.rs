//! The machine as a whole: what it can do, how it ends and how it moves; and its devices.

use std::time::Duration;

use qmp_types::qmp::commands::{
    DeviceDel, HumanMonitorCommand, Migrate, QueryMigrate, QueryQmpSchema, SystemPowerdown,
};
use qmp_types::qmp::events::{Migration, Shutdown};
use qmp_types::qmp::types::MigrationInfo;

use super::super::Client;
use crate::capabilities::Capabilities;
use crate::error::{Error, Result};
use crate::workflow::{MigrationWatch, ShutDown, Unplugged, by_guest, unplugged};

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

    /// Asks the guest to shut down. If it has not within `patience`, QEMU is ended, which may take
    /// as long again.
    ///
    /// # Errors
    /// QEMU does not end.
    ///
    /// # Cancel safety
    ///
    /// A guest that was asked shuts down, or does not; a QEMU that was told to quit ends.
    pub async fn shut_down(&self, patience: Duration) -> Result<ShutDown> {
        let call = self.execute(SystemPowerdown::new()).within(patience);
        let asked = call.until(|_: &Shutdown| true).await;
        // With `-no-shutdown` the guest is off, and QEMU is still there.
        self.quit_within(patience).await?;
        Ok(if by_guest(&asked) { ShutDown::ByGuest } else { ShutDown::ByQuit })
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
    /// The last state is returned: completed, failed or cancelled. QEMU is still cleaning up then,
    /// and may refuse `cont` for a moment.
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
            let Some(pause) = watch.pause(&info, self.hold().now())? else { return Ok(info) };
            match changes.next_within(pause).await {
                // Whatever was said, the next look tells.
                Some(Ok(_) | Err(Error::Timeout(_) | Error::Lagged(_) | Error::Decode(_))) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(self.gone()),
            }
        }
    }
}
