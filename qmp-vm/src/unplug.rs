//! Unplugging devices.

use std::time::Duration;

use qmp_client::protocol::Printable;
use qmp_client::{Error, ErrorClass, RawEvent, Result, WaitedFor};
use qmp_types::qmp::commands::{BlockdevDel, DeviceDel, QueryNamedBlockNodes};
use qmp_types::qmp::events::{DeviceDeleted, DeviceUnplugGuestError};

use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::session::{Call, Events};

/// The pause between two requests, while QEMU refuses because an earlier one is in process.
const RETRY: Duration = Duration::from_millis(500);

/// The pause between two attempts to delete a node that QEMU still uses.
const RELEASE: Duration = Duration::from_millis(50);

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
    // `device_del` itself listens for its outcome. This is for the outcome of an earlier one.
    let wanted = device.to_owned();
    let mut events = vm.subscribe(move |event| outcome_of(event, &wanted).is_some());
    let mut refusal: Option<Error> = None;
    loop {
        let call = vm.call(DeviceDel::new(device)).within(limit.left(vm));
        let error = match call.until_some(|event| outcome_of(event, device)).await {
            Ok((_, outcome)) => return outcome,
            Err(error) => error,
        };
        match (error, &mut refusal) {
            (Error::Timeout(_), Some(_)) => {}
            (Error::Timeout(timeout), None) => {
                let unanswered = matches!(timeout.waited_for, WaitedFor::Reply(_));
                let cause = unanswered.then_some(Error::Timeout(timeout));
                return Err(limit.passed().because(cause).into());
            }
            // The device was still being unplugged when it was asked for the last time. It has a name
            // no more, and holds its backend until the event.
            (error, Some(_)) if error.class() == Some(&ErrorClass::DeviceNotFound) => {
                refusal = Some(error);
                while !limit.left(vm).is_zero() {
                    if let Some(outcome) = next_outcome(vm, &mut events, &limit, device).await? {
                        return Ok(outcome);
                    }
                }
            }
            (error, _) if !is_in_process(&error) => return Err(error),
            (error, refusal) => {
                *refusal = Some(error);
                if let Some(outcome) = next_outcome(vm, &mut events, &limit, device).await? {
                    return Ok(outcome);
                }
            }
        }
        if limit.left(vm).is_zero() {
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

pub(crate) async fn unplug_disk<M: Monitor>(
    vm: &M,
    device: &str,
    node_name: &str,
    within: Duration,
) -> Result<Unplugged> {
    let state = format!("node `{}` to be released", Printable(node_name));
    let limit = Limit::new(vm, within, state);
    match unplug(vm, device, within).await {
        Ok(Unplugged::Deleted) => {}
        // An earlier attempt has succeeded; QEMU may be using the node for a while.
        Err(error) if error.class() == Some(&ErrorClass::DeviceNotFound) => {}
        other => return other,
    }
    loop {
        let refusal = match limit.execute(vm, BlockdevDel::new(node_name)).await {
            Ok(_) => return Ok(Unplugged::Deleted),
            Err(error) if error.server().is_some() => error,
            Err(error) => return Err(error),
        };
        let nodes = limit.execute(vm, QueryNamedBlockNodes::new().flat(true)).await?;
        if nodes.iter().all(|node| node.node_name.as_deref() != Some(node_name)) {
            return Ok(Unplugged::Deleted);
        }
        if !refusal.server().is_some_and(|error| error.desc.contains("in use")) {
            return Err(refusal);
        }
        if limit.left(vm).is_zero() {
            return Err(limit.passed().because(Some(refusal)).into());
        }
        vm.pause(limit.left(vm).min(RELEASE)).await;
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
