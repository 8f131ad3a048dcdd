//! Where a monitor listens, in QEMU's own spelling.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a monitor listens.
///
/// It is written as QEMU's option `-qmp` has it, and what stands behind the address there may
/// stay: `unix:/run/vm.sock,server=on,wait=off`. A doubled comma is one of the path.
///
/// | text | meaning |
/// | --- | --- |
/// | `unix:/run/vm.sock`, `/run/vm.sock` | a Unix socket |
/// | `unix:vm,abstract=on`, `unix:@vm` | a socket in Linux's abstract name space |
/// | `tcp:localhost:4444`, `tcp:[::1]:4444`, `tcp::4444` | a TCP port |
///
/// A text without a prefix is a path, as it stands.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket in the file system.
    Unix(PathBuf),
    /// A Unix socket in Linux's abstract name space.
    Abstract(String),
    /// A TCP port; an empty host is this one.
    Tcp {
        /// A name or a number; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressError {
    text: String,
    reason: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no address of a monitor: {}", self.text, self.reason)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parsed = if let Some(rest) = text.strip_prefix("unix:") {
            parse_unix(rest)
        } else if let Some(rest) = text.strip_prefix("tcp:") {
            parse_tcp(rest)
        } else {
            parse_path(text)
        };
        parsed.map_err(|reason| AddressError { text: text.to_owned(), reason })
    }
}

fn parse_unix(text: &str) -> Result<Address, &'static str> {
    let (name, options) = split_options(text);
    let on = |option: &str| matches!(option, "abstract" | "abstract=on" | "abstract=yes");
    match name.strip_prefix('@') {
        _ if name.is_empty() => Err("the path is missing"),
        Some("") => Err("the abstract name is missing"),
        Some(abstract_name) => Ok(Address::Abstract(abstract_name.to_owned())),
        None if options.split(',').any(on) => Ok(Address::Abstract(name)),
        None => Ok(Address::Unix(name.into())),
    }
}

fn parse_tcp(text: &str) -> Result<Address, &'static str> {
    let (endpoint, _) = split_options(text);
    let (host, port) = endpoint.rsplit_once(':').ok_or("the port is missing")?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(host) => host,
        None if host.contains(':') => return Err("an IPv6 address stands in brackets"),
        None => host,
    };
    let port = port.parse().map_err(|_| "the port is a number up to 65535")?;
    Ok(Address::Tcp { host: host.to_owned(), port })
}

fn parse_path(text: &str) -> Result<Address, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    if !text.contains('/') && rest.parse::<u16>().is_ok() && text.contains(':') {
        return Err("a TCP port is written `tcp:HOST:PORT`, a file of that name `./NAME`");
    }
    if matches!(scheme, "telnet" | "vsock" | "fd" | "udp" | "websocket" | "tn3270") {
        return Err("only `unix:PATH`, `tcp:HOST:PORT` and a bare path are understood");
    }
    Ok(Address::Unix(text.into()))
}

/// The part before the first comma that is not doubled, its doubled commas made single, and what
/// follows.
fn split_options(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    while let Some((part, behind)) = rest.split_once(',') {
        value.push_str(part);
        match behind.strip_prefix(',') {
            Some(behind) => {
                value.push(',');
                rest = behind;
            }
            None => return (value, behind),
        }
    }
    value.push_str(rest);
    (value, "")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => {
                write!(f, "unix:{}", path.display().to_string().replace(',', ",,"))
            }
            Self::Abstract(name) => write!(f, "unix:{},abstract=on", name.replace(',', ",,")),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn unix(path: &str) -> Address {
        Address::Unix(path.into())
    }

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port }
    }

    #[test]
    fn addresses_are_written_as_on_qemus_command_line() {
        for (text, address) in [
            ("unix:/run/vm.sock", unix("/run/vm.sock")),
            ("unix:/run/vm.sock,server=on,wait=off", unix("/run/vm.sock")),
            ("unix:/run/vm.sock,server,nowait", unix("/run/vm.sock")),
            ("unix:a,,b,server=on", unix("a,b")),
            ("unix:@vm", Address::Abstract("vm".into())),
            ("unix:vm,server=on,abstract=on", Address::Abstract("vm".into())),
            ("/run/vm.sock", unix("/run/vm.sock")),
            ("/run/a,b", unix("/run/a,b")),
            ("vm.sock", unix("vm.sock")),
            ("./host:4444", unix("./host:4444")),
            ("tcp:localhost:4444", tcp("localhost", 4444)),
            ("tcp:127.0.0.1:4444,server=on,wait=off", tcp("127.0.0.1", 4444)),
            ("tcp::4444", tcp("", 4444)),
            ("tcp:[::1]:4444", tcp("::1", 4444)),
        ] {
            let parsed: Address = text.parse().unwrap();
            assert_eq!(parsed, address, "{text}");
            assert_eq!(parsed.to_string().parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, reason) in [
            ("", "empty"),
            ("unix:", "path is missing"),
            ("unix:@", "abstract name"),
            ("tcp:localhost", "port is missing"),
            ("tcp:localhost:http", "number"),
            ("tcp:localhost:70000", "number"),
            ("tcp:::1:4444", "brackets"),
            ("localhost:4444", "tcp:HOST:PORT"),
            ("telnet:localhost:4444,server", "understood"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
