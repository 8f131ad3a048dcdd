//! NICs and their back ends, and addresses.

use std::fs::File;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use qmp_types::QmpError;
use qmp_types::qmp::commands::{AnnounceSelf, NetdevAdd, NetdevDel, QueryRxFilter, SetLink};
use qmp_types::qmp::events::{NetdevStreamConnected, NetdevStreamDisconnected, NicRxFilterChanged};
use serde_json::{Map, Value, json};

use super::descriptor_set::{self, check_tap, is_socket};
use super::machine::{Device, Machine, Netdev};
use super::replies::{Arguments, Handle, Reply, done, is_identifier, not_found, os_error, refuse};
use crate::router::Router;

/// The time that connecting may take, during which the machine does nothing else.
const TIMEOUT: Duration = Duration::from_millis(500);

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<SetLink>(|machine, arguments, _| machine.set_link(arguments))
        .on::<NetdevAdd>(|machine, arguments, _| machine.add_netdev(arguments))
        .on::<NetdevDel>(|machine, arguments, _| machine.delete_netdev(arguments.required("id")))
        .on::<QueryRxFilter>(|machine, arguments, _| machine.rx_filters(arguments.text("name")))
        .on::<AnnounceSelf>(|_, _, _| done())
        .event::<NicRxFilterChanged>()
        .event::<NetdevStreamConnected>()
        .event::<NetdevStreamDisconnected>()
}

impl Machine {
    fn set_link(&mut self, arguments: &Arguments) -> Reply {
        let (name, up) = (arguments.required("name"), arguments.flag("up"));
        if let Some(netdev) = self.netdevs.iter_mut().find(|netdev| netdev.id == name) {
            netdev.link_up = up;
            return done();
        }
        let mut nics = self.devices.iter_mut().filter(|device| device.is_nic());
        let nic = nics.find(|device| device.network_name == name);
        nic.ok_or_else(|| not_found(name))?.link_up = up;
        done()
    }

    pub(super) fn add_netdev(&mut self, arguments: &Arguments) -> Reply {
        let (id, kind) = (arguments.required("id"), arguments.required("type"));
        if !is_identifier(id) {
            return refuse("Parameter 'id' expects an identifier");
        }
        if matches!(kind, "nic" | "none" | "netmap") {
            return refuse(format!("network backend '{kind}' is not compiled into this binary"));
        }
        if self.netdevs.iter().any(|netdev| netdev.id == id) {
            return refuse(format!("Duplicate ID '{id}'"));
        }
        self.check_room(self.netdevs.len(), 1, "network backends")?;
        self.check_netdev(kind, arguments)?;
        let mut options = arguments.0.clone();
        options.remove("id");
        options.remove("type");
        let (id, kind) = (id.to_owned(), kind.to_owned());
        self.netdevs.push(Netdev { id, kind, options, link_up: true });
        done()
    }

