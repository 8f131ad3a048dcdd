//! The QEMUs of a host.

use std::path::Path;

use qmp_client::Address;

use super::command_line::{CommandLine, Program, program};
use super::endpoint::{Endpoint, Place, Role};
use super::managers::{self, Directories, Managed, Manager};
use super::process::{Host, Process, Status};
use super::read_config;
use super::socket_table::SocketTable;

/// The most processes of which a machine is made.
const MOST_MACHINES: usize = 10_000;

/// A QEMU, or the monitor of one that cannot be seen itself.
#[derive(Debug)]
pub struct Machine {
    /// The machine's name.
    pub name: Option<String>,
    /// The manager's name or number of the machine, if it differs from the name.
    pub id: Option<String>,
    /// The machine's UUID, as the command line has it.
    pub uuid: Option<String>,
    /// The process; `None` if only a socket has been found.
    pub process: Option<Process>,
    pub(crate) status: Option<Status>,
    /// The user that the process belongs to.
    pub user: Option<u32>,
    /// The program.
    pub program: Program,
    /// The program that manages it.
    pub manager: Option<&'static Manager>,
    /// Its sockets, and its monitors that are not sockets.
    pub endpoints: Vec<Endpoint>,
}

impl Machine {
    /// Returns the names by which the machine can be addressed, the most important one first.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let pid = self.process.as_ref().map(|process| process.pid.to_string());
        let names = [self.name.clone(), self.id.clone(), self.uuid.clone(), pid];
        names.into_iter().flatten()
    }

    /// Returns the name to show: the machine's, the manager's, or the program's.
    #[must_use]
    pub fn title(&self) -> &str {
        let program = match self.program {
            Program::System => "(no name)",
            Program::StorageDaemon => "(storage daemon)",
        };
        self.name.as_deref().or(self.id.as_deref()).unwrap_or(program)
    }

    /// Returns the addresses of the sockets with a role that a program can connect to.
    pub fn reachable(&self, role: Role) -> impl Iterator<Item = &Address> {
        let endpoints = self.endpoints.iter().filter(move |endpoint| endpoint.role == role);
        endpoints.filter_map(Endpoint::reachable)
    }

    /// Returns the monitors.
    pub fn monitors(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|endpoint| endpoint.role.is_monitor())
    }
}

/// Finds the QEMUs of a host, in the order of their processes, and then the sockets of managers whose
/// QEMU has not been found.
pub(crate) fn find(host: &Host, directories: &Directories, table: &SocketTable) -> Vec<Machine> {
    let mut machines: Vec<_> = host
        .pids()
        .into_iter()
        .filter_map(|pid| of_process(host, pid, table))
        .take(MOST_MACHINES)
        .collect();
    for managed in managers::find(host, directories) {
        add(host, &mut machines, managed);
    }
    machines
}

fn of_process(host: &Host, pid: u32, table: &SocketTable) -> Option<Machine> {
    let arguments = host.arguments(pid);
    let (program, rest) = program(&arguments)?;
    let read = |path: &str| host.file_of(pid, path, read_config::LONGEST);
    let found = CommandLine::parse(program, rest, &read);
    let directory = host.directory(pid);
    let mut machine = Machine {
        name: found.name,
        id: found.id,
        uuid: found.uuid,
        process: host.process(pid).or_else(|| {
            let command = arguments.first()?.rsplit('/').next()?.to_owned();
            Some(Process { pid, command })
        }),
        status: host.status(pid),
        user: host.user(pid),
        program,
        manager: None,
        endpoints: found.endpoints,
    };
    for endpoint in &mut machine.endpoints {
        if let Place::Descriptor(descriptor) = endpoint.place {
            let number = host.socket_of(pid, descriptor);
            if let Some(name) = number.and_then(|number| table.name(number)) {
                endpoint.place = Place::Socket(address_of(name));
            }
        }
        endpoint.resolve(directory.as_deref());
        if let Place::Socket(Address::Unix(path)) = &mut endpoint.place {
            if endpoint.role.is_monitor() && machine.manager.is_none() {
                if let Some((manager, name)) = managers::of_path(path) {
                    machine.manager = Some(manager);
                    if machine.name.as_deref() != Some(&name) && machine.id.is_none() {
                        machine.id = Some(name);
                    }
                }
            }
            *path = host.reachable(pid, std::mem::take(path));
        }
    }
    Some(machine)
}

fn address_of(name: &str) -> Address {
    match name.strip_prefix('@') {
        Some(name) => Address::Abstract(name.to_owned()),
        None => Address::Unix(name.into()),
    }
}

/// Adds a manager's socket, unless its QEMU has been found.
fn add(host: &Host, machines: &mut Vec<Machine>, managed: Managed) {
    let Managed { manager, name, path, role } = managed;
    let is_same = |endpoint: &Endpoint| matches!(endpoint.address(), Some(Address::Unix(other)) if same_file(host, other, &path));
    if machines.iter().any(|machine| machine.endpoints.iter().any(is_same)) {
        return;
    }
    // A QEMU that was given its socket as a descriptor, by a process of another user.
    let is_hidden = |endpoint: &Endpoint| {
        endpoint.role == role && matches!(endpoint.place, Place::Descriptor(_))
    };
    for machine in machines.iter_mut().filter(|machine| machine.names().any(|it| it == name)) {
        if let Some(monitor) = machine.endpoints.iter_mut().find(|endpoint| is_hidden(endpoint)) {
            monitor.place = Place::Socket(Address::Unix(path));
            machine.manager = Some(manager);
            return;
        }
    }
    let place = Place::Socket(Address::Unix(path));
    machines.push(Machine {
        name: Some(name),
        id: None,
        uuid: None,
        process: None,
        status: None,
        user: None,
        program: Program::System,
        manager: Some(manager),
        endpoints: vec![Endpoint { role, place, listens: true, waits: false }],
    });
}

/// Returns whether two paths are those of the same file.
pub(crate) fn same_file(host: &Host, one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    if one == other {
        return true;
    }
    let (one, other) = (host.place(one).metadata(), host.place(other).metadata());
    matches!((one, other), (Ok(one), Ok(other)) if (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Returns the endpoint of any of the machines that has an address.
pub(crate) fn with_address<'a>(
    host: &Host,
    machines: &'a [Machine],
    address: &Address,
) -> Option<(&'a Machine, &'a Endpoint)> {
    let is_same = |endpoint: &&Endpoint| match (endpoint.address(), address) {
        (Some(Address::Unix(one)), Address::Unix(other)) => same_file(host, one, other),
        // A port is one of this host; which of its addresses was meant does not matter.
        (Some(Address::Tcp { port: one, .. }), Address::Tcp { port: other, host }) => {
            one == other && is_local(host)
        }
        (one, other) => one == Some(other),
    };
    machines.iter().find_map(|machine| Some((machine, machine.endpoints.iter().find(is_same)?)))
}

/// Returns whether the name of a host is one of this host's.
pub(crate) fn is_local(host: &str) -> bool {
    let is_loopback = |ip: std::net::IpAddr| ip.is_loopback() || ip.is_unspecified();
    host.is_empty() || host == "localhost" || host.parse().is_ok_and(is_loopback)
}
