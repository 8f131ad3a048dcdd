//! Unix sockets.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use qmp_protocol::Descriptor;

use super::Transport;
use super::socket::{Socket, wait_readable};
use crate::socket::{connect, connect_abstract};

/// A Unix socket.
#[derive(Debug)]
pub struct Unix(Socket);

impl Unix {
    /// Connects to the socket at `path`, which may be longer than the system's limit, without
    /// waiting.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::path::Path;
    ///
    /// use qmp_client::{Options, blocking::Client, transport::Unix};
    ///
    /// let vm = Client::over(Unix::connect(Path::new("/run/vm.sock"))?, &Options::new())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`socket::connect`](crate::socket::connect).
    pub fn connect(path: &Path) -> io::Result<Self> {
        Self::from_stream(connect(path)?)
    }

    /// Connects to a socket in the abstract namespace.
    ///
    /// ```no_run
    /// let stream = qmp_client::transport::Unix::connect_abstract("vm")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`socket::connect_abstract`](crate::socket::connect_abstract).
    pub fn connect_abstract(name: &str) -> io::Result<Self> {
        Self::from_stream(connect_abstract(name)?)
    }

    /// Accepts a connection, and waits for it at most `within`. A QEMU with the option
    /// `-qmp unix:PATH`, without `server=on`, connects.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::os::unix::net::UnixListener;
    /// use std::time::Duration;
    ///
    /// use qmp_client::{Options, blocking::Client, transport::Unix};
    ///
    /// let listener = UnixListener::bind("/run/manager.sock")?;
    /// let stream = Unix::accept(&listener, Duration::from_secs(10))?;
    /// let vm = Client::over(stream, &Options::new())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut), and the operating system's.
    #[inline]
    pub fn accept(listener: &UnixListener, within: Duration) -> io::Result<Self> {
        wait_readable(listener, Some(within))?;
        Self::from_stream(listener.accept()?.0)
    }

    /// Creates a transport from a connected socket. `UnixStream::from` makes one of an open file
    /// descriptor.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::os::unix::net::UnixStream;
    ///
    /// use qmp_client::{Options, blocking::Client, transport::Unix};
    ///
    /// // One end for QEMU, which inherits it as its monitor, and one for the client.
    /// let (ours, qemus) = UnixStream::pair()?;
    /// # drop(qemus);
    /// let vm = Client::over(Unix::from_stream(ours)?, &Options::new())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The operating system's.
    pub fn from_stream(stream: UnixStream) -> io::Result<Self> {
        Socket::new(stream.into()).map(Self)
    }
}

impl Transport for Unix {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.read(buffer, timeout)
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.0.write(bytes, descriptors, timeout)
    }

    fn close(&self) {
        self.0.close();
    }

    fn passes_descriptors(&self) -> bool {
        true
    }

    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        self.0.wait_readable(timeout)
    }

    fn has_arrived(&self) -> bool {
        self.0.has_arrived()
    }
}
