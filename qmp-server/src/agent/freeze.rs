//! Freezing file systems.

use qmp_types::QmpError;
use qmp_types::qga::commands::{
    GuestFsfreezeFreeze, GuestFsfreezeFreezeList, GuestFsfreezeStatus, GuestFsfreezeThaw,
};
use qmp_types::qga::types::GuestFsfreezeStatus as Status;

use super::guest::Guest;
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Guest>) -> Router<Guest> {
    router
        .command(|guest: &mut Guest, _: GuestFsfreezeFreeze, _: &mut Context| freeze(guest, None))
        .command(|guest: &mut Guest, command: GuestFsfreezeFreezeList, _: &mut Context| {
            freeze(guest, command.mountpoints.map(|points| points.len()))
        })
        .command(|guest: &mut Guest, _: GuestFsfreezeStatus, _: &mut Context| {
            Ok(if guest.frozen { Status::Frozen } else { Status::Thawed })
        })
        .command(|guest: &mut Guest, _: GuestFsfreezeThaw, _: &mut Context| {
            let was_frozen = std::mem::take(&mut guest.frozen);
            Ok(if was_frozen { i64::from(guest.file_systems) } else { 0 })
        })
}

/// Freezes file systems, at most the given number of them, and returns the number of frozen ones.
fn freeze(guest: &mut Guest, most: Option<usize>) -> Result<i64, QmpError> {
    let count = i64::from(guest.file_systems);
    let count =
        most.and_then(|most| i64::try_from(most).ok()).map_or(count, |most| most.min(count));
    guest.frozen = count > 0;
    Ok(count)
}
