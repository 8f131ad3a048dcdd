//! The sockets of a QEMU, and what each is for.

use std::fmt;
use std::path::Path;

use qmp_client::Address;

/// The purpose of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// A QMP monitor.
    Qmp,
    /// A human monitor.
    Human,
    /// A guest agent's port.
    GuestAgent,
    /// Another port of the guest, such as a clipboard.
    Channel,
    /// A serial or parallel port of the guest.
    Serial,
    /// A debugger's stub.
    Gdb,
    /// VNC.
    Vnc,
    /// SPICE.
    Spice,
    /// A device that another process emulates, or an export to one.
    VhostUser,
    /// NBD exports.
    Nbd,
    /// QEMU's own protocol for tests.
    Qtest,
    /// An incoming migration.
    Migration,
    /// A chardev without a known use.
    Unused,
}

impl Role {
    /// Returns whether it is a monitor, for programs or for people.
    #[must_use]
    pub fn is_monitor(self) -> bool {
        matches!(self, Self::Qmp | Self::Human)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qmp => "a QMP monitor",
            Self::Human => "a human monitor",
            Self::GuestAgent => "the port of a guest agent",
            Self::Channel => "a port of the guest",
            Self::Serial => "a serial console",
            Self::Gdb => "a debugger's stub",
            Self::Vnc => "a VNC server",
            Self::Spice => "a SPICE server",
            Self::VhostUser => "a vhost-user socket",
            Self::Nbd => "an NBD server",
            Self::Qtest => "a qtest socket",
            Self::Migration => "the socket of an incoming migration",
            Self::Unused => "a socket without a known use",
        })
    }
}

/// The place of a chardev.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A socket.
    Socket(Address),
    /// A socket that QEMU was given as an open file descriptor of this number.
    Descriptor(u32),
    /// Anything else, as QEMU's command line names it, such as `stdio`.
    Other(String),
}

/// One socket, or another way to a monitor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// Its purpose.
    pub role: Role,
    /// Its place.
    pub place: Place,
    /// Whether QEMU listens there. Otherwise QEMU connects.
    pub listens: bool,
    /// Whether QEMU does not start before the first client has connected.
    pub waits: bool,
}

impl Endpoint {
    /// Returns the address of a socket.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match &self.place {
            Place::Socket(address) => Some(address),
            Place::Descriptor(_) | Place::Other(_) => None,
        }
    }

    /// Returns the address if a program can connect to it: QEMU listens there, and its path is known.
    #[must_use]
    pub fn reachable(&self) -> Option<&Address> {
        let is_known = |address: &&Address| match address {
            // Relative to a directory that could not be read.
            Address::Unix(path) => path.is_absolute(),
            _ => true,
        };
        self.address().filter(|_| self.listens).filter(is_known)
    }

    /// Makes a relative path absolute.
    pub(crate) fn resolve(&mut self, directory: Option<&Path>) {
        if let (Place::Socket(Address::Unix(path)), Some(directory)) = (&mut self.place, directory)
        {
            if path.is_relative() {
                *path = directory.join(&*path);
            }
        }
    }
}

/// Displays the place: an address, or the chardev's name.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Socket(address) => address.fmt(f),
            Place::Descriptor(number) => write!(f, "fd:{number}"),
            Place::Other(name) => f.write_str(name),
        }
    }
}