    /// Checks what the schema does not say of a back end's options.
    fn check_netdev(&mut self, kind: &str, arguments: &Arguments) -> Result<(), QmpError> {
        let text = |name: &str| arguments.text(name);
        match kind {
            "user" => check_user(arguments),
            "tap" => {
                let exclusive = ["fd", "fds"].iter().filter(|name| text(name).is_some()).count();
                if exclusive > 1 {
                    return refuse("queues=, helper=, fds= and fd= are mutual exclusive");
                }
                match text("fd").or(text("fds")) {
                    Some(names) => self.check_queues(names, arguments),
                    None => {
                        if let Some(name) = text("vhostfd") {
                            self.take_descriptor(name)?;
                        }
                        // The simulated machine may not create interfaces, nor start programs.
                        match text("script").unwrap_or("/etc/qemu-ifup") {
                            "no" => {
                                refuse("could not configure /dev/net/tun: Operation not permitted")
                            }
                            script => {
                                refuse(format!("network script {script} failed with status 256"))
                            }
                        }
                    }
                }
            }
            "bridge" => refuse("bridge helper failed"),
            "socket" => self.check_socket_netdev(arguments),
            "stream" => self.check_stream(arguments),
            "dgram" => self.check_datagrams(arguments),
            "hubport" => match text("netdev") {
                Some(netdev) if self.netdevs.iter().all(|known| known.id != netdev) => {
                    refuse(format!("netdev '{netdev}' not found"))
                }
                _ => Ok(()),
            },
            "vhost-user" => {
                let id = text("chardev").unwrap_or_default();
                let Some(chardev) = self.chardevs.iter().find(|chardev| chardev.id == id) else {
                    return refuse(format!("chardev \"{id}\" not found"));
                };
                match self.chardev_user(id) {
                    Some(_) => refuse("Device 'vhost-user' could not be initialized"),
                    None if chardev.kind != "socket" => {
                        refuse(format!("chardev \"{id}\" is not reconnectable"))
                    }
                    None => Ok(()),
                }
            }
            "vhost-vdpa" => match text("vhostdev") {
                None if text("vhostfd").is_none() => {
                    refuse("vhost-vdpa: neither vhostdev= nor vhostfd= was specified")
                }
                Some(path) => refuse(format!("Could not open '{path}': No such file or directory")),
                None => self.take_descriptor(arguments.required("vhostfd")).map(drop),
            },
            "l2tpv3" => refuse("could not resolve src, errno = Name or service not known"),
            "vde" => refuse("Could not open vde: No such file or directory"),
            "passt" => refuse(
                "Error creating daemon: Failed to execute child process “passt” (No such file or \
                 directory)",
            ),
            kind => refuse(format!("Parameter 'type' does not accept value '{kind}'")),
        }
    }

    /// Takes the descriptors of a TAP device's queues, and those of vhost.
    fn check_queues(&mut self, names: &str, arguments: &Arguments) -> Result<(), QmpError> {
        let mut take = |names: &str| -> Result<Vec<File>, QmpError> {
            names.split(':').map(|name| self.take_descriptor(name)).collect()
        };
        let queues = take(names)?;
        let vhost = arguments.text("vhostfd").or(arguments.text("vhostfds"));
        let vhost = vhost.map(take).transpose()?;
        if vhost.is_some_and(|vhost| vhost.len() != queues.len()) {
            return refuse("The number of fds passed does not match the number of vhostfds passed");
        }
        queues.iter().try_for_each(check_tap)
    }

