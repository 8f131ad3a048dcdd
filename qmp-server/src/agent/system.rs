//! Synchronization, information, time and power.

use qmp_types::qga::commands::{
    GuestGetHostName, GuestGetOsinfo, GuestGetTime, GuestGetTimezone, GuestGetUsers, GuestInfo,
    GuestNetworkGetInterfaces, GuestPing, GuestSetTime, GuestShutdown, GuestSuspendDisk,
    GuestSuspendHybrid, GuestSuspendRam, GuestSync, GuestSyncDelimited,
};
use qmp_types::qga::types::{GuestAgentInfo, GuestHostName, GuestTimezone};
use qmp_types::{Command, Empty, QmpError};

use super::guest::Guest;
use crate::context::Context;
use crate::router::Router;

/// The number of suspensions that are remembered.
const MAX_SUSPENSIONS: usize = 1 << 10;

pub(super) fn add(router: Router<Guest>) -> Router<Guest> {
    router
        .command(|_: &mut Guest, sync: GuestSync, _: &mut Context| Ok(sync.id))
        .command(|_: &mut Guest, sync: GuestSyncDelimited, _: &mut Context| Ok(sync.id))
        .command(|_: &mut Guest, _: GuestPing, _: &mut Context| Ok(Empty {}))
        // The connection answers this one, because it depends on the table of commands.
        .command(|_: &mut Guest, _: GuestInfo, _: &mut Context| Ok(GuestAgentInfo::new("")))
        .command(|guest: &mut Guest, _: GuestGetOsinfo, _: &mut Context| Ok(guest.os.clone()))
        .command(|guest: &mut Guest, _: GuestNetworkGetInterfaces, _: &mut Context| {
            Ok(guest.interfaces.clone())
        })
        .command(|guest: &mut Guest, _: GuestGetHostName, _: &mut Context| {
            Ok(GuestHostName::new(guest.host_name.clone()))
        })
        .command(|_: &mut Guest, _: GuestGetTimezone, _: &mut Context| {
            Ok(GuestTimezone::new(0).zone("UTC"))
        })
        .command(|_: &mut Guest, _: GuestGetUsers, _: &mut Context| Ok(Vec::new()))
        .command(|guest: &mut Guest, _: GuestGetTime, _: &mut Context| Ok(guest.time()))
        .command(set_time)
        .command(shut_down)
        .command(|guest: &mut Guest, _: GuestSuspendDisk, _: &mut Context| {
            suspend::<GuestSuspendDisk>(guest)
        })
        .command(|guest: &mut Guest, _: GuestSuspendHybrid, _: &mut Context| {
            suspend::<GuestSuspendHybrid>(guest)
        })
        .command(|guest: &mut Guest, _: GuestSuspendRam, _: &mut Context| {
            suspend::<GuestSuspendRam>(guest)
        })
}

fn set_time(guest: &mut Guest, command: GuestSetTime, _: &mut Context) -> Result<Empty, QmpError> {
    // Without a time, the guest takes that of its clock chip, which is the host's.
    guest.clock_offset = match command.time {
        None => 0,
        Some(time) => time.saturating_sub(guest.time().saturating_sub(guest.clock_offset)),
    };
    Ok(Empty {})
}

fn shut_down(
    guest: &mut Guest,
    command: GuestShutdown,
    _: &mut Context,
) -> Result<Empty, QmpError> {
    let mode = command.mode.unwrap_or_else(|| "powerdown".into());
    if !["halt", "powerdown", "reboot"].contains(&&*mode) {
        // The missing bracket is the agent's.
        let desc = "mode is invalid (valid values are: halt|powerdown|reboot";
        return Err(QmpError::generic(desc));
    }
    guest.shutdown_mode = Some(mode);
    Ok(Empty {})
}

fn suspend<C: Command>(guest: &mut Guest) -> Result<Empty, QmpError> {
    if guest.suspensions.len() < MAX_SUSPENSIONS {
        guest.suspensions.push(C::NAME.to_owned());
    }
    Ok(Empty {})
}
