//! What the helpers of both clients have in common: what the events mean, what is typed, where a
//! picture is put. The helpers themselves are sequences of calls.

mod disk;
mod job;
mod keyboard;
mod migration;
mod power;
#[cfg(all(
    target_os = "linux",
    any(feature = "blocking", feature = "tokio", feature = "futures-io")
))]
mod screen;

use qmp_types::Event;
use qmp_types::qmp::events::{DeviceDeleted, DeviceUnplugGuestError};

use crate::error::Result;
use crate::events::RawEvent;

pub use disk::Fdset;
pub use job::JobOutcome;
pub(crate) use job::{JobStep, JobWatch, is_ready};
pub(crate) use keyboard::strokes;
pub(crate) use migration::{MigrationWatch, SETTLING, Settling};
pub(crate) use power::{Asked, Hearing};
pub use power::{EndedBy, ShutDown};
#[cfg(all(
    target_os = "linux",
    any(feature = "blocking", feature = "tokio", feature = "futures-io")
))]
pub(crate) use screen::Picture;

/// What became of an unplug request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "the guest may have refused"]
#[non_exhaustive]
pub enum Unplugged {
    /// The device is gone.
    Deleted,
    /// The guest refused to give it up.
    Refused,
}

/// What an event says of the device with this id, or this QOM path.
pub(crate) fn unplugged(event: &RawEvent, id: &str) -> Option<Result<Unplugged>> {
    let is_it = |device: Option<&str>, path: &str| device == Some(id) || path == id;
    match &*event.name {
        DeviceDeleted::NAME => match event.decode::<DeviceDeleted>() {
            Ok(Some(it)) if is_it(it.device.as_deref(), &it.path) => Some(Ok(Unplugged::Deleted)),
            Err(error) => Some(Err(error)),
            Ok(_) => None,
        },
        DeviceUnplugGuestError::NAME => match event.decode::<DeviceUnplugGuestError>() {
            Ok(Some(it)) if is_it(it.device.as_deref(), &it.path) => Some(Ok(Unplugged::Refused)),
            Err(error) => Some(Err(error)),
            Ok(_) => None,
        },
        _ => None,
    }
}

/// What the server refuses here was not needed any more.
pub(crate) fn unless_refused<T>(result: Result<T>) -> Result<()> {
    match result {
        Err(error) if error.server().is_none() => Err(error),
        _ => Ok(()),
    }
}
