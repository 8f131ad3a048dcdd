//! The addresses of monitors, in QEMU's spelling.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The place of a monitor.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port. An empty host is any address.
    Tcp {
        /// The name or the address of the host.
        host: String,
        /// The port, which is 0 for any free one.
        port: u16,
    },
    /// A descriptor that the process has inherited.
    Descriptor(i32),
    /// Standard input and output.
    Stdio,
    /// No place: nothing is read or written.
    Null,
}

/// An address, and what to do there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// Whether to listen there. Otherwise to connect.
    pub server: bool,
    /// Whether to wait for a client before the machine starts.
    pub waits: bool,
}

impl Endpoint {
    /// Creates an endpoint from an address and its options, such as `server=on`.
    ///
    /// # Errors
    /// Returns QEMU's message for an option that does not exist or has an invalid value.
    pub fn new<'a>(
        address: Address,
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let (mut server, mut waits) = (false, None);
        for (name, value) in options {
            match name {
                "server" => server = switch(name, value)?,
                "wait" => waits = Some(switch(name, value)?),
                "telnet" | "delay" | "nodelay" | "ipv4" | "ipv6" | "tight" | "abstract" => {
                    switch(name, value)?;
                }
                "reconnect" | "reconnect-ms" | "to" | "logfile" | "logappend" => {}
                _ => return Err(format!("Invalid parameter '{name}'")),
            }
        }
        Ok(Self { address, server, waits: server && waits.unwrap_or(true) })
    }
}

/// Parses an address to listen at, such as `unix:/run/vm.sock`, `tcp:127.0.0.1:4444` or a path.
/// Options such as `server=on` are accepted, and change nothing.
impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, options) = split(text);
        let path = address.contains('/').then(|| Address::Unix(address.into()));
        let address = match (parse(address), path) {
            (Some(address), _) | (None, Some(address)) => address,
            (None, None) if address.starts_with("tcp:") => {
                return Err("expected tcp:HOST:PORT, with a port from 0 to 65535".to_owned());
            }
            (None, None) => {
                return Err("expected unix:PATH, tcp:HOST:PORT or a path with a slash".to_owned());
            }
        };
        let endpoint = Self::new(address, options)?;
        Ok(Self { server: true, waits: false, ..endpoint })
    }
}

/// Parses the argument of QEMU's `-qmp`. Returns `None` if it is not an address.
pub(super) fn parse(address: &str) -> Option<Address> {
    if let Some(path) = address.strip_prefix("unix:") {
        let path = path.strip_prefix("path=").unwrap_or(path);
        return (!path.is_empty()).then(|| Address::Unix(path.into()));
    }
    if let Some(place) = address.strip_prefix("tcp:") {
        let (host, port) = place.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        return Some(Address::Tcp { host: host.to_owned(), port: port.parse().ok()? });
    }
    match address {
        "stdio" => Some(Address::Stdio),
        "null" | "none" => Some(Address::Null),
        _ => None,
    }
}

/// Splits an address from its options. An option without value is a switch.
pub(super) fn split(text: &str) -> (&str, Vec<(&str, &str)>) {
    let mut parts = text.split(',');
    let address = parts.next().unwrap_or_default();
    let options = parts.filter(|part| !part.is_empty()).map(|part| {
        match (part.split_once('='), part.strip_prefix("no")) {
            (Some(pair), _) => pair,
            (None, Some(name)) if !name.is_empty() && name != "delay" => (name, "off"),
            (None, _) => (part, "on"),
        }
    });
    (address, options.collect())
}

/// Reads a switch.
fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" | "yes" | "true" | "y" => Ok(true),
        "off" | "no" | "false" | "n" => Ok(false),
        _ => Err(format!("Parameter '{name}' expects 'on' or 'off'")),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
            Self::Descriptor(number) => write!(f, "fd:{number}"),
            Self::Stdio => f.write_str("stdio"),
            Self::Null => f.write_str("null"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_qemus_spelling() {
        for (text, shown) in [
            ("unix:/run/vm.sock", "unix:/run/vm.sock"),
            ("unix:vm.sock,server=on,wait=off", "unix:vm.sock"),
            ("unix:path=/run/vm.sock,server,nowait", "unix:/run/vm.sock"),
            ("/run/vm.sock", "unix:/run/vm.sock"),
            ("tcp:localhost:4444", "tcp:localhost:4444"),
            ("tcp:[::1]:4444,server=on", "tcp:[::1]:4444"),
            ("tcp::0", "tcp::0"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.address.to_string(), shown, "{text}");
            assert!(endpoint.server && !endpoint.waits, "{text}");
        }
        for text in ["", "vm", "unix:", "tcp:4444", "tcp:host:port", "unix:x,nope=1"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_waits_unless_told_otherwise() {
        for (text, server, waits) in [
            ("unix:a", false, false),
            ("unix:a,server=on", true, true),
            ("unix:a,server", true, true),
            ("unix:a,server,nowait", true, false),
            ("unix:a,server=on,wait=off", true, false),
            ("unix:a,server=off,wait=on", false, false),
        ] {
            let (address, options) = split(text);
            let endpoint = Endpoint::new(parse(address).unwrap(), options).unwrap();
            assert_eq!((endpoint.server, endpoint.waits), (server, waits), "{text}");
        }
    }
}
