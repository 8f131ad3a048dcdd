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
//! - What fails outside QEMU, as opening the file, is told like all else, by a `TransportError` that
//!   says what was tried.
//!
//! For going on, a QEMU with the same options and `-incoming defer` takes it.
//!
//! ```console
//! $ cargo run --example save_to_file -- save unix:/run/vm.sock vm.state
//! $ cargo run --example save_to_file -- restore unix:/run/vm.sock vm.state
//! ```

use std::error::Error as StdError;
use std::fs::File;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    AddFd, Cont, Getfd, Migrate, MigrateIncoming, MigrateSetCapabilities, MigrateSetParameters,
    QueryStatus, RemoveFd, Stop,
};
use qmp_client::qmp::events::Migration;
use qmp_client::qmp::types::{
    MigrationCapability, MigrationCapabilityStatus, MigrationStatus, RunState,
};
use qmp_client::{Result, TransportError};

const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How long QEMU may take for what follows the last byte.
const SETTLING: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failure = match arguments[..] {
        ["save", address, path] => save(address, path),
        ["restore", address, path] => restore(address, path),
        _ => return Err("usage: save_to_file save|restore ADDRESS FILE".into()),
    };
    failure.map_err(|error| error.report())?.map_or(Ok(()), |failure| Err(failure.into()))
}

/// Saves it, and ends QEMU; or says why it is not saved, and the guest goes on.
pub fn save(address: &str, path: &str) -> Result<Option<String>> {
    // For writing alone, and not over what is there.
    let file = File::options().write(true).create_new(true).open(path);
    let file = file.map_err(|error| TransportError::new(format!("cannot create {path}"), error))?;
    save_into(address, file)
}

/// [`save`], to a file that is open for writing alone.
pub fn save_into(address: &str, file: File) -> Result<Option<String>> {
    let mut vm = Client::connect(address)?;
    let was_running = vm.execute(QueryStatus::new())?.status == RunState::Running;
    vm.execute(Stop::new())?;
    let written = write(&mut vm, &file);
    if let Ok(None) = written {
        println!("saved");
        vm.quit()?;
    } else if was_running && let Err(error) = vm.execute(Cont::new()) {
        eprintln!("the guest does not go on: {}", error.report());
    }
    written
}

fn write(vm: &mut Client, file: &File) -> Result<Option<String>> {
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
        return Ok(Some(info.error_desc.unwrap_or_else(|| "it was cancelled".into())));
    }
    file.sync_all().map_err(|error| TransportError::new("cannot write the file", error))?;
    Ok(None)
}

/// Goes on from what was saved, or says why not.
pub fn restore(address: &str, path: &str) -> Result<Option<String>> {
    // For reading alone.
    let file = File::open(path)
        .map_err(|error| TransportError::new(format!("cannot open {path}"), error))?;
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
        return Ok(Some("the state cannot be read".into()));
    }
    // The guest's state follows a moment after the event.
    vm.settle(SETTLING)?;
    // It was stopped when it was saved.
    vm.execute(Cont::new())?;
    println!("restored");
    Ok(None)
}

/// Gives QEMU the file, which is open for what it is to do with it and for nothing else: a set that
/// has a file for reading and writing has none for writing.
fn pass(vm: &mut Client, file: &File) -> Result<(String, Option<i64>)> {
    let file = file.try_clone();
    let file = file.map_err(|error| TransportError::new("cannot hand over the file", error))?;
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
