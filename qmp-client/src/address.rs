//! The address of a monitor, in QEMU's own spelling.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use qmp_protocol::Printable;

/// The address of a monitor.
///
/// It is parsed from the argument of QEMU's option `-qmp`; the options that follow the address there
/// are allowed and ignored: `unix:/run/vm.sock,server=on,wait=off`. A doubled comma is a comma of
/// the path. Paths convert as they are, without parsing: see [`ToAddress`].
///
/// | text | meaning |
/// | --- | --- |
/// | `unix:/run/vm.sock`, `/run/vm.sock` | a Unix socket |
/// | `unix:vm,abstract=on`, `unix:@vm` | a socket in Linux's abstract namespace |
/// | `tcp:localhost:4444`, `tcp:[::1]:4444`, `tcp::4444` | a TCP port |
///
/// Text without a prefix is a path.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket in the file system.
    Unix(PathBuf),
    /// A Unix socket in Linux's abstract namespace.
    Abstract(String),
    /// A TCP port. An empty host means the local one.
    Tcp {
        /// The name or the number of the host; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Text that cannot be parsed as an [`Address`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressError {
    text: String,
    reason: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::write(f, |f| {
            write!(f, "invalid address `{}`: {}", Printable(&self.text), self.reason)
        })
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
        None if host.contains(':') => return Err("an IPv6 address must be in brackets"),
        None => host,
    };
    let port = port.parse().map_err(|_| "the port must be a number up to 65535")?;
    Ok(Address::Tcp { host: host.to_owned(), port })
}

fn parse_path(text: &str) -> Result<Address, &'static str> {
    if text.is_empty() {
        return Err("the address is empty");
    }
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    if !text.contains('/') && rest.parse::<u16>().is_ok() && text.contains(':') {
        return Err("write `tcp:HOST:PORT` for a TCP port, or `./NAME` for a file of that name");
    }
    if matches!(scheme, "telnet" | "vsock" | "fd" | "udp" | "websocket" | "tn3270") {
        return Err("only `unix:PATH`, `tcp:HOST:PORT` and a path are supported");
    }
    Ok(Address::Unix(text.into()))
}

/// Splits at the first comma that is not doubled, and replaces doubled commas before it by single
/// ones.
fn split_options(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    while let Some((part, after)) = rest.split_once(',') {
        value.push_str(part);
        match after.strip_prefix(',') {
            Some(after) => {
                value.push(',');
                rest = after;
            }
            None => return (value, after),
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

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

/// Anything that names a monitor: text in QEMU's spelling, a path, or an [`Address`].
///
/// Text is parsed, and a path is taken as it is, whatever it contains.
pub trait ToAddress {
    /// Converts it to an address.
    ///
    /// # Errors
    /// The text is not an address.
    fn to_address(&self) -> Result<Address, AddressError>;
}

impl ToAddress for Address {
    fn to_address(&self) -> Result<Address, AddressError> {
        Ok(self.clone())
    }
}

impl ToAddress for str {
    fn to_address(&self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl ToAddress for String {
    fn to_address(&self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl ToAddress for Path {
    fn to_address(&self) -> Result<Address, AddressError> {
        Ok(self.into())
    }
}

impl ToAddress for PathBuf {
    fn to_address(&self) -> Result<Address, AddressError> {
        Ok(self.as_path().into())
    }
}

impl<A: ToAddress + ?Sized> ToAddress for &A {
    fn to_address(&self) -> Result<Address, AddressError> {
        (**self).to_address()
    }
}
