//! TCP.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use qmp_protocol::Descriptor;

use super::Transport;
use crate::endpoint::no_address;
use crate::resolve::Lookup;

/// A TCP connection.
#[derive(Debug)]
pub struct Tcp(#[cfg(unix)] super::socket::Socket, #[cfg(not(unix))] TcpStream);

impl Tcp {
    /// Connects to the first address of `host` that answers, and tries for at most `within` in all.
    /// An empty host means the local one.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::{Options, blocking::Client, transport::Tcp};
    ///
    /// let stream = Tcp::connect("vm.example.org", 4444, Duration::from_secs(5))?;
    /// let vm = Client::over(stream, &Options::new())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The operating system's, for the last address.
    pub fn connect(host: &str, port: u16, within: Duration) -> io::Result<Self> {
        let host = if host.is_empty() { "localhost" } else { host };
        // Even without time, one attempt is made: to the system, a timeout of zero is an error.
        let within = within.max(Duration::from_millis(10));
        let deadline = Instant::now().checked_add(within);
        let mut last = no_address();
        for address in Lookup::new(host, port)?.wait(within)? {
            let left = deadline.map_or(within, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Self::from_stream(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Accepts a connection, and waits for it at most `within`. A QEMU with the option
    /// `-qmp tcp:HOST:PORT`, without `server=on`, connects.
    ///
    /// ```no_run
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    ///
    /// use qmp_client::transport::Tcp;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:4444")?;
    /// let stream = Tcp::accept(&listener, Duration::from_secs(10))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut), and the operating system's.
    #[cfg(unix)]
    #[inline]
    pub fn accept(listener: &std::net::TcpListener, within: Duration) -> io::Result<Self> {
        super::socket::wait_readable(listener, Some(within))?;
        Self::from_stream(listener.accept()?.0)
    }

    /// Creates a transport from an open connection.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::net::TcpStream;
    ///
    /// use qmp_client::{Options, blocking::Client, transport::Tcp};
    ///
    /// let stream = TcpStream::connect("127.0.0.1:4444")?;
    /// let vm = Client::over(Tcp::from_stream(stream)?, &Options::new())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The operating system's.
    pub fn from_stream(stream: TcpStream) -> io::Result<Self> {
        // A command is one write, and is to be sent at once.
        stream.set_nodelay(true)?;
        #[cfg(unix)]
        return super::socket::Socket::new(stream.into()).map(Self);
        #[cfg(not(unix))]
        {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(None)?;
            Ok(Self(stream))
        }
    }
}

#[cfg(unix)]
impl Transport for Tcp {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.read(buffer, timeout)
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        if !descriptors.is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.0.write(bytes, &[], timeout)
    }

    fn close(&self) {
        self.0.close();
    }

    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        self.0.wait_readable(timeout)
    }

    fn has_arrived(&self) -> bool {
        self.0.has_arrived()
    }
}

#[cfg(not(unix))]
impl Transport for Tcp {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        // To the system, zero would mean "without a limit".
        self.0.set_read_timeout(timeout.map(|timeout| timeout.max(Duration::from_millis(1))))?;
        io::Read::read(&mut &self.0, buffer)
    }

    fn write(
        &self,
        bytes: &[u8],
        _: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        // Never long, so that the caller gets to read what the peer may want to send first.
        let turn = Duration::from_millis(20);
        let timeout = timeout.map_or(turn, |timeout| timeout.clamp(Duration::from_millis(1), turn));
        self.0.set_write_timeout(Some(timeout))?;
        io::Write::write(&mut &self.0, bytes)
    }

    fn close(&self) {
        // It fails if the peer has closed the connection first.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}
