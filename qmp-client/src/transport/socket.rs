//! The common part of Unix and TCP sockets.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use qmp_protocol::Descriptor;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, Shutdown, recv, send, shutdown};

use crate::socket::{AT_ONCE, has_arrived, send_with_descriptors};

/// The time by which a read may exceed its timeout. Setting the timeout of a socket is a system
/// call, and most reads have nearly the same timeout as the read before.
const SLACK: Duration = Duration::from_millis(4);

/// A socket in blocking mode, and the timeout that is set on it.
pub(super) struct Socket {
    stream: OwnedFd,
    timeout: Mutex<Option<Duration>>,
    /// The same as one number, for a look without the lock: most reads have the timeout of the read
    /// before. Zero says nothing. Not every system has an atomic of 64 bits.
    number: AtomicU32,
}

/// Returns a number for each millisecond in which timeouts of less than a month may end; zero for others.
fn number(timeout: Option<Duration>) -> u32 {
    timeout.and_then(|timeout| u32::try_from(timeout.as_millis() + 1).ok()).unwrap_or(0)
}

/// Shows the descriptor alone. Showing addresses asks the system for them, with code that no other
/// part of a program needs.
impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let descriptor = self.stream.as_raw_fd();
        f.debug_struct("Socket").field("descriptor", &descriptor).finish_non_exhaustive()
    }
}

impl Socket {
    /// Takes a socket, and puts it into blocking mode without a timeout.
    pub(super) fn new(stream: OwnedFd) -> io::Result<Self> {
        ioctl_fionbio(&stream, false)?;
        set_socket_timeout(&stream, Timeout::Recv, None)?;
        Ok(Self { stream, timeout: Mutex::new(None), number: AtomicU32::new(0) })
    }

    pub(super) fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        let mut flags = RecvFlags::empty();
        match timeout {
            Some(Duration::ZERO) => flags = RecvFlags::DONTWAIT,
            _ => self.set_timeout(timeout)?,
        }
        let (received, _) = recv(&self.stream, buffer, flags)?;
        Ok(received)
    }

    pub(super) fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        match self.try_write(bytes, descriptors) {
            Err(rustix::io::Errno::AGAIN) if timeout != Some(Duration::ZERO) => {}
            sent => return Ok(sent?),
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN | PollFlags::OUT)];
        poll(&mut fds, timeout.as_ref())?;
        if !fds[0].revents().contains(PollFlags::OUT) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.try_write(bytes, descriptors)?)
    }

    pub(super) fn close(&self) {
        // It fails if the peer has closed the connection first.
        let _ = shutdown(&self.stream, Shutdown::Both);
    }

    pub(super) fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        wait_readable(&self.stream, timeout).map(|()| true)
    }

    pub(super) fn has_arrived(&self) -> bool {
        has_arrived(&self.stream)
    }

    fn try_write(&self, bytes: &[u8], descriptors: &[Descriptor]) -> rustix::io::Result<usize> {
        if descriptors.is_empty() {
            return send(&self.stream, bytes, AT_ONCE);
        }
        send_with_descriptors(&self.stream, bytes, descriptors)
    }

    #[inline]
    fn set_timeout(&self, wanted: Option<Duration>) -> io::Result<()> {
        let number = number(wanted);
        if number > 0 && self.number.load(Ordering::Relaxed) == number {
            return Ok(());
        }
        self.change_timeout(wanted)
    }

    fn change_timeout(&self, wanted: Option<Duration>) -> io::Result<()> {
        let mut set = self.timeout.lock().unwrap_or_else(PoisonError::into_inner);
        if *set == wanted {
            return Ok(());
        }
        // A timeout that is too short only costs another look at the clock; one that is too long
        // is late.
        let near = match (*set, wanted) {
            (Some(set), Some(wanted)) => set <= wanted.saturating_add(SLACK) && set >= wanted / 2,
            _ => false,
        };
        if !near {
            set_socket_timeout(&self.stream, Timeout::Recv, wanted)?;
            *set = wanted;
            self.number.store(number(wanted), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Waits until the socket is readable, or has a connection to accept.
pub(super) fn wait_readable(socket: impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    match poll(&mut fds, timeout.as_ref())? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
