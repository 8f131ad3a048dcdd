//! Unplugging devices.

use std::time::Duration;

use qmp_client::{RawEvent, Result};
use qmp_types::qmp::commands::DeviceDel;
use qmp_types::qmp::events::{DeviceDeleted, DeviceUnplugGuestError};

use crate::monitor::Monitor;
use crate::monitor::session::Call;

/// The outcome of an unplug request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "the guest may have refused"]
#[non_exhaustive]
pub enum Unplugged {
    /// The device is gone.
    Deleted,
    /// The guest refused to release the device.
    Refused,
}

pub(crate) async fn unplug<M: Monitor>(
    vm: &M,
    device: &str,
    within: Duration,
) -> Result<Unplugged> {
    let call = vm.call(DeviceDel::new(device)).within(within);
    let (_, outcome) = call.until_some(|event| outcome_of(event, device)).await?;
    outcome
}

/// Returns what an event says about the device with this id or QOM path.
fn outcome_of(event: &RawEvent, id: &str) -> Option<Result<Unplugged>> {
    let is_it = |device: Option<&str>, path: &str| device == Some(id) || path == id;
    let outcome = || -> Result<Option<Unplugged>> {
        if let Some(deleted) = event.decode::<DeviceDeleted>()? {
            let is_it = is_it(deleted.device.as_deref(), &deleted.path);
            return Ok(is_it.then_some(Unplugged::Deleted));
        }
        let refused = event.decode::<DeviceUnplugGuestError>()?;
        let refused = refused.filter(|it| is_it(it.device.as_deref(), &it.path));
        Ok(refused.map(|_| Unplugged::Refused))
    };
    outcome().transpose()
}
