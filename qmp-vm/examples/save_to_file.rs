//! Saves a VM to a file, and restores it from there.
//!
//! This is a migration to a file, which this program opens and passes to QEMU: QEMU needs no
//! permission for the path, and no shell is involved, as with `exec:`. New releases take the file as
//! `file:/dev/fdset/N`, from a set of descriptors (`add_descriptor`). Older ones take it as
//! `fd:NAME` (`getfd`), which the newest ones reject. QEMU's schema says which of the two it takes.
//!
//! - The guest is stopped first. It could only write to memory that has been saved already, and its
//!   disks must stay as they are at that moment.
//! - Capabilities keep their values from an earlier migration. A pause before the switchover would
//!   never end here, so it is disabled.
//! - `migrate` only starts the migration; the workflow of that name follows it to its end. If it
//!   fails, the guest goes on as before.
//! - QEMU is ended only after the file has reached the disk.
//! - Failures outside QEMU, such as that to open the file, are reported as a `TransportError`, which
//!   says what was attempted.
//!
//! To restore the VM, start a QEMU with the same options and `-incoming defer`.
//!
//! If this program is killed, the guest may be stopped, and these may be left in QEMU:
//!
//! - the stopped guest, which `cont` resumes. A migration that is active goes on to its end before;
//! - a set of descriptors, which `remove-fd` removes;
//! - the descriptor `state`, which `closefd` closes on the same monitor, unless the migration has
//!   taken it;
//! - the capabilities and parameters of migrations, which keep their values;
//! - the file `FILE`, which has the whole state only if the status of the migration is `completed`.
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
    Cont, Getfd, Migrate, MigrateIncoming, MigrateSetCapabilities, MigrateSetParameters,
    QueryStatus, Stop,
};
use qmp_client::qmp::events::Migration;
use qmp_client::qmp::types::{
    MigrationCapability, MigrationCapabilityStatus, MigrationStatus, RunState,
};
use qmp_client::{Result, TransportError};
use qmp_vm::{FdsetGuard, Workflows};

const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// The time that QEMU may take after the last byte.
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

/// Saves the VM, and ends QEMU. Returns why the VM was not saved, if it was not: then the guest goes
/// on.
pub fn save(address: &str, path: &str) -> Result<Option<String>> {
    // Open for writing only, and do not overwrite an existing file.
    let file = File::options().write(true).create_new(true).open(path);
    let file = file.map_err(|error| TransportError::new(format!("cannot create {path}"), error))?;
    save_into(address, file)
}

/// Does the same as [`save`], with a file that is open for writing only.
pub fn save_into(address: &str, file: File) -> Result<Option<String>> {
    let vm = Client::connect(address)?;
    let was_running = vm.execute(QueryStatus::new())?.status == RunState::Running;
    vm.execute(Stop::new())?;
    let written = write(&vm, &file);
    if let Ok(None) = written {
        println!("saved");
        vm.quit()?;
    } else if was_running {
        if let Err(error) = vm.execute(Cont::new()) {
            eprintln!("cannot resume the guest: {}", error.report());
        }
    }
    written
}

fn write(vm: &Client, file: &File) -> Result<Option<String>> {
    let pause = MigrationCapability::PauseBeforeSwitchover;
    let pause = MigrationCapabilityStatus::new(pause, false);
    vm.execute(MigrateSetCapabilities::new(vec![pause]))?;
    // As fast as the disk accepts it.
    vm.execute(MigrateSetParameters::new().max_bandwidth(0))?;
    let (uri, set) = pass(vm, file)?;
    let outcome = vm.migrate(Migrate::new().uri(uri), PATIENCE, |info| {
        println!("{} bytes to go", info.ram.as_ref().map_or(0, |ram| ram.remaining));
    })?;
    drop(set);
    if let Err(error) = outcome.into_result() {
        return Ok(Some(error.to_string()));
    }
    file.sync_all().map_err(|error| TransportError::new("cannot write the file", error))?;
    Ok(None)
}

/// Restores a VM that was saved. Returns why it was not restored, if it was not.
pub fn restore(address: &str, path: &str) -> Result<Option<String>> {
    // Open for reading only.
    let file = File::open(path)
        .map_err(|error| TransportError::new(format!("cannot open {path}"), error))?;
    let vm = Client::connect(address)?;
    let events = MigrationCapabilityStatus::new(MigrationCapability::Events, true);
    vm.execute(MigrateSetCapabilities::new(vec![events]))?;
    let (uri, set) = pass(&vm, &file)?;
    // The event is waited for together with the command, since it may arrive before the reply.
    let call = vm.call(MigrateIncoming::new().uri(uri)).within(PATIENCE);
    let has_ended = |event: &Migration| {
        matches!(event.status, MigrationStatus::Completed | MigrationStatus::Failed)
    };
    let (_, migration) = call.until(has_ended)?;
    drop(set);
    if migration.event.status != MigrationStatus::Completed {
        // QEMU mostly exits then, and writes the reason to its standard error.
        return Ok(Some("QEMU cannot read the state".into()));
    }
    // The run state changes a moment after the event.
    vm.settle(SETTLING)?;
    // The guest was stopped when it was saved.
    vm.execute(Cont::new())?;
    println!("restored");
    Ok(None)
}

/// Passes the file to QEMU, and returns the URI for it. The guard removes the set when the migration
/// has ended; a descriptor that was passed by name is closed by the migration itself.
///
/// The file must be open for exactly what QEMU does with it: in a set, QEMU does not find a
/// descriptor for writing if it was opened for reading and writing.
fn pass(vm: &Client, file: &File) -> Result<(String, Option<FdsetGuard<Client>>)> {
    let file = file.try_clone();
    let file = file.map_err(|error| TransportError::new("cannot duplicate the file", error))?;
    if vm.capabilities()?.has("migrate/arg-type/channels/addr/transport/file") {
        let set = vm.add_descriptor(file)?;
        Ok((format!("file:{}", set.path()), Some(set)))
    } else {
        vm.call(Getfd::new("state")).with_fd(file).execute()?;
        Ok((String::from("fd:state"), None))
    }
}
