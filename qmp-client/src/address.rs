//! The address of a monitor, in QEMU's own spelling.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use qmp_protocol::Printable;

/// The address of a monitor.
///
/// It is parsed from the argument of QEMU's option `-qmp` or `-chardev`, with or without the option
/// itself. The options that follow the address there are allowed and ignored:
/// `unix:/run/vm.sock,server=on,wait=off`. A doubled comma is a comma of the path. Paths convert as
/// they are, without parsing: see [`ToAddress`].
///
/// | text | meaning |
/// | --- | --- |
/// | `unix:/run/vm.sock`, `/run/vm.sock`, `socket,path=/run/vm.sock` | a Unix socket |
/// | `unix:vm,abstract=on`, `unix:@vm` | a socket in Linux's abstract namespace |
/// | `tcp:localhost:4444`, `localhost:4444`, `[::1]:4444`, `:4444` | a TCP port |
/// | `telnet:localhost:4444`, `socket,host=localhost,port=4444,telnet=on` | a TCP port, with telnet's options before the greeting |
///
/// Text without a prefix is a path, unless it ends with a colon and a port and has no slash.
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
#[derive(Clone, Eq, PartialEq)]
pub struct AddressError {
    text: String,
    reason: &'static str,
}

impl fmt::Debug for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "AddressError", self, format_args!(""))
    }
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
        let argument = without_option(text);
        let parsed = if let Some(rest) = argument.strip_prefix("unix:") {
            parse_unix(rest)
        } else if let Some(rest) =
            argument.strip_prefix("tcp:").or_else(|| argument.strip_prefix("telnet:"))
        {
            parse_tcp(rest)
        } else if let Some(rest) =
            argument.strip_prefix("socket,").or_else(|| argument.strip_prefix("backend=socket,"))
        {
            parse_chardev(rest)
        } else {
            parse_path(argument)
        };
        parsed.map_err(|reason| AddressError { text: text.to_owned(), reason })
    }
}

/// Removes the name of one of QEMU's options that was pasted with its argument.
fn without_option(text: &str) -> &str {
    let Some(rest) = text.strip_prefix('-') else { return text };
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let (option, argument) = rest.split_once([' ', '=']).unwrap_or((rest, ""));
    match option {
        "qmp" | "qmp-pretty" | "monitor" | "chardev" => argument.trim_ascii_start(),
        _ => text,
    }
}

fn parse_unix(text: &str) -> Result<Address, &'static str> {
    let (name, options) = split_options(text);
    check_options(options)?;
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
    let (endpoint, options) = split_options(text);
    check_options(options)?;
    let Some((host, port)) = endpoint.rsplit_once(':') else {
        return Err(match endpoint.parse::<u16>() {
            Ok(_) => "the host is missing: write `tcp:localhost:PORT` for a port of this host",
            Err(_) => "the port is missing",
        });
    };
    tcp(host, port)
}

fn tcp(host: &str, port: &str) -> Result<Address, &'static str> {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(host) => host,
        None if host.contains(':') => return Err("an IPv6 address must be in brackets"),
        None => host,
    };
    let port = port.parse().map_err(|_| "the port must be a number up to 65535")?;
    Ok(Address::Tcp { host: host.to_owned(), port })
}

/// Parses the options of a chardev, such as `id=mon,path=/run/vm.sock,server=on`.
fn parse_chardev(text: &str) -> Result<Address, &'static str> {
    let (mut path, mut host, mut port, mut is_abstract) = (None, None, None, false);
    let mut rest = text;
    while !rest.is_empty() {
        let (option, after) = split_options(rest);
        rest = after;
        match option.split_once('=') {
            Some(("path", value)) => path = Some(value.to_owned()),
            Some(("host", value)) => host = Some(value.to_owned()),
            Some(("port", value)) => port = Some(value.to_owned()),
            Some(("abstract", value)) => is_abstract = matches!(value, "on" | "yes"),
            _ => check_options(&option)?,
        }
    }
    match (path, port) {
        (Some(path), _) if path.is_empty() => Err("the path is missing"),
        (Some(name), _) if is_abstract => Ok(Address::Abstract(name)),
        (Some(path), _) => Ok(Address::Unix(path.into())),
        (None, Some(port)) => {
            let host = host.unwrap_or_default();
            let is_bare = host.contains(':') && !host.starts_with('[');
            tcp(&if is_bare { format!("[{host}]") } else { host }, &port)
        }
        (None, None) => Err("neither `path` nor `port` is given"),
    }
}

/// Refuses the options that make something else of a socket.
fn check_options(options: &str) -> Result<(), &'static str> {
    for option in options.split(',') {
        match option.split_once('=').unwrap_or((option, "on")) {
            ("websocket", "on" | "yes") => return Err("websockets are not supported"),
            ("tn3270", "on" | "yes") => return Err("a TN3270 terminal is not a monitor"),
            ("tls-creds", _) => return Err("TLS is not supported"),
            ("fd", _) => return Err(DESCRIPTOR),
            _ => {}
        }
    }
    Ok(())
}

const DESCRIPTOR: &str = "a file descriptor of QEMU's cannot be opened by another program; use the \
                          path of the socket, which `qmp ls` shows";

fn parse_path(text: &str) -> Result<Address, &'static str> {
    if text.is_empty() {
        return Err("the address is empty");
    }
    let (scheme, _) = text.split_once(':').unwrap_or(("", text));
    match scheme {
        "fd" => return Err(DESCRIPTOR),
        "vsock" | "udp" | "websocket" | "ws" | "wss" | "tn3270" | "vc" | "pipe" | "file"
        | "http" | "https" | "spice" | "vnc" | "ssh" | "nbd" => {
            return Err("only `unix:PATH`, `tcp:HOST:PORT`, `telnet:HOST:PORT` and a path are \
                        supported");
        }
        "chardev" => return Err(CHARDEV),
        _ => {}
    }
    if text.starts_with("chardev=")
        || text.split(',').skip(1).any(|option| option.starts_with("mode=control"))
    {
        return Err(CHARDEV);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !text.contains('/') && port.parse::<u16>().is_ok() => tcp(host, port),
        _ => Ok(Address::Unix(text.into())),
    }
}

const CHARDEV: &str = "the name of a chardev is not an address; use the `path`, or `host` and \
                       `port`, of QEMU's option `-chardev`";

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

/// Doubles each comma, so that it does not end the text.
fn with_doubled_commas(text: &str) -> String {
    let mut parts = text.split(',');
    let mut doubled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        doubled.push_str(",,");
        doubled.push_str(part);
    }
    doubled
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => {
                write!(f, "unix:{}", with_doubled_commas(&path.display().to_string()))
            }
            Self::Abstract(name) => write!(f, "unix:{},abstract=on", with_doubled_commas(name)),
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
    /// ```
    /// use std::path::Path;
    ///
    /// use qmp_client::ToAddress;
    ///
    /// let address = "tcp:127.0.0.1:4444".to_address()?;
    /// assert_eq!(address.to_string(), "tcp:127.0.0.1:4444");
    /// assert_eq!(Path::new("/run/vm.sock").to_address()?.to_string(), "unix:/run/vm.sock");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
