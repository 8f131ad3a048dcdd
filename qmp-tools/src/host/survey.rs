//! The QEMUs of a host with the use of their monitors.

use std::fmt;
use std::net::SocketAddr;

use qmp_client::Address;

use super::endpoint::{Endpoint, Place, Role};
use super::machine::{self, Machine};
use super::managers::Directories;
use super::process::{Host, Process};
use super::socket_table::{Peer, SocketTable, Usage};

/// The number of threads of a QEMU that waits for the first client of a monitor: the main loop, and
/// the one that frees memory.
const THREADS_OF_WAITING: u32 = 2;

/// A client that holds a monitor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holder {
    /// A process of this host.
    Process(Process),
    /// A client on another host.
    Remote(SocketAddr),
    /// A client that the system does not tell, such as one of another user.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(Process { pid, command }) => write!(f, "{command} (pid {pid})"),
            Self::Remote(address) => address.fmt(f),
            Self::Unknown => f.write_str(UNKNOWN),
        }
    }
}

const UNKNOWN: &str = "another client";

/// Joins the names of clients. One that is connected twice is named once, and those that are not known are
/// counted.
pub(super) fn join<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let (mut shown, mut unknown) = (Vec::new(), 0);
    for name in names {
        if name == UNKNOWN {
            unknown += 1;
        } else if !shown.contains(&name) {
            shown.push(name);
        }
    }
    let rest = format!("{unknown} other clients");
    match unknown {
        0 => {}
        1 => shown.push(UNKNOWN),
        _ => shown.push(&rest),
    }
    shown.join(", ")
}

/// The use of a monitor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Use {
    /// No client is connected.
    Free,
    /// These clients are connected.
    Held(Vec<Holder>),
    /// QEMU does not start before a client has connected.
    AwaitsFirst,
    /// QEMU connects to a program that listens.
    Connects,
    /// No process listens.
    Closed,
    /// Not a socket, so that no program can connect.
    NotSocket,
    /// The system does not tell.
    Unknown,
}

/// The QEMUs of a host.
#[derive(Debug)]
pub struct Survey {
    host: Host,
    table: SocketTable,
    /// The QEMUs.
    pub machines: Vec<Machine>,
}

impl Survey {
    /// Finds the QEMUs of a host, and the sockets that managers of the user have.
    #[must_use]
    pub fn of(host: &Host, directories: &Directories) -> Self {
        let table = SocketTable::read(host, None);
        let machines = machine::find(host, directories, &table);
        Self { host: host.clone(), table, machines }
    }

    /// Returns the host.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Returns whether the system tells which sockets exist.
    pub(crate) fn is_complete(&self) -> bool {
        self.table.is_known
    }

    /// Returns the use of an address, as the system tells it.
    pub(crate) fn usage(&self, address: &Address) -> Usage {
        self.table.usage(&self.host, address)
    }

