//! Serving on threads, of which each reads, executes commands, and writes.

mod calls;
mod client;
pub(crate) mod engine;
mod lane;
mod poller;
mod watch;
mod worker;

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use self::client::Client;
use crate::accept::{self, BACKOFF};
use crate::close_reason::CloseReason;
use crate::server::Server;
use crate::socket::{self, Socket};

/// The time that a server that has ended gives its clients to read the remaining output. Without it,
/// the reply to `quit` would be lost if the process exits next.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

impl<M: Send + 'static> Server<M> {
    /// Serves one client until the connection ends, and returns the reason for its end.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let (stream, _) = std::net::TcpListener::bind("127.0.0.1:4444")?.accept()?;
    /// println!("{:?}", server.serve(stream)?);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a thread cannot be spawned.
    pub fn serve(&self, socket: impl Into<Socket>) -> io::Result<CloseReason> {
        let (ended, end) = mpsc::channel();
        self.add(socket.into(), Some(ended))?;
        Ok(end.recv().unwrap_or(CloseReason::Client))
    }

    /// Serves one client on background threads, which all clients share.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let (stream, _) = std::net::TcpListener::bind("127.0.0.1:4444")?.accept()?;
    /// server.spawn(stream)?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a thread cannot be spawned.
    pub fn spawn(&self, socket: impl Into<Socket>) -> io::Result<()> {
        self.add(socket.into(), None)
    }

    /// Serves all clients that connect to a TCP listener until the server ends. Then waits up to one
    /// second for the clients to read their remaining output.
    ///
    /// If the process runs out of file descriptors, or the server has as many connections as it may
    /// have, further clients wait in the listener's queue. The listener is put into non-blocking mode.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:4444")?;
    /// server.serve_tcp(&listener)?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the listener fails.
    pub fn serve_tcp(&self, listener: &TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.accept(listener, || {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            Ok(stream.into())
        })
    }

    /// Serves all clients that connect to a Unix listener until the server ends, like
    /// [`serve_tcp`](Self::serve_tcp). [`SocketFile`](crate::SocketFile) creates a listener with
    /// permissions.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let file = qmp_server::SocketFile::bind("/run/vm.sock", 0o600)?;
    /// server.serve_unix(file.listener())?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the listener fails.
    pub fn serve_unix(&self, listener: &UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.accept(listener, || {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            Ok(stream.into())
        })
    }

    /// Connects a client within this process, and returns the client's end of the connection.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// use std::io::{BufRead, BufReader};
    ///
    /// let mut line = String::new();
    /// BufReader::new(server.connect_unix()?).read_line(&mut line)?;
    /// assert!(line.starts_with("{\"QMP\": "));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a pair of sockets cannot be created or a thread cannot be spawned.
    pub fn connect_unix(&self) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        self.spawn(server)?;
        Ok(client)
    }

    fn add(&self, socket: Socket, ended: Option<mpsc::Sender<CloseReason>>) -> io::Result<()> {
        let connection = self.connect_as(socket.identity().clone());
        self.shared().engine().add(Arc::new(Client::new(connection, socket, ended)))
    }

    fn accept(
        &self,
        listener: impl AsFd,
        mut next: impl FnMut() -> io::Result<Socket>,
    ) -> io::Result<()> {
        // Created in advance: at the end, the process may have run out of descriptors.
        let (end, ended) = UnixStream::pair()?;
        let hub = self.shared().hub();
        hub.at_end(move || drop(end));
        while hub.is_open() {
            if hub.is_full() {
                hub.wait_ended(BACKOFF);
                continue;
            }
            let mut fds = [
                PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
                PollFd::new(&ended, PollFlags::IN),
            ];
            if poll(&mut fds, None).is_err() || !hub.is_open() {
                continue;
            }
            match next() {
                // If no thread can be spawned, only this client is disconnected.
                Ok(socket) => drop(self.spawn(socket)),
                Err(error) if socket::is_not_ready(&error) => {}
                Err(error) => hub.wait_ended(accept::pause_after(error)?),
            }
        }
        hub.wait_ended(Duration::MAX);
        self.shared().engine().wait_idle(SHUTDOWN_TIMEOUT);
        Ok(())
    }
}
