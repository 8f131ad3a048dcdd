//! What Unix and TCP sockets have in common.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, recv, send};

use crate::machine::Descriptor;
use crate::socket::{AT_ONCE, send_with_descriptors};

/// How much longer than asked for a read may take: setting the time-out is a system call, and
/// most reads have nearly the same one as the read before.
const SLACK: Duration = Duration::from_millis(4);

/// A socket that is in blocking mode, and the time-out that is set on it.
#[derive(Debug)]
pub(super) struct Socket<S> {
    pub(super) stream: S,
    timeout: Option<Duration>,
}

impl<S: AsFd> Socket<S> {
    /// A socket that nobody has set a time-out on.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, timeout: None }
    }

    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let mut flags = RecvFlags::empty();
        match timeout {
            Some(Duration::ZERO) => flags = RecvFlags::DONTWAIT,
            _ => self.set_timeout(timeout)?,
        }
        let (received, _) = recv(&self.stream, buffer, flags)?;
        Ok(received)
    }

    pub(super) fn write(
        &mut self,
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

    fn try_write(&self, bytes: &[u8], descriptors: &[Descriptor]) -> rustix::io::Result<usize> {
        if descriptors.is_empty() {
            return send(&self.stream, bytes, AT_ONCE);
        }
        send_with_descriptors(&self.stream, bytes, descriptors)
    }

    fn set_timeout(&mut self, wanted: Option<Duration>) -> io::Result<()> {
        // One that is too short only costs a look at the clock; one that is too long is late.
        let near = match (self.timeout, wanted) {
            (None, None) => true,
            (Some(set), Some(wanted)) => set <= wanted + SLACK && set >= wanted / 2,
            _ => false,
        };
        if !near {
            set_socket_timeout(&self.stream, Timeout::Recv, wanted)?;
            self.timeout = wanted;
        }
        Ok(())
    }
}

/// Waits until there is something to read, or somebody to accept.
pub(super) fn wait_readable(socket: impl AsFd, within: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(within).ok();
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    match poll(&mut fds, timeout.as_ref())? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