    /// Takes the descriptor that has a name, or refuses what could only be a number.
    fn take_descriptor(&mut self, name: &str) -> Result<File, QmpError> {
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            return self.descriptors.take(name);
        }
        match name.parse::<u16>() {
            // The numbers are those of QEMU's process, and no client knows them.
            Ok(number) => refuse(format!(
                "Can't set file descriptor {number} non-blocking: Bad file descriptor: Bad file \
                 descriptor"
            )),
            Err(_) => refuse(format!("Invalid file descriptor number '{name}'")),
        }
    }

    fn check_socket_netdev(&mut self, arguments: &Arguments) -> Result<(), QmpError> {
        let modes = ["fd", "listen", "connect", "mcast", "udp"];
        let given: Vec<&str> =
            modes.into_iter().filter(|name| arguments.text(name).is_some()).collect();
        let [mode] = given.as_slice() else {
            return refuse("exactly one of listen=, connect=, mcast= or udp= is required");
        };
        let address = arguments.required(mode);
        if *mode == "fd" {
            return match is_socket(&self.take_descriptor(address)?) {
                true => Ok(()),
                false => refuse("can't get socket option SO_TYPE"),
            };
        }
        if *mode == "udp" && arguments.text("localaddr").is_none() {
            return refuse("localaddr= is mandatory with udp=");
        }
        match address.contains(':') {
            true => Ok(()),
            false => refuse(format!(
                "host address '{address}' doesn't contain ':' separating host from port"
            )),
        }
    }

    fn check_datagrams(&self, arguments: &Arguments) -> Result<(), QmpError> {
        let local = arguments.object("local");
        let remote = arguments.object("remote");
        let host = remote.and_then(|remote| remote.get("host")).and_then(Value::as_str);
        let is_multicast = host
            .and_then(|host| host.parse::<std::net::Ipv4Addr>().ok())
            .is_some_and(|host| host.is_multicast());
        match (local, remote) {
            (None, _) if !is_multicast => refuse::<()>("dgram requires local= parameter"),
            (Some(local), None) if local.get("type").is_none_or(|kind| kind != "fd") => {
                refuse("type=inet or type=unix requires remote parameter")
            }
            _ => Ok(()),
        }?;
        let path = local.and_then(|local| local.get("path")).and_then(Value::as_str);
        match path.map(|path| (path, self.check_new_file(path))) {
            Some((path, Err(error))) => {
                let (_, text) = error.desc.rsplit_once(": ").unwrap_or_default();
                refuse(format!("can't bind unix={path} to socket: {text}"))
            }
            _ => Ok(()),
        }
    }

    fn check_stream(&self, arguments: &Arguments) -> Result<(), QmpError> {
        let is_server = arguments.flag("server");
        for name in ["reconnect", "reconnect-ms"] {
            if is_server && arguments.get(name).is_some() {
                return refuse(format!(
                    "'{name}' option is incompatible with socket in server mode"
                ));
            }
        }
        // QEMU connects later, and does not report it.
        Ok(())
    }

    pub(super) fn delete_netdev(&mut self, id: &str) -> Reply {
        let at = self.netdevs.iter().position(|netdev| netdev.id == id);
        self.netdevs.remove(at.ok_or_else(|| not_found(id))?);
        done()
    }

    fn rx_filters(&self, name: Option<&str>) -> Reply {
        if let Some(netdev) = name.and_then(|name| self.netdevs.iter().find(|n| n.id == name)) {
            let id = &netdev.id;
            return refuse(format!("net client({id}) isn't a NIC"));
        }
        let nics = self.devices.iter().filter(|device| device.is_nic());
        let mut wanted = nics.filter(|device| name.is_none_or(|name| device.network_name == name));
        let Some(name) = name else {
            return Ok(wanted.filter(|nic| has_filter(nic)).map(rx_filter).collect());
        };
        match wanted.next() {
            None => refuse(format!("invalid net client name: {name}")),
            Some(nic) if !has_filter(nic) => {
                refuse(format!("net client({name}) doesn't support rx-filter querying"))
            }
            Some(nic) => Ok(json!([rx_filter(nic)])),
        }
    }
}

fn has_filter(nic: &Device) -> bool {
    nic.driver.starts_with("virtio-net")
}

fn check_user(arguments: &Arguments) -> Result<(), QmpError> {
    let is_address = |text: &str| text.parse::<std::net::Ipv4Addr>().is_ok();
    let network = arguments.text("net");
    if let Some(network) = network {
        let (address, mask) = network.split_once('/').unwrap_or((network, "24"));
        if !is_address(address) || (!is_address(mask) && mask.parse::<u8>().is_err()) {
            return refuse("Failed to parse netmask");
        }
    }
    let named = [("host", "host"), ("dhcpstart", "DHCP start address"), ("dns", "DNS")];
    for (name, what) in named {
        if arguments.text(name).is_some_and(|text| !is_address(text)) {
            return refuse(format!("Failed to parse {what}"));
        }
    }
    if arguments.text("hostname").is_some_and(|name| name.len() > 255) {
        return refuse("'vhostname' parameter cannot exceed 255 bytes");
    }
    if arguments.integer("ipv6-prefixlen").is_some_and(|bits| !(0..=126).contains(&bits)) {
        return refuse(
            "Invalid IPv6 prefix provided (IPv6 prefix length must be between 0 and 126)",
        );
    }
    for rule in arguments.list("hostfwd") {
        let rule = rule.get("str").and_then(Value::as_str).unwrap_or_default();
        if !rule.contains(':') {
            return refuse(format!("Invalid host forwarding rule '{rule}' (No : separators)"));
        }
    }
    Ok(())
}

fn rx_filter(device: &Device) -> Value {
    json!({
        "name": device.network_name,
        "promiscuous": true,
        "multicast": "normal",
        "unicast": "normal",
        "vlan": "all",
        "broadcast-allowed": true,
        "multicast-overflow": false,
        "unicast-overflow": false,
        "main-mac": device.string("mac").unwrap_or_default(),
        "vlan-table": (0..4096).rev().collect::<Vec<u16>>(),
        "unicast-table": [],
        "multicast-table": [],
    })
}

