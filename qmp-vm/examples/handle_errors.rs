//! Decides what to do about an error, without looking at its text.
//!
//! QEMU's error messages change between releases, while the classes of its errors do not. However,
//! most errors have the class `GenericError`, which says nothing more. Then query QEMU's state
//! instead of interpreting the message, as this program does to find out whether a device exists.
//!
//! If this program is killed, nothing is left.
//!
//! ```console
//! $ cargo run --example handle_errors -- unix:/run/vm.sock
//! ```

use std::error::Error as StdError;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{Balloon, DeviceDel, QomList, QueryStatus};
use qmp_client::{Error, ErrorClass, Request, Result};

fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: handle_errors ADDRESS".into()) };
    run(address).map_err(|error| error.report())?;
    Ok(())
}

/// The next step of a program that manages VMs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Go on: the command succeeded.
    GoOn,
    /// Do without: this VM does not have the command or the device.
    DoWithout,
    /// Report the error to the user: QEMU refused the command.
    Report,
    /// Query the state first: the VM is slow or hangs, and may still execute the command.
    Query,
    /// Give up: the VM has ended.
    GiveUp,
}

/// Executes several commands, and returns what to do after each of them.
pub fn run(address: &str) -> Result<Vec<Next>> {
    // The error says what is wrong: the socket does not exist, it is not a QMP server, or another
    // client is connected.
    let vm = Client::connect(address)?;
    let steps = vec![
        attempt(&vm, QueryStatus::new()),
        // Without a balloon, the class is `DeviceNotActive`.
        attempt(&vm, Balloon::new(64 << 20)),
        // If the device does not exist, the class is `DeviceNotFound`.
        attempt(&vm, DeviceDel::new("nothing")),
        attempt(&vm, QomList::new("/nowhere")),
    ];
    println!("{:?}", has_device(&vm, "nothing")?);
    Ok(steps)
}

fn attempt<R: Request>(vm: &Client, command: R) -> Next {
    let Err(error) = vm.execute(command) else { return Next::GoOn };
    let next = next(&error);
    // `report` is the error with all its causes, on one line. `command` names the command, if the
    // error belongs to one.
    println!("{:?}: {} -> {next:?}", error.command(), error.report());
    next
}

fn next(error: &Error) -> Next {
    // Common questions have methods of their own.
    if error.is_closed() {
        return Next::GiveUp;
    }
    if error.is_timeout() {
        return Next::Query;
    }
    if error.is_command_not_found() {
        // QEMU does not have the command, or not in its present state.
        return Next::DoWithout;
    }
    // Other errors of the server have a class, which may be one that the schema does not know.
    match error.class() {
        Some(ErrorClass::DeviceNotFound | ErrorClass::DeviceNotActive) => return Next::DoWithout,
        Some(_) => return Next::Report,
        None => {}
    }
    // Errors that the server did not send are told apart by their variant.
    match error {
        // One reply does not match the schema. The connection goes on.
        Error::Decode(mismatch) => eprintln!("at {}", mismatch.error),
        // Events were dropped. Query what they would have reported.
        Error::Lagged(count) => eprintln!("{count} events missed"),
        _ => {}
    }
    Next::Query
}

/// Returns whether a device exists, which QEMU's state says, rather than the text of an error.
fn has_device(vm: &Client, id: &str) -> Result<bool> {
    let devices = vm.execute(QomList::new("/machine/peripheral"))?;
    Ok(devices.iter().any(|device| device.name == id))
}
