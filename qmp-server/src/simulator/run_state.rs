//! Commands and guest actions that change the run state.

use qmp_types::qmp::commands::{
    Cont, QueryStatus, Quit, SetAction, Stop, SystemPowerdown, SystemReset, SystemWakeup,
    WatchdogSetAction,
};
use qmp_types::qmp::events;
use qmp_types::qmp::types::{
    GuestPanicAction, PanicAction, RebootAction, RunState, ShutdownAction, ShutdownCause,
    StatusInfo, WatchdogAction,
};
use qmp_types::{Empty, QmpError};

use super::machine::Machine;
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .command(|machine: &mut Machine, _: QueryStatus, _: &mut Context| {
            Ok(StatusInfo::new(machine.is_running(), machine.state.clone()))
        })
        .command(|machine: &mut Machine, _: Stop, context: &mut Context| {
            machine.stop(RunState::Paused, context);
            Ok(Empty {})
        })
        .command(|machine: &mut Machine, _: Cont, context: &mut Context| machine.cont(context))
        .command(|machine: &mut Machine, _: SystemReset, context: &mut Context| {
            machine.reset(false, ShutdownCause::HostQmpSystemReset, context);
            Ok(Empty {})
        })
        .command(|machine: &mut Machine, _: SystemPowerdown, context: &mut Context| {
            machine.power_down(context);
            Ok(Empty {})
        })
        .command(|machine: &mut Machine, _: SystemWakeup, context: &mut Context| {
            machine.wake_up(context)
        })
        .command(|machine: &mut Machine, _: Quit, context: &mut Context| {
            machine.quit(context);
            Ok(Empty {})
        })
        .command(|machine: &mut Machine, command: WatchdogSetAction, _: &mut Context| {
            machine.actions.watchdog = command.action;
            Ok(Empty {})
        })
        .command(|machine: &mut Machine, command: SetAction, _: &mut Context| {
            let actions = &mut machine.actions;
            set_if_some(&mut actions.reboot, command.reboot);
            set_if_some(&mut actions.shutdown, command.shutdown);
            set_if_some(&mut actions.panic, command.panic);
            set_if_some(&mut actions.watchdog, command.watchdog);
            Ok(Empty {})
        })
        .event::<events::Stop>()
        .event::<events::Resume>()
        .event::<events::Reset>()
        .event::<events::Powerdown>()
        .event::<events::Shutdown>()
        .event::<events::Suspend>()
        .event::<events::Wakeup>()
        .event::<events::Watchdog>()
        .event::<events::GuestPanicked>()
}

fn set_if_some<T>(action: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *action = value;
    }
}

impl Machine {
    pub(super) fn quit(&mut self, context: &mut Context) {
        context.emit(&events::Shutdown::new(false, ShutdownCause::HostQmpQuit));
        context.end();
    }

    /// Stops a running virtual machine; does nothing otherwise.
    pub(super) fn stop(&mut self, state: RunState, context: &mut Context) {
        if self.is_running() {
            self.state = state;
            context.emit(&events::Stop::new());
        }
    }

    pub(super) fn cont(&mut self, context: &mut Context) -> Result<Empty, QmpError> {
        match self.state {
            RunState::Shutdown | RunState::InternalError => {
                return Err(QmpError::generic("Resetting the Virtual Machine is required"));
            }
            // Only `system_wakeup` or a reset ends suspension.
            RunState::Running | RunState::Suspended => {}
            // The guest runs as soon as it has arrived.
            RunState::Inmigrate => self.migration.starts_guest = true,
            _ => {
                self.state = RunState::Running;
                context.emit(&events::Resume::new());
                self.guest_catches_up(context);
            }
        }
        Ok(Empty {})
    }

    pub(super) fn reset(&mut self, guest: bool, cause: ShutdownCause, context: &mut Context) {
        if self.actions.reboot == RebootAction::Shutdown {
            return self.shut_down(guest, cause, context);
        }
        if !self.is_running() {
            self.state = match self.state {
                RunState::Suspended => RunState::Running,
                _ => RunState::Prelaunch,
            };
        }
        context.emit(&events::Reset::new(guest, cause));
        self.finish_unplugs(context);
    }

    pub(super) fn power_down(&mut self, context: &mut Context) {
        context.emit(&events::Powerdown::new());
        if self.obeys_powerdown && self.is_running() {
            // The guest takes its time, so the events are sent after the reply.
            context.after_reply(|context| {
                self.shut_down(true, ShutdownCause::GuestShutdown, context);
            });
        }
    }

    pub(super) fn wake_up(&mut self, context: &mut Context) -> Result<Empty, QmpError> {
        if self.state != RunState::Suspended {
            let desc = "Unable to wake up: guest is not in suspended state";
            return Err(QmpError::generic(desc));
        }
        self.state = RunState::Running;
        context.emit(&events::Wakeup::new());
        self.guest_catches_up(context);
        Ok(Empty {})
    }

    fn shut_down(&mut self, guest: bool, cause: ShutdownCause, context: &mut Context) {
        context.emit(&events::Shutdown::new(guest, cause));
        if self.actions.shutdown == ShutdownAction::Pause {
            self.stop(RunState::Shutdown, context);
            self.state = RunState::Shutdown;
        } else {
            context.end();
        }
    }

    pub(super) fn watchdog_expires(&mut self, context: &mut Context) {
        let action = self.actions.watchdog.clone();
        context.emit(&events::Watchdog::new(action.clone()));
        match action {
            WatchdogAction::Reset => self.reset(true, ShutdownCause::GuestReset, context),
            WatchdogAction::Shutdown => self.power_down(context),
            // QEMU exits without a `SHUTDOWN` event.
            WatchdogAction::Poweroff => context.end(),
            WatchdogAction::Pause => self.stop(RunState::Watchdog, context),
            _ => {}
        }
    }

    /// Makes the guest report a panic, and acts on it.
    pub(super) fn guest_panics(&mut self, context: &mut Context) {
        if !self.is_running() {
            return;
        }
        let action = self.actions.panic.clone();
        let told = match &action {
            PanicAction::Pause => GuestPanicAction::Pause,
            PanicAction::None => GuestPanicAction::Run,
            _ => GuestPanicAction::Poweroff,
        };
        context.emit(&events::GuestPanicked::new(told));
        match action {
            PanicAction::None => {}
            PanicAction::Pause => self.stop(RunState::GuestPanicked, context),
            _ => self.shut_down(true, ShutdownCause::GuestPanic, context),
        }
    }

    pub(super) fn guest_shuts_down(&mut self, context: &mut Context) {
        if self.is_running() {
            self.shut_down(true, ShutdownCause::GuestShutdown, context);
        }
    }

    pub(super) fn guest_resets(&mut self, context: &mut Context) {
        if self.is_running() {
            self.reset(true, ShutdownCause::GuestReset, context);
        }
    }

    pub(super) fn guest_suspends(&mut self, context: &mut Context) {
        if self.is_running() {
            self.state = RunState::Suspended;
            context.emit(&events::Suspend::new());
        }
    }

    /// Makes the guest react to requests that it received while it was not running.
    fn guest_catches_up(&mut self, context: &mut Context) {
        self.follow_balloon(context);
        if self.releases_devices {
            self.finish_unplugs(context);
        }
    }
}
