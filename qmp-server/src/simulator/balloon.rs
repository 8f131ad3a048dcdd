//! The memory balloon.

use qmp_types::qmp::commands::{Balloon, QueryBalloon};
use qmp_types::qmp::events::BalloonChange;
use qmp_types::qmp::types::BalloonInfo;
use qmp_types::{Empty, ErrorClass, QmpError};

use super::machine::Machine;
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .command(|machine: &mut Machine, _: QueryBalloon, _: &mut Context| {
            machine.check_balloon()?;
            Ok(BalloonInfo::new(i64::try_from(machine.balloon).unwrap_or(i64::MAX)))
        })
        .command(|machine: &mut Machine, command: Balloon, context: &mut Context| {
            machine.set_balloon(command.value, context)
        })
        .event::<BalloonChange>()
}

impl Machine {
    fn check_balloon(&self) -> Result<(), QmpError> {
        match self.has_device("virtio-balloon-pci") {
            true => Ok(()),
            false => {
                let desc = "No balloon device has been activated";
                Err(QmpError::new(ErrorClass::DeviceNotActive, desc))
            }
        }
    }

    fn set_balloon(&mut self, value: i64, context: &mut Context) -> Result<Empty, QmpError> {
        self.check_balloon()?;
        let target = u64::try_from(value).ok().filter(|target| *target > 0);
        let Some(target) = target else {
            return Err(QmpError::generic("Parameter 'value' expects a size"));
        };
        self.balloon_target = Some(target.min(self.memory));
        if self.is_running() {
            context.after_reply(|context| self.follow_balloon(context));
        }
        Ok(Empty {})
    }

    /// Makes the guest adjust its memory to the target, if one is set.
    pub(super) fn follow_balloon(&mut self, context: &mut Context) {
        if let Some(target) = self.balloon_target.take().filter(|target| *target != self.balloon) {
            self.balloon = target;
            let actual = i64::try_from(target).unwrap_or(i64::MAX);
            context.emit(&BalloonChange::new(actual));
        }
    }
}
