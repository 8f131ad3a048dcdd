//! Facts about Unix sockets that Linux tells beyond `/proc/net/unix`: the other end of a connection, and
//! the file that a socket is bound to. Any user may ask.

use std::collections::HashMap;
use std::path::Path;

/// Details of a socket, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Detail {
    /// The number of the socket at the other end.
    pub(crate) peer: Option<u64>,
    pub(crate) file: Option<BoundFile>,
}

/// The file that a socket is bound to.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))] // only Linux tells it
pub(crate) struct BoundFile {
    device: (u32, u32),
    inode: u32,
}

impl BoundFile {
    /// Returns whether it is the file at a path.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is(self, _: &Path) -> bool {
        false
    }

    /// Returns whether it is the file at a path.
    #[cfg(target_os = "linux")]
    pub(crate) fn is(self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = path.metadata() else { return false };
        let device = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
        // Linux tells the lower half of the inode's number.
        device == self.device && metadata.ino() & u64::from(u32::MAX) == u64::from(self.inode)
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unix_sockets() -> Option<HashMap<u64, Detail>> {
    None
}

#[cfg(target_os = "linux")]
pub(crate) use linux::unix_sockets;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
    };

    use super::{BoundFile, Detail, HashMap};

    /// The longest that the kernel is waited for.
    const PATIENCE: Duration = Duration::from_secs(1);

    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const REQUEST_AND_DUMP: u16 = 0x301;
    const DONE: u16 = 3;
    const ERROR: u16 = 2;
    const AF_UNIX: u8 = 1;
    /// Show the file and the peer.
    const SHOW: u32 = 2 | 4;
    const FILE: u16 = 1;
    const PEER: u16 = 2;
    /// The lengths of a message's header, and of the socket that follows it.
    const HEADER: usize = 16;
    const SOCKET: usize = 16;

    /// Returns the details of all Unix sockets in this network namespace, by the sockets' numbers.
    pub(crate) fn unix_sockets() -> Option<HashMap<u64, Detail>> {
        let netlink = ask().ok()?;
        let mut details = HashMap::new();
        let mut buffer = vec![0; 64 * 1024];
        let begin = Instant::now();
        loop {
            let (length, _) = recv(&netlink, &mut buffer[..], RecvFlags::empty()).ok()?;
            let mut rest = buffer.get(..length)?;
            while let Some(message) = take(&mut rest, 4) {
                match u16_at(message, 4)? {
                    DONE => return Some(details),
                    ERROR => return None,
                    SOCK_DIAG_BY_FAMILY => {
                        let (number, detail) = read(message)?;
                        details.insert(number, detail);
                    }
                    _ => {}
                }
            }
            if begin.elapsed() > PATIENCE {
                return None;
            }
        }
    }

    fn ask() -> rustix::io::Result<OwnedFd> {
        let (family, kind, cloexec) =
            (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC);
        let netlink = socket_with(family, kind, cloexec, Some(SOCK_DIAG))?;
        set_socket_timeout(&netlink, Timeout::Recv, Some(PATIENCE))?;
        let mut request = Vec::with_capacity(HEADER + 24);
        request.extend(40_u32.to_ne_bytes());
        request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request.extend(REQUEST_AND_DUMP.to_ne_bytes());
        // A sequence number, and the sender, which the kernel knows.
        request.extend([0; 8]);
        request.extend([AF_UNIX, 0, 0, 0]);
        // In every state, of every number.
        request.extend(u32::MAX.to_ne_bytes());
        request.extend(0_u32.to_ne_bytes());
        request.extend(SHOW.to_ne_bytes());
        request.extend([0; 8]);
        sendto(&netlink, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(netlink)
    }

    /// Takes a piece that begins with its own length, of `width` bytes, and is padded to four bytes.
    fn take<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
        let length = match width {
            2 => usize::from(u16_at(rest, 0)?),
            _ => usize::try_from(u32_at(rest, 0)?).ok()?,
        };
        let least = if width == 2 { 4 } else { HEADER };
        let piece = rest.get(..length).filter(|piece| piece.len() >= least)?;
        *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(piece)
    }

    fn read(message: &[u8]) -> Option<(u64, Detail)> {
        let number = u32_at(message, HEADER + 4)?;
        let mut detail = Detail::default();
        let mut rest = message.get(HEADER + SOCKET..)?;
        while let Some(attribute) = take(&mut rest, 2) {
            match u16_at(attribute, 2)? {
                PEER => detail.peer = u32_at(attribute, 4).map(u64::from).filter(|peer| *peer != 0),
                FILE => {
                    let (inode, device) = (u32_at(attribute, 4)?, u32_at(attribute, 8)?);
                    let device = (device >> 20, device & 0xF_FFFF);
                    detail.file = Some(BoundFile { device, inode });
                }
                _ => {}
            }
        }
        Some((number.into(), detail))
    }

    fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    }

    fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used)] // tests

        use super::*;

        /// The peer of a connection is what names the holder of a monitor.
        #[test]
        fn the_kernel_tells_the_peer_of_a_connection() {
            use std::os::fd::AsRawFd;
            let number = |socket: &std::os::unix::net::UnixStream| -> u64 {
                let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
                let link = std::fs::read_link(link).unwrap();
                let text = link.to_str().unwrap();
                text.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
            };
            let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
            let Some(details) = unix_sockets() else { return };
            assert_eq!(details[&number(&one)].peer, Some(number(&other)));
            assert_eq!(details[&number(&other)].peer, Some(number(&one)));
        }
    }
}
