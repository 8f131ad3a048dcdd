//! Stands between clients and a monitor, changes nothing, and records everything.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use qmp_client::Address;
use qmp_client::recording::{Direction, Recorder};
use qmp_server::{SocketFile, accept};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::Split;
use crate::sim;

/// The size of the pieces that are passed on, in bytes.
const PIECE: usize = 64 << 10;
/// The most descriptors that a client can send at once.
const MAX_DESCRIPTORS: usize = 253;

/// Either end of a relay.
#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A place where clients connect.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket, whose file is removed at the end.
    Unix(SocketFile),
    /// A TCP port.
    Tcp(TcpListener),
}

/// Accepts the clients of a [`Listener`].
#[derive(Debug)]
pub enum Acceptor {
    /// Those of a Unix socket.
    Unix(UnixListener),
    /// Those of a TCP port.
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    /// Returns the system's error with the address, or one for an address at which nothing can listen.
    pub fn bind(address: &sim::Address) -> io::Result<Self> {
        let failed = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"))
        };
        match address {
            sim::Address::Unix(path) => {
                SocketFile::bind(path, 0o600).map(Self::Unix).map_err(failed)
            }
            sim::Address::Tcp { host, port } => {
                // A monitor can do everything that QEMU can: other hosts must be asked for.
                let host = if host.is_empty() { "localhost" } else { host };
                TcpListener::bind((host, *port)).map(Self::Tcp).map_err(failed)
            }
            other => {
                let reason =
                    format!("cannot listen at {other}: expected unix:PATH or tcp:HOST:PORT");
                Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
            }
        }
    }

    /// Returns the address, with the port that the system has chosen.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Unix(file) => format!("unix:{}", file.path().display()),
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "tcp".to_owned(), |at| format!("tcp:{at}"))
            }
        }
    }

    /// Returns what accepts clients, for another thread.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn acceptor(&self) -> io::Result<Acceptor> {
        Ok(match self {
            Self::Unix(file) => Acceptor::Unix(file.listener().try_clone()?),
            Self::Tcp(listener) => Acceptor::Tcp(listener.try_clone()?),
        })
    }
}

impl Acceptor {
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener) => {
                accept(|| listener.accept()).map(|(stream, _)| Stream::Unix(stream))
            }
            Self::Tcp(listener) => {
                accept(|| listener.accept()).map(|(stream, _)| Stream::Tcp(stream))
            }
        }
    }
}

/// Passes on and records one client after the other, until the listener fails. Others wait, as with
/// a monitor of QEMU. `report` is called with the error of each client that could not be served.
///
/// # Errors
/// Returns the listener's error.
pub fn serve(
    listener: &Acceptor,
    upstream: &Address,
    recorder: &Recorder,
    monitor: &str,
    report: &dyn Fn(&io::Error),
) -> io::Result<()> {
    for number in 1_u64.. {
        let client = listener.accept()?;
        // The ids of another client are its own.
        let recorder = match number {
            1 => recorder.clone(),
            _ => recorder.monitor(format!("{monitor}-{number}")),
        };
        let served = connect(upstream).and_then(|upstream| relay(&client, &upstream, &recorder));
        served.unwrap_or_else(|error| report(&error));
    }
    Ok(())
}

fn connect(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        Address::Tcp { host, port } => {
            let host = if host.is_empty() { "localhost" } else { host };
            let stream = TcpStream::connect((host, *port))?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        #[cfg(target_os = "linux")]
        Address::Abstract(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            UnixStream::connect_addr(&address).map(Stream::Unix)
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Passes on everything between a client and a monitor, until one of them closes the connection.
fn relay(client: &Stream, monitor: &Stream, recorder: &Recorder) -> io::Result<()> {
    thread::scope(|scope| {
        let sent = thread::Builder::new().name("qmp-record".to_owned());
        let sent = sent.spawn_scoped(scope, || {
            let copied = copy(client, monitor, Direction::Sent, recorder);
            // What the monitor still replies is passed on.
            monitor.shutdown(Shutdown::Write);
            copied
        })?;
        let received = copy(monitor, client, Direction::Received, recorder);
        client.shutdown(Shutdown::Both);
        monitor.shutdown(Shutdown::Both);
        received.and(sent.join().unwrap_or(Ok(())))
    })
}

fn copy(from: &Stream, to: &Stream, direction: Direction, recorder: &Recorder) -> io::Result<()> {
    let (mut split, mut bytes) = (Split::default(), vec![0; PIECE]);
    // Descriptors belong to the first message that is complete after they arrived.
    let mut arrived = 0;
    loop {
        let (count, descriptors) = match receive(from.as_fd(), &mut bytes) {
            Err(Errno::INTR) => continue,
            Ok((0, _)) | Err(Errno::CONNRESET) => break,
            received => received?,
        };
        arrived += descriptors.len();
        // A message is recorded before it is passed on: the reply comes later.
        split.push(&bytes[..count], &mut |message| {
            recorder.message(direction, message, std::mem::take(&mut arrived));
        });
        match send(to.as_fd(), &bytes[..count], &descriptors) {
            Err(Errno::PIPE | Errno::CONNRESET) => break,
            sent => sent?,
        }
    }
    split.end(&mut |message| recorder.message(direction, message, arrived));
    Ok(())
}

fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    #[cfg(target_vendor = "apple")]
    let flags = RecvFlags::empty();
    #[cfg(not(target_vendor = "apple"))]
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((received.bytes, descriptors))
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    let flags = SendFlags::empty();
    #[cfg(not(target_vendor = "apple"))]
    let flags = SendFlags::NOSIGNAL;
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&borrowed));
    }
    let mut sent = 0;
    while sent < bytes.len() {
        match sendmsg(socket, &[IoSlice::new(&bytes[sent..])], &mut control, flags) {
            Err(Errno::INTR) => {}
            count => sent += count?,
        }
        if sent > 0 {
            control.clear();
        }
    }
    Ok(())
}

impl Stream {
    fn shutdown(&self, how: Shutdown) {
        // The peer may have closed it already.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn other_hosts_must_be_asked_for() {
        let listener = Listener::bind(&sim::Address::Tcp { host: String::new(), port: 0 }).unwrap();
        let address = listener.address();
        assert!(
            address.starts_with("tcp:127.0.0.1:") || address.starts_with("tcp:[::1]:"),
            "{address}"
        );
    }
}
