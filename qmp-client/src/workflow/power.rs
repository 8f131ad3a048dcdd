//! How a machine ends: who can be asked, and who did it.

use qmp_types::qmp::events::Shutdown;
use qmp_types::qmp::types::{RunState, ShutdownCause};

use crate::error::Error;

/// How a machine was shut down.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShutDown {
    /// Who ended it.
    pub by: EndedBy,
    /// The reason that the event `SHUTDOWN` gave; nothing if none has come.
    pub reason: Option<ShutdownCause>,
}

/// Who ended a machine.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EndedBy {
    /// The guest: it shut itself down, or did what ends a machine that is started so, such as a
    /// reset with `-no-reboot`.
    Guest,
    /// This client's `quit`: the guest did not in time, or was in no state to.
    Quit,
    /// QEMU did not end in time either, and its process was killed.
    Kill,
    /// Somebody else, as the reason says: `quit` on another monitor, a signal, a window that was
    /// closed. Without a reason, QEMU has ended without a word: it may have been killed.
    Other,
}

impl ShutDown {
    /// Whether the guest shut itself down.
    #[must_use]
    pub fn by_guest(&self) -> bool {
        self.by == EndedBy::Guest
    }

    /// What an event says that came while the guest was waited for.
    fn told(event: Shutdown) -> Self {
        let by = if event.guest { EndedBy::Guest } else { EndedBy::Other };
        Self { by, reason: Some(event.reason) }
    }

    /// By what came of asking the guest, and the event that came while QEMU was ended.
    pub(crate) fn new(asked: Asked, quit: Option<Shutdown>) -> Self {
        match (asked, quit) {
            (Asked::Ended(how), _) => how,
            (Asked::Stays, Some(event)) if event.reason != ShutdownCause::HostQmpQuit => {
                Self::told(event)
            }
            (Asked::Stays, event) => {
                Self { by: EndedBy::Quit, reason: event.map(|event| event.reason) }
            }
        }
    }

    #[cfg(unix)]
    pub(crate) fn killed(asked: Asked) -> Self {
        let reason = match asked {
            Asked::Ended(how) => how.reason,
            Asked::Stays => None,
        };
        Self { by: EndedBy::Kill, reason }
    }
}

/// What came of asking the guest.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It is off; QEMU may still be there.
    Ended(ShutDown),
    /// It is not off, as far as is known.
    Stays,
}

impl Asked {
    /// `SHUTDOWN` has come.
    pub(crate) fn told(event: Shutdown) -> Self {
        Self::Ended(ShutDown::told(event))
    }

    /// Asking has failed.
    pub(crate) fn failed(error: &Error) -> Self {
        if error.is_closed() {
            // QEMU may end without saying so.
            return Self::Ended(ShutDown { by: EndedBy::Other, reason: None });
        }
        // Whatever it was: QEMU is to end.
        Self::Stays
    }

    /// It was off before.
    pub(crate) fn off() -> Self {
        Self::Ended(ShutDown { by: EndedBy::Guest, reason: None })
    }
}

/// What a guest hears of its power button.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hearing {
    /// It runs.
    Awake,
    /// It is stopped, and goes on with `cont`.
    Paused,
    /// It sleeps, and goes on with `system_wakeup`.
    Asleep,
    /// It is off already.
    Off,
    /// Nobody is there: it has not begun, has panicked, has moved away.
    Nobody,
}

impl Hearing {
    pub(crate) fn of(status: &RunState) -> Self {
        match status {
            RunState::Running | RunState::Colo => Self::Awake,
            // If the disk fails again, it stops again.
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
            | RunState::GuestPanicked => Self::Nobody,
            // Pressing it for nothing costs time, not pressing it a guest's data.
            _ => Self::Awake,
        }
    }
}
