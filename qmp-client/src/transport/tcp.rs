//! TCP.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Transport;

/// A TCP connection.
#[derive(Debug)]
pub struct Tcp(#[cfg(unix)] super::socket::Socket<TcpStream>, #[cfg(not(unix))] TcpStream);

impl Tcp {
    /// Connects to the first address of `host` that answers, trying for at most `within` in all.
    /// An empty host is this one.
    ///
    /// # Errors
    /// What the system reports for the last address.
    pub fn connect(host: &str, port: u16, within: Duration) -> io::Result<Self> {
        let host = if host.is_empty() { "localhost" } else { host };
        // Asked not to wait, it still has to try: to the system, no time at all is an error.
        let within = within.max(Duration::from_millis(500));
        let deadline = Instant::now().checked_add(within);
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (host, port).to_socket_addrs()? {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let attempt = match left {
                None => TcpStream::connect(address),
                Some(Duration::ZERO) => return Err(io::ErrorKind::TimedOut.into()),
                Some(left) => TcpStream::connect_timeout(&address, left),
            };
            match attempt {
                Ok(stream) => return Self::from_stream(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Waits no longer than `within` for somebody to connect: a QEMU with the option
    /// `-qmp tcp:HOST:PORT` and no `server=on` does.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut), and what the system reports.
    #[cfg(unix)]
    pub fn accept(listener: &std::net::TcpListener, within: Duration) -> io::Result<Self> {
        super::socket::wait_readable(listener, within)?;
        Self::from_stream(listener.accept()?.0)
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// What the system reports.
    pub fn from_stream(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(None)?;
        // A command is one write, and it is to leave at once.
        stream.set_nodelay(true)?;
        #[cfg(unix)]
        let stream = super::socket::Socket::new(stream);
        Ok(Self(stream))
    }
}

#[cfg(unix)]
impl Transport for Tcp {
    fn read(&mut self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.read(buffer, timeout)
    }

    fn write(&mut self, bytes: &[u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.write(bytes, &[], timeout)
    }
}

#[cfg(not(unix))]
impl Transport for Tcp {
    fn read(&mut self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        // Zero would mean "for ever" to the system.
        self.0.set_read_timeout(timeout.map(|timeout| timeout.max(Duration::from_millis(1))))?;
        io::Read::read(&mut self.0, buffer)
    }

    fn write(&mut self, bytes: &[u8], timeout: Option<Duration>) -> io::Result<usize> {
        // Never long, so that the caller gets to read what the peer may want to be rid of.
        let turn = Duration::from_millis(20);
        let timeout = timeout.map_or(turn, |timeout| timeout.clamp(Duration::from_millis(1), turn));
        self.0.set_write_timeout(Some(timeout))?;
        io::Write::write(&mut self.0, bytes)
    }
}
