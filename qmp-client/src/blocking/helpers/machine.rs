//! The machine as a whole: what it can do, how it ends and how it moves; and its devices.

use std::time::{Duration, Instant};

use qmp_types::qmp::commands::{
    Cont, DeviceDel, HumanMonitorCommand, Migrate, QueryMigrate, QueryQmpSchema, QueryStatus, Quit,
    SystemPowerdown, SystemWakeup,
};
use qmp_types::qmp::events::{Migration, Shutdown};
use qmp_types::qmp::types::{MigrationInfo, RunState};

use super::super::Client;
use crate::capabilities::Capabilities;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::workflow::{
    Asked, Hearing, MigrationWatch, SETTLING, Settling, ShutDown, Unplugged, unplugged,
};

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

    /// Asks the guest to shut down, and ends QEMU: when the guest is off, or has not reacted within
    /// `patience`; at once if it is in no state to react, as before its start, after a migration
    /// or a panic. If QEMU does not end within `patience` again and was
    /// [launched](super::super::Launch) here, it is killed.
    ///
    /// A guest that is paused is resumed, and one that sleeps is woken, so that it hears its power
    /// button. If QEMU ends without an event that says why, that is success too.
    ///
    /// # Errors
    /// QEMU does not end.
    pub fn shut_down(&mut self, patience: Duration) -> Result<ShutDown> {
        let asked = self.ask_guest(patience);
        // With `-no-shutdown` the guest is off, and QEMU is still there.
        match self.end(patience) {
            Ok(event) => Ok(ShutDown::new(asked, event)),
            Err(error) => {
                #[cfg(unix)]
                if let Some(process) = self.process() {
                    process.kill()?;
                    return Ok(ShutDown::killed(asked));
                }
                Err(error)
            }
        }
    }

    fn ask_guest(&mut self, patience: Duration) -> Asked {
        let begin = Instant::now();
        let left = || patience.saturating_sub(begin.elapsed());
        let asked = self.execute_within(QueryStatus::new(), left()).and_then(|info| {
            match Hearing::of(&info.status) {
                Hearing::Off => return Ok(Asked::off()),
                Hearing::Nobody => return Ok(Asked::Stays),
                Hearing::Awake => {}
                Hearing::Paused => drop(self.execute_within(Cont::new(), left())?),
                Hearing::Asleep => drop(self.execute_within(SystemWakeup::new(), left())?),
            }
            self.until_shutdown(SystemPowerdown::new(), left())
                .map(|told| told.map_or(Asked::Stays, Asked::told))
        });
        asked.unwrap_or_else(|error| Asked::failed(&error))
    }

    /// Ends QEMU, if it has not ended, and gives the event in which it says so.
    fn end(&mut self, within: Duration) -> Result<Option<Shutdown>> {
        let begin = Instant::now();
        let told = self.until_shutdown(Quit::new(), within);
        let told = match told {
            Err(error) if !error.is_closed() => return Err(error),
            told => told.ok().flatten(),
        };
        self.await_end(begin, within)?;
        Ok(told)
    }

    /// Executes a command until `SHUTDOWN` says what came of it. QEMU may end before the reply, and
    /// without the event.
    fn until_shutdown<R: Request>(
        &mut self,
        command: R,
        within: Duration,
    ) -> Result<Option<Shutdown>> {
        let mut told = None;
        let until = self.call(command).within(within).until_some(|event| {
            told = event.decode().ok()?;
            told.is_some().then_some(())
        });
        match until {
            Err(error) if told.is_none() => Err(error),
            _ => Ok(told),
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
    /// The last state is returned: completed, failed or cancelled. By then the run state has
    /// [settled](Self::settle), so that `cont` is not refused; QEMU has half a minute more for
    /// that.
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
            let Some(pause) = watch.pause(&info, Instant::now())? else {
                // How it ended is known, and counts for more than this.
                let _ = self.settle(SETTLING);
                return Ok(info);
            };
            match self.wait_for(|_: &Migration| true, pause) {
                // Whatever was said, the next look tells.
                Ok(_) | Err(Error::Timeout(_) | Error::Lagged(_) | Error::Decode(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the run state has settled after a migration, and gives it. When a migration has
    /// completed or failed, the source is still cleaning up, and refuses `cont` for a moment; the
    /// destination is in `inmigrate` until all is there, and a moment longer.
    ///
    /// # Errors
    /// It has not settled in time.
    pub fn settle(&mut self, within: Duration) -> Result<RunState> {
        let mut settling = Settling::new(Instant::now(), within);
        loop {
            let status = self.execute(QueryStatus::new())?.status;
            match settling.pause(&status, Instant::now())? {
                Some(pause) => self.pause(pause),
                None => return Ok(status),
            }
        }
    }
}
