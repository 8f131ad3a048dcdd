//! Saving a VM to a file, and going on from it.
//!
//! It is a migration to a file, which is opened here and handed to QEMU: so QEMU needs no rights
//! to it, and no `exec:` runs a shell. Newer releases take it as `file:/dev/fdset/N`, from a set
//! (`add-fd`); older ones as `fd:NAME` (`getfd`), which the newest refuse. Which it is, is asked.
//!
//! - The guest is stopped first. It would only write memory that has been saved already, and its
//!   disks have to be as they are then.
//! - What was set for an earlier migration is still set: a pause before the switchover would
//!   never end here.
//! - `migrate` only begins it; `Client::migrate` follows it to its end. If it fails, the guest goes
//!   on as before.
//! - QEMU is ended only when the file is on the disk.
//!
//! For going on, a QEMU with the same options and `-incoming defer` takes it.
//!
//! ```console
//! $ cargo run --example save_to_file -- save unix:/run/vm.sock vm.state
//! $ cargo run --example save_to_file -- restore unix:/run/vm.sock vm.state
//! ```

use std::error::Error;
use std::fs::File;
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    AddFd, Cont, Getfd, Migrate, MigrateIncoming, MigrateSetCapabilities, MigrateSetParameters,
    QueryStatus, RemoveFd, Stop,
};
use qmp_client::qmp::events::Migration;
use qmp_client::qmp::types::{
    MigrationCapability, MigrationCapabilityStatus, MigrationStatus, RunState,
};

const PATIENCE: Duration = Duration::from_secs(60 * 60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["save", address, path] => {
            // For writing alone, and not over what is there.
            save(address, File::options().write(true).create_new(true).open(path)?)
        }
        ["restore", address, path] => restore(address, File::open(path)?),
        _ => Err("usage: save_to_file save|restore ADDRESS FILE".into()),
    }
}

/// Saves it, and ends QEMU. The file is open for writing alone.
pub fn save(address: &str, file: File) -> Result<(), Box<dyn Error>> {
    let mut vm = Client::connect(address)?;
    let was_running = vm.execute(QueryStatus::new())?.status == RunState::Running;
    vm.execute(Stop::new())?;
    match write(&mut vm, &file) {
        Ok(()) => {
            println!("saved");
            vm.quit()?;
            Ok(())
        }
        Err(error) => {
            if was_running && let Err(error) = vm.execute(Cont::new()) {
                eprintln!("the guest does not go on: {}", error.report());
            }
            Err(error)
        }
    }
}

fn write(vm: &mut Client, file: &File) -> Result<(), Box<dyn Error>> {
    let pause = MigrationCapability::PauseBeforeSwitchover;
    let pause = MigrationCapabilityStatus::new(pause, false);
    vm.execute(MigrateSetCapabilities::new(vec![pause]))?;
    // As fast as the disk takes it.
    vm.execute(MigrateSetParameters::new().max_bandwidth(0))?;
    let (uri, set) = pass(vm, file)?;
    let done = vm.migrate(Migrate::new().uri(uri), PATIENCE, |info| {
        println!("{} bytes to go", info.ram.as_ref().map_or(0, |ram| ram.remaining));
    });
    take_back(vm, set);
    let info = done?;
    if info.status != Some(MigrationStatus::Completed) {
        return Err(info.error_desc.unwrap_or_else(|| "it was cancelled".into()).into());
    }
    file.sync_all()?;
    Ok(())
}

/// Goes on from what was saved. The file is open for reading alone.
pub fn restore(address: &str, file: File) -> Result<(), Box<dyn Error>> {
    let mut vm = Client::connect(address)?;
    let events = MigrationCapabilityStatus::new(MigrationCapability::Events, true);
    vm.execute(MigrateSetCapabilities::new(vec![events]))?;
    let (uri, set) = pass(&mut vm, &file)?;
    // Waited for in one with the command: it may be over before the reply is here.
    let call = vm.call(MigrateIncoming::new().uri(uri)).within(PATIENCE);
    let is_over = |event: &Migration| {
        matches!(event.status, MigrationStatus::Completed | MigrationStatus::Failed)
    };
    let migration = call.until(is_over);
    take_back(&mut vm, set);
    let (_, migration) = migration?;
    if migration.event.status != MigrationStatus::Completed {
        // QEMU mostly ends then, and says on its standard error why.
        return Err("the state cannot be read".into());
    }
    // The guest's state follows a moment after the event.
    let begin = Instant::now();
    while vm.execute(QueryStatus::new())?.status == RunState::Inmigrate {
        if begin.elapsed() > Duration::from_secs(30) {
            return Err("the guest does not arrive".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It was stopped when it was saved.
    vm.execute(Cont::new())?;
    println!("restored");
    Ok(())
}

/// Gives QEMU the file, which is open for what it is to do with it and for nothing else: a set that
/// has a file for reading and writing has none for writing.
fn pass(vm: &mut Client, file: &File) -> Result<(String, Option<i64>), Box<dyn Error>> {
    let file = file.try_clone()?;
    if vm.capabilities()?.has("migrate/arg-type/channels/addr/transport/file") {
        let set = vm.call(AddFd::new()).descriptor(file).execute()?.fdset_id;
        Ok((format!("file:/dev/fdset/{set}"), Some(set)))
    } else {
        vm.call(Getfd::new("state")).descriptor(file).execute()?;
        Ok((String::from("fd:state"), None))
    }
}

/// What was handed over by name is closed by the migration.
fn take_back(vm: &mut Client, set: Option<i64>) {
    let Some(set) = set else { return };
    match vm.execute(RemoveFd::new(set)) {
        // QEMU has ended: so has the set.
        Err(error) if !error.is_closed() => eprintln!("left behind: {}", error.report()),
        _ => {}
    }
}
