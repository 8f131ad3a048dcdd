//! A socket that a thread of its own serves: reads and writes that wait until a given time.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[cfg(not(unix))]
pub(crate) use self::portable::Link;
#[cfg(unix)]
pub(crate) use self::unix::Link;

/// The time that a client has for reading the output, before the connection is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a read.
#[derive(Debug)]
pub(crate) enum Received {
    /// The number of bytes, and of the file descriptors that arrived with them.
    Bytes(usize, usize),
    /// The time is over.
    Nothing,
    /// The client sends nothing more.
    End,
}

/// Returns the result of a read for which there is no more time, or that failed.
fn failed(error: &io::Error) -> Received {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Received::Nothing,
        _ => Received::End,
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::AsFd;
    use std::time::Instant;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{Shutdown, shutdown};

    use super::Received;
    use crate::socket::{self, Socket};

    /// A connected socket.
    #[derive(Debug)]
    pub(crate) struct Link(Socket);

    impl<S: Into<Socket>> From<S> for Link {
        fn from(socket: S) -> Self {
            Self(socket.into())
        }
    }

    impl Link {
        pub(crate) fn read(&self, bytes: &mut [u8], until: Option<Instant>) -> Received {
            loop {
                match socket::read(&self.0, bytes) {
                    Ok(received) if received.count == 0 => return Received::End,
                    // Descriptors are not needed, and are closed here.
                    Ok(received) => {
                        return Received::Bytes(received.count, received.descriptors.len());
                    }
                    Err(error) if socket::is_not_ready(&error) => {}
                    Err(error) => return super::failed(&error),
                }
                if !self.wait(PollFlags::IN, until) {
                    return Received::Nothing;
                }
            }
        }

        pub(crate) fn write(&self, mut bytes: &[u8], until: Option<Instant>) -> io::Result<()> {
            while !bytes.is_empty() {
                match socket::write(&self.0, bytes) {
                    Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                    Err(error) if socket::is_not_ready(&error) => {
                        if !self.wait(PollFlags::OUT, until) {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        }

        /// Makes reads return the end, once what has arrived has been read.
        pub(crate) fn end_input(&self) {
            let _ = shutdown(&self.0, Shutdown::Read);
        }

        pub(crate) fn close(&self) {
            socket::close_gently(&self.0);
            let _ = shutdown(&self.0, Shutdown::Both);
        }

        /// Waits until the socket is ready. Returns false if that takes too long.
        fn wait(&self, flags: PollFlags, until: Option<Instant>) -> bool {
            loop {
                let mut fds = [PollFd::from_borrowed_fd(self.0.as_fd(), flags)];
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                // Without a limit if the system cannot express the time.
                let timeout = left.and_then(|left| Timespec::try_from(left).ok());
                match poll(&mut fds, timeout.as_ref()) {
                    Ok(0) => return false,
                    Err(rustix::io::Errno::INTR) => {}
                    // An error of the socket is reported by the next read or write.
                    _ => return true,
                }
            }
        }
    }
}

#[cfg(not(unix))]
mod portable {
    use std::io::{self, Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::time::{Duration, Instant};

    use super::Received;

    /// A connected socket.
    #[derive(Debug)]
    pub(crate) struct Link(TcpStream);

    impl From<TcpStream> for Link {
        fn from(stream: TcpStream) -> Self {
            // If this fails, output is only late.
            let _ = stream.set_nodelay(true);
            Self(stream)
        }
    }

    impl Link {
        pub(crate) fn read(&self, bytes: &mut [u8], until: Option<Instant>) -> Received {
            let read = self.0.set_read_timeout(left(until)).and_then(|()| (&self.0).read(bytes));
            match read {
                Ok(0) => Received::End,
                Ok(count) => Received::Bytes(count, 0),
                Err(error) => super::failed(&error),
            }
        }

        pub(crate) fn write(&self, bytes: &[u8], until: Option<Instant>) -> io::Result<()> {
            self.0.set_write_timeout(left(until))?;
            (&self.0).write_all(bytes)
        }

        pub(crate) fn end_input(&self) {
            let _ = self.0.shutdown(Shutdown::Read);
        }

        pub(crate) fn close(&self) {
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }

    /// Returns the time that is left, which must not be zero for a socket's timeout.
    fn left(until: Option<Instant>) -> Option<Duration> {
        let left = until?.saturating_duration_since(Instant::now());
        Some(left.max(Duration::from_millis(1)))
    }
}

/// A simulated peer of a client, without I/O.
pub(crate) trait Peer: Send + 'static {
    fn receive(&mut self, bytes: &[u8]);

    /// Executes commands until there is output, and returns it. Returns `None` if more bytes are
    /// needed. Only the output of one command at a time is kept.
    fn advance(&mut self) -> Option<Vec<u8>>;

    fn is_closed(&self) -> bool;
}

/// Serves a client on a thread of its own, until one of the sides closes the connection.
pub(crate) fn spawn(
    name: &str,
    link: Arc<Link>,
    mut peer: impl Peer,
) -> io::Result<JoinHandle<()>> {
    let work = move || {
        serve(&link, &mut peer);
        link.close();
    };
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn serve(link: &Link, peer: &mut impl Peer) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        while let Some(output) = peer.advance() {
            if link.write(&output, Instant::now().checked_add(WRITE_TIMEOUT)).is_err() {
                return;
            }
        }
        if peer.is_closed() {
            return;
        }
        match link.read(&mut bytes, None) {
            Received::Bytes(count, _) => peer.receive(bytes.get(..count).unwrap_or_default()),
            Received::Nothing => {}
            Received::End => return,
        }
    }
}
