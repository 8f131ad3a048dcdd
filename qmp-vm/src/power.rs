//! The end of a virtual machine: who is asked, and who ended it.

use std::time::Duration;

use qmp_client::{Error, RawEvent, Result};
use qmp_types::qmp::commands::{Cont, QueryStatus, Quit, SystemPowerdown, SystemWakeup};
use qmp_types::qmp::events::Shutdown;
use qmp_types::qmp::types::{RunState, ShutdownCause};

use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::session::{Call, Events};

/// The time for which it is checked whether a connection has ended: a runtime looks at its sockets
/// only while it waits.
const LOOK: Duration = Duration::from_millis(1);

/// The end of a virtual machine.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShutDown {
    /// The party that ended the virtual machine.
    pub by: EndedBy,
    /// The reason that the event `SHUTDOWN` gave; `None` if the event did not arrive.
    pub reason: Option<ShutdownCause>,
}

/// The party that ended a virtual machine.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EndedBy {
    /// The guest: it shut itself down, or did something that QEMU was told to end for, such as a
    /// reset with `-no-reboot`.
    Guest,
    /// This client's `quit`: the guest did not shut down in time, or was in no state to.
    Quit,
    /// This program: QEMU did not end in time either, and its process was killed.
    Kill,
    /// Others, as the reason tells: `quit` on another monitor, a signal, a window that was closed.
    /// Without a reason, QEMU ended without saying why; it may have been killed.
    Other,
}

impl ShutDown {
    /// Returns whether the guest shut itself down.
    ///
    /// ```
    /// # fn example(end: &qmp_vm::ShutDown) {
    /// if end.by_guest() {
    ///     println!("the guest has shut down by itself");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn by_guest(&self) -> bool {
        self.by == EndedBy::Guest
    }

    /// Reads an event that arrived while the guest was waited for.
    fn reported(event: Shutdown) -> Self {
        let by = if event.guest { EndedBy::Guest } else { EndedBy::Other };
        Self { by, reason: Some(event.reason) }
    }

    /// Combines what the guest did and the event that arrived while QEMU ended.
    pub(crate) fn new(asked: Asked, quit: Option<Shutdown>) -> Self {
        match (asked, quit) {
            (Asked::Ended(end), _) => end,
            (Asked::Running, Some(event)) if event.reason != ShutdownCause::HostQmpQuit => {
                Self::reported(event)
            }
            (Asked::Running, event) => {
                Self { by: EndedBy::Quit, reason: event.map(|event| event.reason) }
            }
        }
    }

    #[cfg(unix)]
    pub(crate) fn killed(asked: Asked, quit: Option<Shutdown>) -> Self {
        Self { by: EndedBy::Kill, reason: Self::new(asked, quit).reason }
    }
}

/// The effect of asking the guest to shut down.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The guest is off. QEMU may still be running.
    Ended(ShutDown),
    /// The guest is not off, as far as is known.
    Running,
}

impl Asked {
    pub(crate) fn failed(error: &Error) -> Self {
        if error.is_closed() {
            // QEMU may have ended without sending the event.
            return Self::Ended(ShutDown { by: EndedBy::Other, reason: None });
        }
        // Whatever the error is, QEMU is to end.
        Self::Running
    }
}

/// The reaction of a guest to its power button.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hearing {
    /// The guest runs.
    Awake,
    /// The guest is stopped; `cont` resumes it.
    Paused,
    /// The guest is suspended; `system_wakeup` wakes it.
    Asleep,
    /// The guest is off already.
    Off,
    /// No guest can react: it has not started, has panicked, or has moved away.
    Absent,
}

impl Hearing {
    fn of(status: &RunState) -> Self {
        match status {
            RunState::Running | RunState::Colo => Self::Awake,
            // If the disk fails again, the guest stops again.
            RunState::Paused | RunState::IoError | RunState::Debug => Self::Paused,
            RunState::Suspended => Self::Asleep,
            RunState::Shutdown => Self::Off,
            RunState::Inmigrate
            | RunState::InternalError
            | RunState::Postmigrate
            | RunState::Prelaunch
            | RunState::FinishMigrate
            | RunState::RestoreVm
            | RunState::SaveVm
            | RunState::Watchdog
            | RunState::GuestPanicked => Self::Absent,
            // Asking in vain costs time; not asking may cost the guest's data.
            _ => Self::Awake,
        }
    }
}

