//! The machine as a whole: what it can do, how it ends and how it moves; and its devices.

use std::time::{Duration, Instant};

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
    pub fn capabilities(&mut self) -> Result<Capabilities> {
        self.execute(QueryQmpSchema::new()).map(Capabilities::new)
    }

    /// Executes a command of the monitor for people, and gives what it prints. There, an error is
    /// a text like any other.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub fn human_monitor(&mut self, command: &str) -> Result<String> {
        self.execute(HumanMonitorCommand::new(command))
    }

    /// Asks the guest to shut down. If it has not within `patience`, QEMU is ended; if that takes
    /// as long again and QEMU was [launched](super::super::Launch) here, it is killed.
    ///
    /// # Errors
    /// QEMU does not end.
    pub fn shut_down(&mut self, patience: Duration) -> Result<ShutDown> {
        let asked = self.call(SystemPowerdown::new()).within(patience).until(|_: &Shutdown| true);
        let by_guest = by_guest(&asked);
        // With `-no-shutdown` the guest is off, and QEMU is still there.
        let quit = self.quit_within(patience);
        match quit {
            Ok(()) if by_guest => Ok(ShutDown::ByGuest),
            Ok(()) => Ok(ShutDown::ByQuit),
            Err(error) => {
                #[cfg(unix)]
                if let Some(process) = self.process() {
                    process.kill()?;
                    return Ok(ShutDown::ByKill);
                }
                Err(error)
            }
        }
    }

    /// Unplugs a device, by id or QOM path, and waits until it is gone or the guest has refused.
    /// Events from before this are not taken for its own, nor are those of other devices.
    ///
    /// # Errors
    /// QEMU refuses, or the guest does not react in time: it may still give the device up later.
    pub fn unplug(&mut self, device: &str, within: Duration) -> Result<Unplugged> {
        let call = self.call(DeviceDel::new(device)).within(within);
        call.until_some(|event| unplugged(event, device)).and_then(|(_, outcome)| outcome)
    }

    /// Migrates, and follows it to its end: `progress` is shown what QEMU says of it whenever the
    /// state changes, and twice a second. Parameters and other capabilities are set before.
    ///
    /// The last state is returned: completed, failed or cancelled. QEMU is still cleaning up then,
    /// and may refuse `cont` for a moment.
    ///
    /// # Errors
    /// QEMU refuses, or it is not over in time: then it goes on.
    pub fn migrate(
        &mut self,
        migrate: Migrate,
        within: Duration,
        mut progress: impl FnMut(&MigrationInfo),
    ) -> Result<MigrationInfo> {
        let watch = MigrationWatch::new(Instant::now(), within);
        self.execute(MigrationWatch::events())?;
        self.execute(migrate)?;
        loop {
            let info = self.execute(QueryMigrate::new())?;
            progress(&info);
            let Some(pause) = watch.pause(&info, Instant::now())? else { return Ok(info) };
            match self.wait_for(|_: &Migration| true, pause) {
                // Whatever was said, the next look tells.
                Ok(_) | Err(Error::Timeout(_) | Error::Lagged(_) | Error::Decode(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
