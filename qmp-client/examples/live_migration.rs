//! Moving a running VM to another QEMU.
//!
//! The destination was started with the same options and `-incoming defer`, and both see the same
//! disks. The order:
//!
//! 1. Capabilities, on both sides: they stay as an earlier attempt left them, so all that matter
//!    are set. `events` is what makes `MIGRATION` come.
//! 2. The destination listens, then the source begins.
//! 3. With `pause-before-switchover` the source stops its guest and waits once more when the
//!    memory is there: now is the time to end what else runs on the disks, as a mirror of them. It
//!    goes on only after `migrate-continue`; a program that does not know this waits for ever.
//! 4. `query-migrate` says how it stands. Before the first migration it has no status, or `none`:
//!    neither is an end. An event only says that looking is worth while.
//! 5. The guest runs on one side only. The destination is resumed when it has everything, and the
//!    source is ended only after that. If it fails earlier, the destination is ended first, and the
//!    source goes on by itself.
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
use tokio::time::Instant;

/// How long QEMU may take for what follows the last byte, and how long nobody looks.
const SETTLING: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, listen, connect] = &arguments[..] else {
        return Err("usage: live_migration SOURCE TARGET LISTEN-URI CONNECT-URI".into());
    };
    let patience = Duration::from_secs(60 * 60);
    let moved = run(source, target, listen, connect, patience).await;
    if !moved.map_err(|error| error.report())? {
        return Err("the VM is where it was".into());
    }
    Ok(())
}

/// Whether it has moved. If not, the guest goes on at the source.
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
    // At most so many milliseconds without the guest, and as many bytes a second as there are.
    source.execute(MigrateSetParameters::new().downtime_limit(300).max_bandwidth(0)).await?;

    target.execute(MigrateIncoming::new().uri(listen)).await?;
    let moved = match leave(&source, connect, patience).await {
        Ok(MigrationStatus::Completed) => match arrive(&target, was_running).await {
            // It has died of what it read: then the source is the only one.
            Err(error) if error.is_closed() => false,
            arrived => arrived?,
        },
        Ok(_) => false,
        Err(error) if error.server().is_some() => {
            println!("{}", error.report());
            false
        }
        // Nobody knows how it stands: nothing is ended that may be the only copy.
        Err(error) => return Err(error),
    };
    let (gone, other) = if moved { (&source, "source") } else { (&target, "destination") };
    println!("ending the {other}");
    // It may have ended itself: that is success too.
    gone.quit().await?;
    if !moved && was_running {
        // Normally it goes on by itself, a moment later; where it does not, this does it.
        source.settle(SETTLING).await?;
        source.execute(Cont::new()).await?;
    }
    Ok(moved)
}

async fn leave(vm: &Client, uri: &str, patience: Duration) -> Result<MigrationStatus> {
    let end = Instant::now() + patience;
    let (mut continued, mut cancelled) = (false, false);
    let mut events = vm.events_of::<Migration>();
    vm.execute(Migrate::new().uri(uri)).await?;
    loop {
        let MigrationInfo { status, ram, error_desc, .. } = vm.execute(QueryMigrate::new()).await?;
        match status {
            Some(MigrationStatus::PreSwitchover) if !continued => {
                println!("the guest is stopped; here other jobs on its disks are ended");
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
        if Instant::now() >= end && !cancelled {
            println!("it takes too long");
            vm.execute(MigrateCancel::new()).await?;
            cancelled = true;
        }
        // Not all progress is an event.
        match events.next_within(LOOK).await {
            Some(Err(error)) if !error.is_timeout() => return Err(error),
            _ => {}
        }
    }
}

/// Whether the guest is at the destination, and runs if it is to.
async fn arrive(vm: &Client, run: bool) -> Result<bool> {
    // Its state follows a moment after the last byte.
    let status = match vm.settle(SETTLING).await {
        Err(error) if error.is_timeout() => return Ok(false),
        status => status?,
    };
    println!("the destination is {status}");
    if !run || status == RunState::Running {
        return Ok(true);
    }
    // It was started with `-S`. If it cannot go on, as for want of its disks, the source can.
    Ok(vm.execute(Cont::new()).await.inspect_err(|error| println!("{}", error.report())).is_ok())
}
