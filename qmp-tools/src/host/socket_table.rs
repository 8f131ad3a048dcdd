//! The sockets of a host: who listens where, and who is connected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use qmp_client::Address;

use super::process::{Host, read_text};
use super::socket_diag::{self, Detail};

/// The longest table that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// The flag of a listening Unix socket.
const ACCEPTS: u64 = 1 << 16;

/// All sockets of a host that can be seen.
#[derive(Debug, Default)]
pub(crate) struct SocketTable {
    unix: Vec<UnixSocket>,
    tcp: Vec<TcpSocket>,
    /// Whether the tables could be read, so that a socket that is missing does not exist.
    pub(crate) is_known: bool,
}

#[derive(Debug)]
struct UnixSocket {
    number: u64,
    /// The path, or the abstract name after `@`.
    name: String,
    listens: bool,
    /// Whether a client is connected: accepted or, with the number 0, waiting for that.
    is_connected: bool,
    detail: Detail,
}

#[derive(Debug)]
struct TcpSocket {
    number: u64,
    local: SocketAddr,
    remote: SocketAddr,
    listens: bool,
    is_connected: bool,
}

/// The use of an address.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Usage {
    /// The numbers of the sockets that listen there.
    pub(crate) listeners: Vec<u64>,
    /// Whether a socket has the address, and listens or not.
    pub(crate) is_bound: bool,
    /// The clients that the server has accepted.
    pub(crate) clients: Vec<Peer>,
    /// The number of clients that wait for being accepted.
    pub(crate) waiting: usize,
}

/// The other end of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    /// A socket of this host.
    Socket(u64),
    /// A socket of another host.
    Remote(SocketAddr),
    /// The system does not tell.
    Unknown,
}

impl SocketTable {
    /// Reads the tables of a host, or those that a process of it sees, in its network namespace.
    pub(crate) fn read(host: &Host, pid: Option<u32>) -> Self {
        let place = |table: &str| match pid {
            Some(pid) => host.of(pid, "net").join(table),
            None => host.place(Path::new("/proc/net")).join(table),
        };
        let text = |table: &str| read_text(&place(table), LONGEST);
        let unix = text("unix");
        let is_known = unix.is_some();
        let mut unix: Vec<_> =
            unix.iter().flat_map(|text| text.lines()).filter_map(unix_socket).collect();
        if host.is_this() && pid.is_none() && !unix.is_empty() {
            let details = socket_diag::unix_sockets().unwrap_or_default();
            for socket in &mut unix {
                socket.detail = details.get(&socket.number).copied().unwrap_or_default();
            }
        }
        let tables = [text("tcp"), text("tcp6")];
        let tcp = tables.iter().flatten().flat_map(|text| text.lines()).filter_map(tcp_socket);
        Self { unix, tcp: tcp.collect(), is_known }
    }

    /// Returns the use of an address.
    pub(crate) fn usage(&self, host: &Host, address: &Address) -> Usage {
        match address {
            Address::Unix(path) => self.unix_usage(|socket| socket.is_at(host, path)),
            Address::Abstract(name) => {
                self.unix_usage(|socket| socket.name.strip_prefix('@') == Some(name))
            }
            Address::Tcp { port, .. } => self.tcp_usage(*port),
            _ => Usage::default(),
        }
    }

    /// Returns the use of a socket that is connected.
    pub(crate) fn usage_of(&self, number: u64) -> Usage {
        let mut usage = Usage::default();
        let socket = self.unix.iter().find(|socket| socket.number == number);
        if let Some(socket) = socket.filter(|socket| socket.is_connected) {
            usage.clients.push(socket.detail.peer.map_or(Peer::Unknown, Peer::Socket));
        }
        usage
    }

    /// Returns the path or the abstract name of a socket.
    pub(crate) fn name(&self, number: u64) -> Option<&str> {
        let socket = self.unix.iter().find(|socket| socket.number == number)?;
        Some(&socket.name).filter(|name| !name.is_empty()).map(String::as_str)
    }

    fn unix_usage(&self, is_there: impl Fn(&UnixSocket) -> bool) -> Usage {
        let mut usage = Usage::default();
        for socket in self.unix.iter().filter(|socket| !socket.name.is_empty() && is_there(socket))
        {
            usage.is_bound = true;
            if socket.listens {
                usage.listeners.push(socket.number);
            } else if socket.number == 0 {
                usage.waiting += 1;
            } else if socket.is_connected {
                usage.clients.push(socket.detail.peer.map_or(Peer::Unknown, Peer::Socket));
            }
        }
        usage
    }

    fn tcp_usage(&self, port: u16) -> Usage {
        let mut usage = Usage::default();
        let at_port = |socket: &&TcpSocket| socket.local.port() == port;
        let mut accepted: Vec<&TcpSocket> = Vec::new();
        for socket in self.tcp.iter().filter(at_port) {
            if socket.listens {
                usage.is_bound = true;
                usage.listeners.push(socket.number);
            } else if socket.is_connected && socket.number == 0 {
                usage.waiting += 1;
            } else if socket.is_connected {
                accepted.push(socket);
            }
        }
        if usage.listeners.is_empty() && accepted.is_empty() {
            return Usage::default();
        }
        for socket in accepted {
            let is_peer = |other: &&TcpSocket| {
                plain(other.local) == plain(socket.remote)
                    && plain(other.remote) == plain(socket.local)
            };
            usage.clients.push(match self.tcp.iter().find(is_peer) {
                Some(peer) if peer.number != 0 => Peer::Socket(peer.number),
                _ => Peer::Remote(plain(socket.remote)),
            });
        }
        usage
    }
}

