//! Connects to a monitor, and says soon what is in the way.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use qmp_client::ProtocolError::{NotAgent, NotQmp};
use qmp_client::blocking::Client;
use qmp_client::{Address, Error, Options, TransportError, WaitedFor};

use super::diagnosis::{self, Diagnosis};
use super::endpoint::Role;
use super::managers::Directories;
use super::names;
use super::process::Host;
use super::survey::Survey;
use crate::terminal::{inline, notice};

/// The time in which a monitor that is free greets.
const SOON: Duration = Duration::from_secs(1);
/// The time in which a QEMU that has just been started can be seen in `/proc`.
const START: Duration = Duration::from_millis(50);

/// Connects to a monitor by its address or the machine's name. If no server listens there yet and
/// one may still appear, prints a notice and keeps trying for `patience`. A server that does not greet
/// soon is looked up, and the reason is printed.
pub(crate) fn connect(text: &str, options: &Options, patience: Duration) -> Result<Client, Error> {
    let wanted = wanted(options);
    let address = resolve_as(text, wanted)?;
    let within = format!("waiting up to {} s", patience.as_secs_f64());
    let connect = |options: Options| {
        let of_thread = address.clone();
        attempt(&address, move || Client::connect_with(&of_thread, &options), wanted, &within)
    };
    let mut error = match connect(options.clone().wait_for_socket(Duration::ZERO)) {
        Err(Error::Transport(error)) => error,
        other => return other,
    };
    if error.error.kind() == io::ErrorKind::NotFound && !names::is_address(text) {
        let reason = format!("neither a machine of this host nor a file has the name `{text}`");
        error.error = io::Error::new(io::ErrorKind::NotFound, reason);
    }
    if patience.is_zero() || !may_appear(&address, error.error.kind()) {
        return Err(Error::Transport(error));
    }
    let message = format!("nothing is listening at {address} yet ({}); {within}", error.error);
    notice(&inline(&message));
    connect(options.clone().wait_for_socket(patience))
}

/// Connects to a monitor in a way of the caller's, which may take `patience`. A server that does not greet
/// soon is looked up, and the reason is printed.
pub(crate) fn connect_by<T: Send + 'static>(
    address: &Address,
    connect: impl FnOnce() -> Result<T, Error> + Send + 'static,
    patience: Duration,
) -> Result<T, Error> {
    let within = format!("waiting up to {} s", patience.as_secs_f64());
    attempt(address, connect, Role::Qmp, &within)
}

/// Connects in a single attempt, and prints nothing.
pub(crate) fn connect_once(text: &str, options: &Options) -> Result<Client, Error> {
    Client::connect_with(resolve_as(text, wanted(options))?, options)
}

/// Returns the address of the QMP monitor that a text is or names.
///
/// # Errors
/// The address is invalid, several machines have the name, or the machine has no such monitor.
pub fn resolve(text: &str) -> Result<Address, Error> {
    resolve_as(text, Role::Qmp)
}

/// Returns the role of the socket that a program wants.
fn wanted(options: &Options) -> Role {
    if options.is_for_agent() { Role::GuestAgent } else { Role::Qmp }
}

fn survey() -> Survey {
    Survey::of(&Host::default(), &Directories::of_user())
}

/// Returns the reason why a server does not answer.
fn diagnose(address: &Address, wanted: Role) -> Option<Diagnosis> {
    diagnosis::of(&survey(), &absolute(address), wanted)
}

/// Returns an address by which the files of a host are found.
fn absolute(address: &Address) -> Address {
    match address {
        Address::Unix(path) => {
            Address::Unix(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
        }
        other => other.clone(),
    }
}

/// Returns the address that a text is or names: an address in its form, a file in the current
/// directory, a machine, or else a path.
fn resolve_as(text: &str, wanted: Role) -> Result<Address, Error> {
    if names::is_address(text) {
        return Ok(text.parse()?);
    }
    if names::is_file(text) {
        return Ok(Address::Unix(text.into()));
    }
    match names::find(&survey(), text, wanted) {
        Ok(Some(address)) => Ok(address),
        // The socket may be created in a moment.
        Ok(None) => Ok(text.parse()?),
        Err(reason) => {
            let error = io::Error::new(io::ErrorKind::InvalidInput, reason);
            Err(TransportError::new("cannot connect", error).into())
        }
    }
}

/// Returns whether a text that is neither an address nor a file is the name of a machine.
pub(crate) fn is_machine(text: &str) -> bool {
    !names::is_address(text)
        && !names::is_file(text)
        && !matches!(names::find(&survey(), text, Role::Qmp), Ok(None))
}

fn may_appear(address: &Address, error: io::ErrorKind) -> bool {
    if error == io::ErrorKind::ConnectionRefused {
        // A shell may have started a QEMU at the same time as this program.
        std::thread::sleep(START);
    }
    diagnosis::may_appear(&survey(), &absolute(address), error)
}

/// Connects in a thread, and looks for the reason if that takes long.
fn attempt<T: Send + 'static>(
    address: &Address,
    connect: impl FnOnce() -> Result<T, Error> + Send + 'static,
    wanted: Role,
    within: &str,
) -> Result<T, Error> {
    let (sender, connected) = mpsc::channel();
    let thread = std::thread::Builder::new().spawn(move || {
        // The receiver is gone if the wait was given up.
        let _ = sender.send(connect());
    });
    if let Err(error) = thread {
        return Err(TransportError::new("cannot start a thread", error).into());
    }
    let mut reason = None;
    loop {
        // Until a reason is found, the host is looked at again and again.
        let outcome = match reason {
            None => connected.recv_timeout(SOON),
            Some(_) => connected.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match outcome {
            Ok(result) => return result.map_err(|error| explain(error, address, wanted, reason)),
            Err(RecvTimeoutError::Disconnected) => {
                let error = io::Error::other("the thread that connects has ended");
                return Err(
                    TransportError::new(format!("cannot connect to {address}"), error).into()
                );
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        reason = diagnose(address, wanted);
        if let Some(reason) = &reason {
            if reason.is_final() {
                return Err(cannot_use(address, reason));
            }
            notice(&inline(&format!("{address}: {reason}; {within}")));
        }
    }
}

/// Adds the reason to a deadline that has passed, and says what a server is that is not the one wanted.
fn explain(error: Error, address: &Address, wanted: Role, reason: Option<Diagnosis>) -> Error {
    match error {
        Error::Timeout(timeout)
            if timeout.cause.is_none()
                && matches!(timeout.waited_for, WaitedFor::Greeting | WaitedFor::Agent) =>
        {
            let reason = reason.or_else(|| diagnose(address, wanted));
            (*timeout).because(reason).into()
        }
        Error::Protocol(error) if matches!(*error, NotAgent(_) | NotQmp(_)) => {
            match diagnose(address, wanted) {
                Some(reason @ (Diagnosis::Other { .. } | Diagnosis::Agent(_))) => {
                    cannot_use(address, &reason)
                }
                _ => Error::Protocol(error),
            }
        }
        other => other,
    }
}

fn cannot_use(address: &Address, reason: &Diagnosis) -> Error {
    let attempt = format!("cannot use {address}");
    TransportError::new(attempt, io::Error::other(reason.to_string())).into()
}
