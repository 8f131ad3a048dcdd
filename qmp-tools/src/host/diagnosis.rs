//! The reason why an address does not answer, as far as the host tells it.

use std::fmt;
use std::io::ErrorKind;

use qmp_client::Address;

use super::endpoint::Role;
use super::machine::{self, is_local};
use super::process::Process;
use super::survey::{Holder, Survey, join};

/// Programs that listen in silence, as a busy monitor does, and are not QEMU.
const SILENT_PROGRAMS: [&str; 5] = ["virtiofsd", "swtpm", "passt", "vhost-device", "vhost-user"];

/// QEMU's guest agent, which waits for its client to begin. It may listen itself, for containers and
/// tests.
const GUEST_AGENT: &str = "qemu-ga";

/// The reason why a server that accepts connections does not greet.
#[derive(Debug, Eq, PartialEq)]
pub enum Diagnosis {
    /// Other clients are connected, and a monitor serves one at a time.
    Busy {
        /// The clients.
        holders: Vec<Holder>,
        /// The advice about the manager that keeps the monitor connected.
        advice: Option<String>,
    },
    /// A signal or a debugger has stopped the process.
    Stopped(Process),
    /// The address is that of another socket of a QEMU.
    Other {
        /// The purpose of the socket.
        role: Role,
        /// The purpose that was wanted: a QMP monitor or a guest agent's port.
        wanted: Role,
        /// The QEMU.
        process: Option<Process>,
        /// The address of such a socket of the same QEMU.
        instead: Option<Address>,
    },
    /// The server is another program.
    OtherProgram(Process),
    /// The server is a guest agent, and a QMP monitor was wanted.
    Agent(Process),
    /// The process runs, no client holds the monitor, and it does not answer.
    Hangs(Process),
    /// The QEMU runs, no client holds the port, and no guest agent answers.
    NoAgent(Process),
}

impl Diagnosis {
    /// Returns whether waiting longer changes nothing.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            // A device that was plugged in later may use such a chardev.
            Self::Other { role, .. } => *role != Role::Unused,
            Self::OtherProgram(_) | Self::Agent(_) => true,
            Self::Busy { advice, .. } => advice.is_some(),
            Self::Stopped(_) | Self::Hangs(_) | Self::NoAgent(_) => false,
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { holders, advice } => {
                let holders: Vec<_> = holders.iter().map(Holder::to_string).collect();
                let holders = join(holders.iter().map(String::as_str));
                write!(f, "the socket is busy: it is held by {holders}")?;
                advice.iter().try_for_each(|advice| write!(f, "; {advice}"))
            }
            Self::Stopped(Process { pid, command }) => write!(
                f,
                "the process {command} (pid {pid}) is stopped by a signal or a debugger; continue it \
                 with `kill -CONT {pid}`"
            ),
            Self::Other { role, wanted, process, instead } => {
                write!(f, "this is {role}")?;
                if let Some(Process { pid, .. }) = process {
                    write!(f, " of the QEMU with the pid {pid}")?;
                }
                write!(f, ", not {wanted}; ")?;
                match (role, wanted, instead) {
                    (_, _, Some(address)) => write!(f, "the same QEMU has one at {address}"),
                    (Role::GuestAgent, _, _) => f.write_str("`qmp agent` talks to it"),
                    (_, Role::GuestAgent, _) => f.write_str(
                        "the guest needs a virtserialport with the name org.qemu.guest_agent.0",
                    ),
                    _ => f.write_str("open one with `-qmp unix:PATH,server=on,wait=off`"),
                }
            }
            Self::OtherProgram(Process { pid, command }) => {
                write!(f, "the socket belongs to {command} (pid {pid}), which is not a QEMU")
            }
            Self::Agent(Process { pid, command }) => write!(
                f,
                "this is the guest agent {command} (pid {pid}), not a QMP monitor; `qmp agent` talks \
                 to it"
            ),
            Self::Hangs(Process { pid, command }) => write!(
                f,
                "no client holds the monitor, but {command} (pid {pid}) does not answer: it may be \
                 starting, or hang"
            ),
            Self::NoAgent(Process { pid, .. }) => write!(
                f,
                "no client holds the port of the QEMU with the pid {pid}, but no guest agent answers: \
                 it may not be installed, or the guest is not running"
            ),
        }
    }
}

impl std::error::Error for Diagnosis {}

/// Finds the reason why a server does not answer that was taken for one with the role `wanted`.
pub(crate) fn of(survey: &Survey, address: &Address, wanted: Role) -> Option<Diagnosis> {
    if matches!(address, Address::Tcp { host, .. } if !is_local(host)) {
        return None;
    }
    let host = survey.host();
    let usage = survey.usage(address);
    let found = machine::with_address(host, &survey.machines, address);
    let listener = found
        .and_then(|(machine, _)| machine.process.clone())
        .or_else(|| host.owners(&usage.listeners).into_iter().map(|(_, process)| process).next());
    if let Some((machine, endpoint)) = found.filter(|(_, endpoint)| endpoint.role != wanted) {
        return Some(Diagnosis::Other {
            role: endpoint.role,
            wanted,
            process: machine.process.clone(),
            instead: survey.address_of(machine, wanted).cloned(),
        });
    }
    if let Some(process) = listener.as_ref().filter(|process| is_silent_program(process)) {
        return Some(Diagnosis::OtherProgram(process.clone()));
    }
    let is_agent = |process: &&Process| wanted == Role::Qmp && process.command == GUEST_AGENT;
    if let Some(process) = listener.as_ref().filter(is_agent) {
        return Some(Diagnosis::Agent(process.clone()));
    }
    let is_stopped =
        |process: &&Process| host.status(process.pid).is_some_and(|status| status.is_stopped());
    if let Some(process) = listener.as_ref().filter(is_stopped) {
        return Some(Diagnosis::Stopped(process.clone()));
    }
    let holders = survey.holders(&usage.clients);
    if !holders.is_empty() {
        let advice = found.and_then(|(machine, _)| machine.manager?.advice(machine.title()));
        return Some(Diagnosis::Busy { holders, advice });
    }
    match wanted {
        Role::GuestAgent if found.is_some() => listener.map(Diagnosis::NoAgent),
        _ => listener.map(Diagnosis::Hangs),
    }
}

fn is_silent_program(process: &Process) -> bool {
    SILENT_PROGRAMS.iter().any(|name| process.command.starts_with(name))
}

/// Returns whether a server may still appear at an address that could not be connected to.
pub(crate) fn may_appear(survey: &Survey, address: &Address, error: ErrorKind) -> bool {
    let host = survey.host();
    match (address, error) {
        (_, ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::TimedOut) => true,
        (Address::Unix(path), ErrorKind::NotFound) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            directory.is_none_or(|directory| host.place(directory).is_dir())
        }
        // The socket exists. A QEMU that starts replaces it; one that has ended does not come back.
        (Address::Unix(path), ErrorKind::ConnectionRefused) => {
            is_socket(&host.place(path))
                && (!survey.is_complete()
                    || survey.usage(address).is_bound
                    || machine::with_address(host, &survey.machines, address).is_some())
        }
        (_, ErrorKind::ConnectionRefused) => true,
        _ => false,
    }
}

fn is_socket(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}
