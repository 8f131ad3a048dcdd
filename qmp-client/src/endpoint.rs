//! The part of connecting to an address that all front ends share.

use std::io;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use crate::address::Address;
#[cfg(unix)]
use crate::socket::{connect, connect_abstract};

/// Connects to the Unix socket that an address names, without waiting. Returns `None` for a TCP
/// port.
#[cfg(unix)]
pub(crate) fn unix_stream(address: &Address) -> io::Result<Option<UnixStream>> {
    match address {
        Address::Unix(path) => connect(path).map(Some),
        Address::Abstract(name) => connect_abstract(name).map(Some),
        Address::Tcp { .. } => Ok(None),
    }
}

/// Returns the host and the TCP port that an address names.
///
/// # Errors
/// The address is that of a Unix socket.
pub(crate) fn host_and_port(address: &Address) -> io::Result<(&str, u16)> {
    match address {
        Address::Tcp { host, port } if host.is_empty() => Ok(("localhost", *port)),
        Address::Tcp { host, port } => Ok((host, *port)),
        Address::Unix(_) | Address::Abstract(_) => {
            let message = "Unix sockets are not supported on this system";
            Err(io::Error::new(io::ErrorKind::Unsupported, message))
        }
    }
}

/// Returns the error of a host whose name has no address.
pub(crate) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the host name has no address")
}