impl UnixSocket {
    fn is_at(&self, host: &Host, path: &Path) -> bool {
        if Path::new(&self.name) == path {
            return true;
        }
        let place = host.place(path);
        if self.detail.file.is_some_and(|file| file.is(&place)) {
            return true;
        }
        // The same file by another path, such as through a symbolic link. In an overlay, the kernel
        // tells the file of a lower layer.
        let name = Path::new(&self.name);
        name.is_absolute() && name.file_name() == path.file_name() && {
            let (name, place) = (host.place(name).canonicalize(), place.canonicalize());
            matches!((name, place), (Ok(name), Ok(place)) if name == place)
        }
    }
}

/// Reads a line: address, references, protocol, flags, type, state, number, name.
fn unix_socket(line: &str) -> Option<UnixSocket> {
    let (mut fields, mut rest) = ([""; 7], line);
    for field in &mut fields {
        let text = rest.trim_start_matches(' ');
        (*field, rest) = text.split_once(' ').unwrap_or((text, ""));
    }
    let [_, _, _, flags, kind, state, number] = fields;
    if kind != "0001" {
        return None;
    }
    Some(UnixSocket {
        number: number.parse().ok()?,
        name: rest.to_owned(),
        listens: u64::from_str_radix(flags, 16).ok()? & ACCEPTS != 0,
        is_connected: matches!(state, "02" | "03"),
        detail: Detail::default(),
    })
}

/// Reads a line: index, local and remote address, state, and the number as the tenth field.
fn tcp_socket(line: &str) -> Option<TcpSocket> {
    let fields: Vec<&str> = line.split_whitespace().take(10).collect();
    let [_, local, remote, state, .., number] = fields[..] else { return None };
    Some(TcpSocket {
        number: number.parse().ok()?,
        local: socket_address(local)?,
        remote: socket_address(remote)?,
        listens: state == "0A",
        is_connected: state == "01",
    })
}

/// Reads an address as the kernel prints it: words in hexadecimal, in the host's byte order.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address: IpAddr = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

/// Returns an IPv4 address that is written as an IPv6 address as what it is.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(unix: &str, tcp: &str) -> SocketTable {
        SocketTable {
            unix: unix.lines().filter_map(unix_socket).collect(),
            tcp: tcp.lines().filter_map(tcp_socket).collect(),
            is_known: true,
        }
    }

    #[test]
    fn a_held_monitor_is_told_from_a_free_one() {
        let table = table(
            "Num       RefCount Protocol Flags    Type St Inode Path\n\
             0000000000000000: 00000002 00000000 00010000 0001 01 281 /run/a b.sock\n\
             0000000000000000: 00000003 00000000 00000000 0001 03 284 /run/a b.sock\n\
             0000000000000000: 00000003 00000000 00000000 0001 02     0 /run/a b.sock\n\
             0000000000000000: 00000002 00000000 00010000 0001 01 285 @vm\n\
             0000000000000000: 00000002 00000000 00000000 0001 01 286 /run/bound\n\
             0000000000000000: 00000002 00000000 00010000 0002 01 287 /run/datagram\n",
            "",
        );
        let host = Host::below("/nowhere");
        let usage = |text: &str| text.parse().ok().map(|address| table.usage(&host, &address));
        let held = Usage {
            listeners: vec![281],
            is_bound: true,
            clients: vec![Peer::Unknown],
            waiting: 1,
        };
        assert_eq!(usage("/run/a b.sock"), Some(held));
        let free = Usage { listeners: vec![285], is_bound: true, ..Usage::default() };
        assert_eq!(usage("unix:@vm"), Some(free));
        let bound = Usage { is_bound: true, ..Usage::default() };
        assert_eq!(usage("/run/bound"), Some(bound));
        assert_eq!(usage("/run/datagram"), Some(Usage::default()));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_client_of_a_tcp_port_is_found() {
        let table = table(
            "",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n\
             0: 0100007F:115C 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 10 1 0\n\
             1: 0100007F:115C 0100007F:C000 01 00000000:00000000 00:00000000 00000000 0 0 11 1 0\n\
             2: 0100007F:C000 0100007F:115C 01 00000000:00000000 00:00000000 00000000 0 0 12 1 0\n\
             3: 0100007F:115C 0202000A:C001 01 00000000:00000000 00:00000000 00000000 0 0 13 1 0\n\
             4: 0100007F:115C 0100007F:C002 01 00000000:00000000 00:00000000 00000000 0 0 0 1 0\n\
             5: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 14 1 0\n",
        );
        let address = "tcp:localhost:4444".parse().ok();
        let usage = address.map(|address| table.usage(&Host::below("/nowhere"), &address));
        let remote = "10.0.2.2:49153".parse().ok().map(Peer::Remote);
        let clients = [Some(Peer::Socket(12)), remote].into_iter().flatten().collect();
        let expected = Usage { listeners: vec![10], is_bound: true, clients, waiting: 1 };
        assert_eq!(usage, Some(expected));
        assert_eq!(table.tcp_usage(80).listeners, [14]);
    }
}
