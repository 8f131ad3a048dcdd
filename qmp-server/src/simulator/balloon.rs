//! The memory balloon.

use qmp_types::qmp::commands::{Balloon, QueryBalloon};
use qmp_types::qmp::events::BalloonChange;
use qmp_types::{ErrorClass, QmpError};
use serde_json::json;

use super::machine::{Device, Machine};
use super::replies::{Handle, Reply, done, refuse};
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<QueryBalloon>(|machine, _, _| {
            machine.check_balloon()?;
            Ok(json!({"actual": machine.balloon}))
        })
        .on::<Balloon>(|machine, arguments, context| {
            machine.set_balloon(arguments.integer("value").unwrap_or_default(), context)
        })
        .event::<BalloonChange>()
}

impl Machine {
    pub(super) fn check_balloon(&self) -> Result<(), QmpError> {
        match self.devices.iter().any(Device::is_balloon) {
            true => Ok(()),
            false => {
                let desc = "No balloon device has been activated";
                Err(QmpError::new(ErrorClass::DeviceNotActive, desc))
            }
        }
    }

    pub(super) fn set_balloon(&mut self, value: i64, context: &mut Context) -> Reply {
        self.check_balloon()?;
        let target = u64::try_from(value).ok().filter(|target| *target > 0);
        let Some(target) = target else {
            return refuse("Parameter 'value' expects a size");
        };
        self.balloon_target = Some(target.min(self.memory));
        if self.is_running() {
            context.after_reply(|context| self.follow_balloon(context));
        }
        done()
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
