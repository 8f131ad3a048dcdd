//! Unix sockets.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::Transport;
use super::socket::{Socket, wait_readable};
use crate::machine::Descriptor;
use crate::socket::{SocketPath, connect_abstract};

/// A Unix socket.
#[derive(Debug)]
pub struct Unix(Socket<UnixStream>);

impl Unix {
    /// Connects to the socket at `path`, however long that is.
    ///
    /// # Errors
    /// What the system reports.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Self::from_stream(UnixStream::connect(SocketPath::new(path)?.as_path())?)
    }

    /// Connects to a socket in the abstract name space.
    ///
    /// # Errors
    /// What the system reports; it is [`Unsupported`](io::ErrorKind::Unsupported) everywhere but
    /// on Linux.
    pub fn connect_abstract(name: &str) -> io::Result<Self> {
        Self::from_stream(connect_abstract(name)?)
    }

    /// Waits no longer than `within` for somebody to connect: a QEMU with the option
    /// `-qmp unix:PATH` and no `server=on` does.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut), and what the system reports.
    pub fn accept(listener: &UnixListener, within: Duration) -> io::Result<Self> {
        wait_readable(listener, within)?;
        Self::from_stream(listener.accept()?.0)
    }

    /// Takes a socket that is connected. An open descriptor is one by `UnixStream::from`.
    ///
    /// # Errors
    /// What the system reports.
    pub fn from_stream(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(None)?;
        Ok(Self(Socket::new(stream)))
    }
}

impl Transport for Unix {
    fn read(&mut self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.read(buffer, timeout)
    }

    fn write(&mut self, bytes: &[u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.write(bytes, &[], timeout)
    }

    fn passes_descriptors(&self) -> bool {
        true
    }

    fn write_with_descriptors(
        &mut self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.0.write(bytes, descriptors, timeout)
    }
}
