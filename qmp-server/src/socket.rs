//! Sockets: non-blocking reads and writes, descriptors, and listeners that the server creates.

use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, Shutdown,
    recvmsg, send, shutdown, sockopt,
};

use crate::client::Identity;
use crate::descriptors::Descriptor;

/// The maximum number of descriptors that can arrive with a message, as in QEMU. The system closes
/// any others.
const MAX_DESCRIPTORS: usize = 16;

/// The maximum number of bytes that are read and discarded at the end of a connection.
const MAX_DISCARDED: usize = 256 << 10;

#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
// The standard library has disabled the signal. Sending ignores the flag not to wait, so that sockets
// are non-blocking, too; then [`read_waiting`] does not wait either, and its callers ask the poller.
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT;

#[cfg(not(target_vendor = "apple"))]
const RECEIVE_FLAGS: RecvFlags = RecvFlags::DONTWAIT.union(RecvFlags::CMSG_CLOEXEC);
#[cfg(target_vendor = "apple")]
const RECEIVE_FLAGS: RecvFlags = RecvFlags::DONTWAIT;

/// A connected socket of a client. Unix sockets and TCP connections convert to it. On Apple's systems,
/// this puts them into non-blocking mode.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    identity: Identity,
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        #[cfg(target_vendor = "apple")]
        let _ = stream.set_nonblocking(true);
        Self { identity: Identity::default(), fd: stream.into() }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        // Replies are small, and a client waits for each of them. If this fails, they are only late.
        let _ = stream.set_nodelay(true);
        #[cfg(target_vendor = "apple")]
        let _ = stream.set_nonblocking(true);
        Self { identity: Identity::of_tcp(stream.peer_addr().ok()), fd: stream.into() }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// Receives bytes without waiting, and the file descriptors that have arrived with them. Zero
    /// bytes mean that the peer sends nothing more.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if nothing has arrived, and the operating system's.
    pub fn receive(&self, bytes: &mut [u8]) -> io::Result<(usize, Vec<Descriptor>)> {
        read(self, bytes).map(|received| (received.count, received.descriptors))
    }

    /// Sends bytes without waiting, and returns the number of those sent.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if the socket has no room, and the operating system's.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        write(self, bytes)
    }

    /// Ends a connection whose output has been sent, so that the peer can still receive it even if
    /// bytes that it has sent were not received.
    pub fn close(self) {
        close_gently(&self);
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The result of a read.
#[derive(Debug)]
pub(crate) struct Received {
    /// The number of bytes. Zero means that the peer sends nothing more.
    pub(crate) count: usize,
    pub(crate) descriptors: Vec<Descriptor>,
    /// Whether anything else arrived with the bytes, even if the system has discarded it for lack of
    /// room or descriptors. A read ends there, although more bytes may have arrived.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))] // threads ask the system each time
    pub(crate) ends_early: bool,
}

/// Sends bytes without waiting, and returns the number of those sent.
pub(crate) fn write(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, SEND_FLAGS)?)
}

/// Sets the time for which [`read_waiting`] waits.
pub(crate) fn set_timeout(socket: impl AsFd, time: Duration) -> io::Result<()> {
    Ok(sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(time))?)
}

/// Receives bytes, and the file descriptors that have arrived with them. Waits for them, at most for
/// the time that has been [set](set_timeout).
pub(crate) fn read_waiting(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<Received> {
    receive(socket, bytes, RECEIVE_FLAGS.difference(RecvFlags::DONTWAIT))
}

/// Receives bytes without waiting, and the file descriptors that have arrived with them.
///
/// The system may deliver descriptors with bytes that were sent before them and have not been
/// received, even to a server such as QEMU that receives one byte at a time.
pub(crate) fn read(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<Received> {
    receive(socket, bytes, RECEIVE_FLAGS)
}

fn receive(socket: impl AsFd, bytes: &mut [u8], flags: RecvFlags) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(bytes)];
    let received = recvmsg(socket, &mut slices, &mut control, flags)?;
    let mut ends_early = received.flags.contains(ReturnFlags::CTRUNC);
    let mut descriptors = Vec::new();
    for message in control.drain() {
        ends_early = true;
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    #[cfg(target_vendor = "apple")]
    for descriptor in &descriptors {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(Received { count: received.bytes, descriptors, ends_early })
}

/// Ends a connection whose output has been sent. Received bytes that nothing has read would make the
/// system reset the connection, and the client might lose the output.
pub(crate) fn close_gently(socket: impl AsFd) {
    let _ = shutdown(&socket, Shutdown::Write);
    let mut bytes = [0; 4 << 10];
    for _ in 0..MAX_DISCARDED / bytes.len() {
        if !matches!(read(&socket, &mut bytes), Ok(Received { count: 1.., .. })) {
            return;
        }
    }
}

/// Returns whether the peer has closed the socket, or the connection has failed. A peer that only sends
/// nothing more has not closed it.
#[cfg(feature = "tokio")]
pub(crate) fn is_closed(socket: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&socket, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_polled = poll(&mut fds, Some(&at_once)).is_ok();
    is_polled && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Returns whether an operation failed only because the socket is not ready.
pub(crate) fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