    /// Returns the address of a machine's first socket with a role that a program can connect to, of
    /// those that no client holds if there is such a one.
    pub(crate) fn address_of<'m>(&self, machine: &'m Machine, role: Role) -> Option<&'m Address> {
        let mut reachable = machine.reachable(role).peekable();
        let first = reachable.peek().copied();
        reachable.find(|address| self.usage(address).clients.is_empty()).or(first)
    }

    /// Returns the use of each monitor of each machine.
    #[must_use]
    pub fn uses(&self) -> Vec<Vec<Use>> {
        let usages: Vec<Vec<Option<Usage>>> =
            self.machines.iter().map(|m| self.usages(m)).collect();
        let sockets = usages.iter().flatten().flatten().flat_map(|usage| sockets(&usage.clients));
        let owners = self.host.owners(&sockets.collect::<Vec<_>>());
        let pairs = self.machines.iter().zip(usages);
        pairs
            .map(|(machine, usages)| {
                let monitors = machine.monitors().zip(usages);
                monitors.map(|(monitor, usage)| use_of(machine, monitor, usage, &owners)).collect()
            })
            .collect()
    }

    fn usages(&self, machine: &Machine) -> Vec<Option<Usage>> {
        // A QEMU in a container has sockets of its own.
        let mut own = None;
        let usage = |monitor: &Endpoint| {
            if let Place::Descriptor(descriptor) = monitor.place {
                let number = self.host.socket_of(machine.process.as_ref()?.pid, descriptor)?;
                return Some(self.table.usage_of(number));
            }
            let address = monitor.address()?;
            if matches!(address, Address::Unix(path) if path.is_relative()) {
                return None;
            }
            let usage = self.usage(address);
            if !usage.listeners.is_empty() || !monitor.listens {
                return Some(usage);
            }
            let Some(process) = &machine.process else { return Some(usage) };
            let own = own.get_or_insert_with(|| self.namespace_of(process.pid));
            Some(own.as_ref().map_or(usage, |table| table.usage(&self.host, address)))
        };
        machine.monitors().map(usage).collect()
    }

    /// Returns the sockets that a process sees, if they are others than this program sees.
    fn namespace_of(&self, pid: u32) -> Option<SocketTable> {
        let namespace = |process: &str| {
            let proc = self.host.place(std::path::Path::new("/proc"));
            std::fs::read_link(proc.join(process).join("ns/net")).ok()
        };
        let is_other =
            namespace(&pid.to_string()).is_some_and(|one| Some(one) != namespace("self"));
        is_other.then(|| SocketTable::read(&self.host, Some(pid)))
    }

    /// Returns the clients at the other end of connections, apart from this program.
    pub(crate) fn holders(&self, clients: &[Peer]) -> Vec<Holder> {
        holders(clients, &self.host.owners(&sockets(clients).collect::<Vec<_>>()))
    }
}

fn sockets(clients: &[Peer]) -> impl Iterator<Item = u64> {
    clients.iter().filter_map(|client| match client {
        Peer::Socket(number) => Some(*number),
        Peer::Remote(_) | Peer::Unknown => None,
    })
}

/// Names the clients. A connection of this program does not count.
fn holders(clients: &[Peer], owners: &[(u64, Process)]) -> Vec<Holder> {
    let mut holders = Vec::new();
    for client in clients {
        match client {
            Peer::Remote(address) => holders.push(Holder::Remote(*address)),
            Peer::Unknown => holders.push(Holder::Unknown),
            Peer::Socket(number) => {
                let processes = owners.iter().filter(|(socket, _)| socket == number);
                let processes: Vec<_> = processes.map(|(_, process)| process.clone()).collect();
                if processes.is_empty() {
                    holders.push(Holder::Unknown);
                } else if processes.iter().all(|process| process.pid != std::process::id()) {
                    holders.extend(processes.into_iter().map(Holder::Process));
                }
            }
        }
    }
    holders
}

fn use_of(
    machine: &Machine,
    monitor: &Endpoint,
    usage: Option<Usage>,
    owners: &[(u64, Process)],
) -> Use {
    let Some(usage) = usage else {
        let is_other = matches!(monitor.place, Place::Other(_));
        return if is_other { Use::NotSocket } else { Use::Unknown };
    };
    let is_descriptor = matches!(monitor.place, Place::Descriptor(_));
    if !monitor.listens && !is_descriptor {
        return Use::Connects;
    }
    let holders = holders(&usage.clients, owners);
    if !holders.is_empty() {
        return Use::Held(holders);
    }
    if usage.listeners.is_empty() {
        // Sockets of another network namespace are not seen.
        return if machine.process.is_none() { Use::Closed } else { Use::Unknown };
    }
    let threads = machine.status.map(|status| status.threads);
    match threads {
        Some(threads) if threads > THREADS_OF_WAITING => Use::Free,
        _ if monitor.waits => Use::AwaitsFirst,
        _ => Use::Free,
    }
}
