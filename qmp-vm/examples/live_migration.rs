//! Moves a running VM to another QEMU.
//!
//! The destination was started with the same options and `-incoming defer`, and both have the same
//! disks.
//!
//! 1. Capabilities are set on both sides. They keep their values from an earlier attempt, so all that
//!    matter are set. The capability `events` makes QEMU send `MIGRATION`.
//! 2. The destination listens, and then the source starts.
//! 3. With `pause-before-switchover`, the source stops its guest and pauses once more when nearly all
//!    memory has been sent. That is the time to end whatever else uses the disks, such as a mirror.
//!    The migration goes on after `migrate-continue`, and waits for it without a deadline.
//! 4. `query-migrate` reports the state. Before the first migration, the status is missing or `none`;
//!    neither is an end. An event only says when to query again.
//! 5. The guest runs on one side only. The destination is resumed when it has received everything,
//!    and the source is ended only after that. If the migration fails earlier, the destination is
//!    ended first, and the source goes on.
//!
//! The workflow `migrate` is the loop here, without cancelling: it returns when the migration pauses,
//! and is called again with `MigrateContinue`. `save_to_file` uses it.
//!
//! If this program is killed, the guest is on one side, but it may be stopped there: a migration
//! that pauses before the switchover waits for a command. These may be left:
//!
//! - the migration, which `migrate_cancel` ends: the guest goes on at the source. If the status of
//!   the source is `postmigrate`, the migration has completed, and the guest is at the destination;
//! - the capabilities and parameters of migrations, which keep their values;
//! - a destination that waits for the migration, which `quit` ends. The source is left instead if
//!   the guest has moved: never end the side that has the guest.
//!
//! ```console
//! $ cargo run --example live_migration --features tokio -- \
//!     unix:/run/here.sock unix:/run/there.sock tcp:0:4444 tcp:there:4444
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::qmp::commands::{
    Cont, Migrate, MigrateCancel, MigrateContinue, MigrateIncoming, MigrateSetCapabilities,
    MigrateSetParameters, QueryMigrate, QueryStatus,
};
use qmp_client::qmp::events::Migration;
use qmp_client::qmp::types::{
    MigrationCapability, MigrationCapabilityStatus, MigrationInfo, MigrationStatus, RunState,
};
use qmp_client::{Client, Result};
use qmp_vm::Workflows;

/// The time that QEMU may take after the last byte.
const SETTLING: Duration = Duration::from_secs(30);
/// The longest pause between two queries of the state.
const INTERVAL: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, listen, connect] = &arguments[..] else {
        return Err("usage: live_migration SOURCE TARGET LISTEN-URI CONNECT-URI".into());
    };
    let patience = Duration::from_secs(60 * 60);
    let moved = run(source, target, listen, connect, patience).await;
    if !moved.map_err(|error| error.report())? {
        return Err("the VM was not moved".into());
    }
    Ok(())
}

/// Moves the VM, and returns whether it was moved. If not, the guest goes on at the source.
pub async fn run(
    source: &str,
    target: &str,
    listen: &str,
    connect: &str,
    patience: Duration,
) -> Result<bool> {
    let (source, target) = tokio::try_join!(Client::connect(source), Client::connect(target))?;
    let was_running = source.execute(QueryStatus::new()).await?.status == RunState::Running;
    let set = MigrationCapabilityStatus::new;
    let events = set(MigrationCapability::Events, true);
    let pause = set(MigrationCapability::PauseBeforeSwitchover, true);
    target.execute(MigrateSetCapabilities::new(vec![events.clone()])).await?;
    source.execute(MigrateSetCapabilities::new(vec![events, pause])).await?;
    // At most 300 ms without the guest, and no limit for the bandwidth.
    source.execute(MigrateSetParameters::new().downtime_limit(300).max_bandwidth(0)).await?;

    target.execute(MigrateIncoming::new().uri(listen)).await?;
    let moved = match send(&source, connect, patience).await {
        Ok(MigrationStatus::Completed) => match receive(&target, was_running).await {
            // The destination died of what it received: only the source is left.
            Err(error) if error.is_closed() => false,
            received => received?,
        },
        Ok(_) => false,
        Err(error) if error.server().is_some() => {
            println!("{}", error.report());
            false
        }
        // The state is unknown, so neither side is ended: it may be the only copy of the guest.
        Err(error) => return Err(error),
    };
    let (unused, side) = if moved { (&source, "source") } else { (&target, "destination") };
    println!("ending the {side}");
    match unused.quit().await {
        // A destination that failed may have ended by itself.
        Err(error) if error.is_closed() => {}
        ended => ended?,
    }
    if !moved && was_running {
        // The source mostly goes on by itself, a moment later. Where it does not, this resumes it.
        source.settle(SETTLING).await?;
        source.execute(Cont::new()).await?;
    }
    Ok(moved)
}

/// Migrates to the URI, and returns how that ended.
async fn send(vm: &Client, uri: &str, patience: Duration) -> Result<MigrationStatus> {
    let end = vm.now() + patience;
    let (mut continued, mut cancelled) = (false, false);
    let mut changes = vm.events_of::<Migration>();
    vm.execute(Migrate::new().uri(uri)).await?;
    loop {
        let MigrationInfo { status, ram, error_desc, .. } = vm.execute(QueryMigrate::new()).await?;
        match status {
            Some(MigrationStatus::PreSwitchover) if !continued => {
                println!("the guest is stopped; other jobs on its disks would be ended now");
                vm.execute(MigrateContinue::new(MigrationStatus::PreSwitchover)).await?;
                continued = true;
            }
            Some(status @ (MigrationStatus::Completed | MigrationStatus::Cancelled)) => {
                println!("{status}");
                return Ok(status);
            }
            Some(MigrationStatus::Failed) => {
                println!("failed: {}", error_desc.unwrap_or_default());
                return Ok(MigrationStatus::Failed);
            }
            _ => println!("{} bytes to go", ram.map_or(0, |ram| ram.remaining)),
        }
        if vm.now() >= end && !cancelled {
            println!("the migration takes too long");
            vm.execute(MigrateCancel::new()).await?;
            cancelled = true;
        }
        // QEMU does not send an event for every change.
        match changes.next_within(INTERVAL).await {
            Some(Err(error)) if !error.is_timeout() => return Err(error),
            _ => {}
        }
    }
}

/// Returns whether the guest is at the destination, and runs there if it is supposed to.
async fn receive(vm: &Client, run: bool) -> Result<bool> {
    // The run state changes a moment after the last byte.
    let status = match vm.settle(SETTLING).await {
        Err(error) if error.is_timeout() => return Ok(false),
        status => status?,
    };
    println!("the destination is {status}");
    if !run || status == RunState::Running {
        return Ok(true);
    }
    // The destination was started with `-S`. If it cannot run, for example because it cannot lock
    // its disks, the source can.
    Ok(vm.execute(Cont::new()).await.inspect_err(|error| println!("{}", error.report())).is_ok())
}
