//! Unplugging devices.

use std::time::Duration;

use qmp_client::protocol::Printable;
use qmp_client::{Error, ErrorClass, RawEvent, Result, WaitedFor};
use qmp_types::qmp::commands::DeviceDel;
use qmp_types::qmp::events::{DeviceDeleted, DeviceUnplugGuestError};

use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::session::{Call, Events};

/// The pause between two requests, while QEMU refuses because an earlier one is in process.
const RETRY: Duration = Duration::from_millis(500);

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
    let state = format!("DEVICE_DELETED of device `{}`", Printable(device));
    let limit = Limit::new(vm, within, state);
    // `device_del` itself listens for its outcome. This is for the outcome of an earlier one, and
    // exists from the first refusal on.
    let mut earlier: Option<(Error, M::Events)> = None;
    loop {
        let call = vm.call(DeviceDel::new(device)).within(limit.left(vm));
        let error = match call.until_some(|event| outcome_of(event, device)).await {
            Ok((_, outcome)) => return outcome,
            Err(error) => error,
        };
        match (error, &mut earlier) {
            (Error::Timeout(_), Some(_)) => {}
            (Error::Timeout(timeout), None) => {
                let unanswered = matches!(timeout.waited_for, WaitedFor::Reply(_));
                let cause = unanswered.then_some(Error::Timeout(timeout));
                return Err(limit.passed().because(cause).into());
            }
            // The device was still being unplugged when it was asked for the last time.
            (error, Some(_)) if error.class() == Some(&ErrorClass::DeviceNotFound) => {
                return Ok(Unplugged::Deleted);
            }
            (error, _) if !is_in_process(&error) => return Err(error),
            (error, Some((refusal, events))) => {
                *refusal = error;
                if let Some(outcome) = next_outcome(vm, events, &limit, device).await? {
                    return Ok(outcome);
                }
            }
            // The outcome may have arrived just now: then the next request tells.
            (error, None) => {
                let device = device.to_owned();
                let events = vm.subscribe(move |event| outcome_of(event, &device).is_some());
                earlier = Some((error, events));
            }
        }
        if limit.left(vm).is_zero() {
            let refusal = earlier.map(|(refusal, _)| refusal);
            return Err(limit.passed().because(refusal).into());
        }
    }
}

/// Waits for the outcome of an earlier request, until it is time for the next one.
async fn next_outcome<M: Monitor>(
    vm: &M,
    events: &mut M::Events,
    limit: &Limit,
    device: &str,
) -> Result<Option<Unplugged>> {
    match events.next_within(limit.left(vm).min(RETRY)).await {
        Some(Ok(event)) => outcome_of(&event, device).transpose(),
        Some(Err(Error::Timeout(_) | Error::Lagged(_))) | None => Ok(None),
        Some(Err(error)) => Err(error),
    }
}

/// Returns whether QEMU refuses to unplug a device because the guest has been asked already, or is
/// busy with its slot. QEMU has no class for that, only texts; these are those of its releases.
fn is_in_process(error: &Error) -> bool {
    const TEXTS: [&str; 3] =
        ["already in the process of unplug", "unplug already in progress", "guest is busy"];
    let Some(error) = error.server() else { return false };
    TEXTS.iter().any(|text| error.desc.contains(text))
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