/// A stream to another process.
#[derive(Debug)]
pub(super) enum Connected {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
    /// A descriptor that a client has sent.
    Descriptor(File),
}

impl Connected {
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Descriptor(file) => file.write_all(bytes),
        }
    }
}

/// Connects to an address, to find out whether a process listens.
pub(super) fn connect(
    address: &Map<String, Value>,
    machine: &mut Machine,
) -> Result<Connected, QmpError> {
    let text = |name: &str| address.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "unix" => {
            let path = text("path");
            let failed = |error: std::io::Error| {
                refuse(format!("Failed to connect to '{path}': {}", os_error(&error)))
            };
            if !machine.files.sees_host() {
                return failed(std::io::Error::from_raw_os_error(2));
            }
            #[cfg(unix)]
            return std::os::unix::net::UnixStream::connect(path)
                .map(Connected::Unix)
                .or_else(failed);
            #[cfg(not(unix))]
            failed(std::io::ErrorKind::Unsupported.into())
        }
        "inet" => {
            let (host, port) = (text("host"), text("port"));
            let is_local = machine.files.sees_host()
                && (host == "localhost" || host.parse::<std::net::IpAddr>().is_ok());
            // Asking a name server could take longer than a client waits.
            let resolved = format!("{host}:{port}");
            let resolved = if is_local { resolved.to_socket_addrs().ok() } else { None };
            let Some(to) = resolved.and_then(|mut all| all.next()) else {
                return refuse(format!(
                    "address resolution failed for {host}:{port}: Name or service not known"
                ));
            };
            TcpStream::connect_timeout(&to, TIMEOUT).map(Connected::Tcp).or_else(|error| {
                refuse(format!("Failed to connect to '{host}:{port}': {}", os_error(&error)))
            })
        }
        "fd" => {
            let name = text("str");
            let descriptor = machine.descriptors.take(name)?;
            match is_socket(&descriptor) {
                true => Ok(Connected::Descriptor(descriptor)),
                false => refuse(format!("File descriptor '{name}' is not a socket")),
            }
        }
        _ => refuse("Failed to connect: No such device"),
    }
}

/// Checks that a process could listen on an address.
pub(super) fn check_listen(
    address: &Map<String, Value>,
    machine: &mut Machine,
) -> Result<(), QmpError> {
    let text = |name: &str| address.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "unix" => {
            let path = text("path");
            if path.len() > 107 {
                return refuse(format!("UNIX socket path '{path}' is too long"));
            }
            machine.files.check_parent(path).or_else(|error| match error.raw_os_error() {
                Some(20) => refuse(format!("Failed to unlink socket {path}: Not a directory")),
                _ => refuse(format!("Failed to bind socket to {path}: {}", os_error(&error))),
            })
        }
        "inet" => {
            let (host, port) = (text("host"), text("port"));
            match port.parse::<u16>() {
                Ok(_) => Ok(()),
                Err(_) => refuse(format!(
                    "address resolution failed for {host}:{port}: Servname not supported for \
                     ai_socktype"
                )),
            }
        }
        "fd" => {
            let name = text("str");
            let descriptor = machine.descriptors.take(name)?;
            if !is_socket(&descriptor) {
                return refuse(format!("File descriptor '{name}' is not a socket"));
            }
            descriptor_set::listen(&descriptor).or_else(|error| {
                refuse(format!("Failed to listen on fd socket: {}", os_error(&error)))
            })
        }
        _ => Ok(()),
    }
}

/// Returns an address as QEMU writes it.
pub(super) fn describe(address: &Map<String, Value>) -> String {
    let text = |name: &str| address.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "unix" => format!("unix:{}", text("path")),
        "inet" => format!("tcp:{}:{}", text("host"), text("port")),
        // Descriptors are mostly of such sockets.
        "fd" => "unix:".to_owned(),
        other => format!("{other}:{}", text("str")),
    }
}
