//! Unix sockets.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::Transport;
use super::socket::Socket;
use crate::machine::Descriptor;

/// A Unix socket.
#[derive(Debug)]
pub struct Unix(Socket<UnixStream>);

impl Unix {
    /// Connects to the socket at `path`, however long that is.
    ///
    /// # Errors
    /// What the system reports.
    pub fn connect(path: &Path) -> io::Result<Self> {
        match UnixStream::connect(path) {
            Ok(stream) => Self::from_stream(stream),
            // The system takes about a hundred bytes; the standard library says so in this way.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Self::from_stream(connect_through_directory(path)?)
            }
            Err(error) => Err(error),
        }
    }

    /// Connects to a socket in the abstract name space.
    ///
    /// # Errors
    /// What the system reports; it is [`Unsupported`](io::ErrorKind::Unsupported) everywhere but
    /// on Linux.
    pub fn connect_abstract(name: &str) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            use std::os::unix::net::SocketAddr;
            let address = SocketAddr::from_abstract_name(name)?;
            Self::from_stream(UnixStream::connect_addr(&address)?)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = name;
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Takes a socket that is connected.
    ///
    /// # Errors
    /// What the system reports.
    pub fn from_stream(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(None)?;
        Ok(Self(Socket::new(stream)))
    }
}

/// An open directory has a short name of its own.
#[cfg(target_os = "linux")]
fn connect_through_directory(path: &Path) -> io::Result<UnixStream> {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::fd::AsRawFd;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(directory, flags, Mode::empty())?;
    let short = format!("/proc/self/fd/{}", directory.as_raw_fd());
    UnixStream::connect(Path::new(&short).join(name))
}

#[cfg(not(target_os = "linux"))]
fn connect_through_directory(_: &Path) -> io::Result<UnixStream> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket"))
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
