//! What to do about an error depends on whose it is, and no text has to be searched for that.
//!
//! QEMU's texts change between releases; its classes do not. Most errors are of the class
//! `GenericError`, which says no more than that: then QEMU is better asked for its state than for
//! the meaning of its words, as is done here for a device of which it is not known whether it is
//! there.
//!
//! ```console
//! $ cargo run --example handle_errors -- unix:/run/vm.sock
//! ```

use std::error::Error as StdError;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{Balloon, DeviceDel, QomList, QueryStatus};
use qmp_client::types::ErrorClass;
use qmp_client::{Error, Request, Result};

fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: handle_errors ADDRESS".into()) };
    run(address).map_err(|error| error.report())?;
    Ok(())
}

/// What a manager of VMs does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// There was no error.
    GoOn,
    /// This VM has not got it: do without.
    DoWithout,
    /// It was refused: tell whoever asked for it.
    Tell,
    /// The VM is slow, or hangs: its command may still be executed. Look at its state first.
    Look,
    /// The VM is gone.
    GiveUp,
}

/// What comes of several commands.
pub fn run(address: &str) -> Result<Vec<Next>> {
    // Nobody listens, no socket, no QMP behind it, another client is connected: all say so.
    let mut vm = Client::connect(address)?;
    let steps = vec![
        attempt(&mut vm, QueryStatus::new()),
        // Without a balloon it is `DeviceNotActive`.
        attempt(&mut vm, Balloon::new(64 << 20)),
        // One that is not there is `DeviceNotFound`.
        attempt(&mut vm, DeviceDel::new("nothing")),
        attempt(&mut vm, QomList::new("/nowhere")),
    ];
    println!("{:?}", has_device(&mut vm, "nothing")?);
    Ok(steps)
}

fn attempt<R: Request>(vm: &mut Client, command: R) -> Next {
    let Err(error) = vm.execute(command) else { return Next::GoOn };
    let next = next(&error);
    // One line, with all that led to it. `command` says which one it was, where there was one.
    println!("{:?}: {} -> {next:?}", error.command(), error.report());
    next
}

fn next(error: &Error) -> Next {
    // Questions that are asked often have a name...
    if error.is_closed() {
        return Next::GiveUp;
    }
    if error.is_timeout() {
        return Next::Look;
    }
    if error.is_command_not_found() {
        // It does not exist here, or not in this state.
        return Next::DoWithout;
    }
    // ... the others have the class, which may be one that no schema knows...
    match error.class() {
        Some(ErrorClass::DeviceNotFound | ErrorClass::DeviceNotActive) => return Next::DoWithout,
        Some(_) => return Next::Tell,
        None => {}
    }
    // ... and an error that is not the server's has its kind.
    match error {
        // The reply is not as the schema says: this one reply. The connection goes on.
        Error::Decode(mismatch) => eprintln!("at {}", mismatch.error),
        // So many events were dropped: what they would have told has to be asked for.
        Error::Lagged(count) => eprintln!("{count} events missed"),
        _ => {}
    }
    Next::Look
}

/// QEMU's state, and not the text of an error, says whether the device is there.
fn has_device(vm: &mut Client, id: &str) -> Result<bool> {
    let devices = vm.execute(QomList::new("/machine/peripheral"))?;
    Ok(devices.iter().any(|device| device.name == id))
}
