//! Servers of other protocols.

use std::fmt;

/// A protocol other than QMP, recognized by the first bytes of its server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Service {
    /// HTTP: a web server, or QEMU's VNC server for browsers.
    Http,
    /// NBD, the network block device: `qemu-nbd`, or an export of QEMU.
    Nbd,
    /// SSH.
    Ssh,
    /// A login prompt, as a guest's serial console prints it.
    SerialConsole,
    /// VNC, also called RFB.
    Vnc,
}

/// The first bytes of each protocol's server.
const BEGINNINGS: [(&str, Service); 4] = [
    ("HTTP/1.", Service::Http),
    ("NBDMAGIC", Service::Nbd),
    ("RFB 00", Service::Vnc),
    ("SSH-", Service::Ssh),
];

impl Service {
    /// Recognizes a server by what it has sent.
    pub(crate) fn recognize(text: &str) -> Option<Self> {
        let begins = BEGINNINGS.iter().find(|(beginning, _)| text.starts_with(beginning));
        let console = text.trim_ascii_end().ends_with(" login:");
        begins.map(|(_, service)| *service).or(console.then_some(Self::SerialConsole))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "an HTTP server",
            Self::Nbd => "an NBD server",
            Self::Ssh => "an SSH server",
            Self::SerialConsole => "a serial console",
            Self::Vnc => "a VNC server",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_recognized_by_their_first_bytes() {
        for (text, service) in [
            ("RFB 003.008", Some(Service::Vnc)),
            ("SSH-2.0-OpenSSH_9.6", Some(Service::Ssh)),
            ("HTTP/1.1 400 Bad Request", Some(Service::Http)),
            ("NBDMAGICIHAVEOPT\\u{0}\\u{3}", Some(Service::Nbd)),
            ("Debian GNU/Linux 13 vm ttyS0", None),
            ("vm login: ", Some(Service::SerialConsole)),
            ("{\"QMP\": {}}", None),
            ("", None),
        ] {
            assert_eq!(Service::recognize(text), service, "{text}");
        }
    }
}