pub(crate) async fn quit<M: Monitor>(vm: &M, within: Duration) -> Result<()> {
    check_open(vm).await?;
    end(vm, within).await
}

pub(crate) async fn shut_down<M: Monitor>(vm: &M, patience: Duration) -> Result<ShutDown> {
    check_open(vm).await?;
    let asked = match press_button(vm, patience).await {
        // Nothing has told QEMU to end.
        Err(Error::Closed(closed)) if closed.command.is_some() && !closed.sent => {
            return Err(Error::Closed(closed));
        }
        asked => asked.unwrap_or_else(|error| Asked::failed(&error)),
    };
    // With `-no-shutdown`, the guest is off and QEMU is still running.
    let (event, ended) = end_and_listen(vm, patience).await;
    match (&asked, ended) {
        // QEMU ended before it was sent `quit`, because the guest was off.
        (Asked::Ended(_), Err(Error::Closed(closed))) if closed.by_peer() => {}
        (_, ended) => ended?,
    }
    Ok(ShutDown::new(asked, event))
}

/// Checks that the connection has not ended: an end that came before a command is not its effect.
///
/// # Errors
/// The connection has ended.
async fn check_open<M: Monitor>(vm: &M) -> Result<()> {
    match vm.closed_within(LOOK).await {
        Ok(closed) => Err(closed.into()),
        Err(_) => Ok(()),
    }
}

/// Asks the guest to shut down, and waits until it has.
#[cfg(unix)]
pub(crate) async fn ask_guest<M: Monitor>(vm: &M, patience: Duration) -> Asked {
    press_button(vm, patience).await.unwrap_or_else(|error| Asked::failed(&error))
}

async fn press_button<M: Monitor>(vm: &M, patience: Duration) -> Result<Asked> {
    let limit = Limit::new(vm, patience, "the guest to shut down");
    let info = limit.execute(vm, QueryStatus::new()).await?;
    match Hearing::of(&info.status) {
        Hearing::Off => {
            return Ok(Asked::Ended(ShutDown { by: EndedBy::Guest, reason: None }));
        }
        Hearing::Absent => return Ok(Asked::Running),
        Hearing::Awake => {}
        Hearing::Paused => drop(limit.execute(vm, Cont::new()).await?),
        Hearing::Asleep => drop(limit.execute(vm, SystemWakeup::new()).await?),
    }
    // An older `SHUTDOWN` is not the answer. One that comes before the reply is, even if the reply
    // never arrives.
    let mut reported = None;
    let call = vm.call(SystemPowerdown::new()).within(limit.left(vm));
    let until = call.until_some(|event| {
        reported = event.decode::<Shutdown>().ok()?;
        reported.is_some().then_some(())
    });
    let until = until.await;
    match reported {
        Some(event) => Ok(Asked::Ended(ShutDown::reported(event))),
        None => until.map(|_| Asked::Running),
    }
}

/// Ends QEMU, and returns the event in which it says so.
pub(crate) async fn end_and_listen<M: Monitor>(
    vm: &M,
    within: Duration,
) -> (Option<Shutdown>, Result<()>) {
    let mut events = vm.subscribe(RawEvent::is::<Shutdown>);
    let ended = end(vm, within).await;
    // Whatever QEMU had to say has arrived.
    let event = events.next_within(Duration::ZERO).await.and_then(Result::ok);
    (event.and_then(|event| event.decode().ok()?), ended)
}

/// Ends QEMU, and waits until it has closed the connection.
///
/// # Errors
/// QEMU refuses or does not end in time, or the connection ended for another reason.
pub(crate) async fn end<M: Monitor>(vm: &M, within: Duration) -> Result<()> {
    let limit = Limit::new(vm, within, "QEMU to exit");
    let closed = match vm.call(Quit::new()).within(within).execute().await {
        Ok(_) => match vm.closed_within(limit.left(vm)).await {
            Ok(closed) => closed,
            Err(_) => return Err(limit.passed().into()),
        },
        // QEMU may end before it answers. If it ended before it was told to, it was not this command.
        Err(Error::Closed(closed)) if closed.sent => *closed,
        Err(error) => return Err(error),
    };
    if closed.by_peer() { Ok(()) } else { Err(closed.into()) }
}
