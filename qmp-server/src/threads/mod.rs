//! Serving on threads: one does the I/O of all clients, and others execute commands.

pub(crate) mod engine;
mod workers;

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use self::engine::Served;
use self::workers::Workers;
use crate::close_reason::CloseReason;
use crate::connection::Connection;
use crate::peer::Peer;
use crate::server::Server;
use crate::socket::{self, Socket};

/// The maximum number of bytes to read at a time.
const CHUNK_SIZE: usize = 16 << 10;

/// The maximum number of bytes to read at a time of a message that is [`HUGE`] already, so that others
/// do not wait for it.
const SMALL_CHUNK_SIZE: usize = 8 << 10;

/// The size in bytes from which an unfinished message is huge.
const HUGE: usize = 256 << 10;

/// The time that a server that has ended gives its clients to read the remaining output. Without it,
/// the reply to `quit` would be lost if the process exits next.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The time to wait before clients are accepted again, after the process or the server has had too
/// many connections.
const BACKOFF: Duration = Duration::from_millis(50);

impl<M: Send + 'static> Server<M> {
    /// Serves one client until the connection ends, and returns the reason for its end.
    ///
    /// # Errors
    /// Returns an error if a thread cannot be spawned.
    pub fn serve(&self, socket: impl Into<Socket>) -> io::Result<CloseReason> {
        let (ended, end) = mpsc::channel();
        self.add(socket.into(), Some(ended))?;
        Ok(end.recv().unwrap_or(CloseReason::Client))
    }

    /// Serves one client on background threads. All clients share a thread for their I/O.
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
    /// # Errors
    /// Returns an error if a pair of sockets cannot be created or a thread cannot be spawned.
    pub fn connect_unix(&self) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        self.spawn(server)?;
        Ok(client)
    }

    fn add(&self, socket: Socket, ended: Option<mpsc::Sender<CloseReason>>) -> io::Result<()> {
        let connection = self.connect_as(socket.identity().clone());
        let client = Client { connection, socket: Arc::new(socket), ended };
        self.shared().engine().add(Box::new(client))
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
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if socket::is_out_of_resources(&error) => hub.wait_ended(BACKOFF),
                Err(error) => return Err(error),
            }
        }
        hub.wait_ended(Duration::MAX);
        self.shared().engine().wait_idle(SHUTDOWN_TIMEOUT);
        Ok(())
    }
}

/// A client that the engine serves.
struct Client<M: Send + 'static> {
    connection: Connection<M>,
    socket: Arc<Socket>,
    /// Gets the reason for the end.
    ended: Option<mpsc::Sender<CloseReason>>,
}

impl<M: Send + 'static> Served for Client<M> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn set_waker(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.connection.on_change(move || wake());
    }

    fn advance(&mut self, ready: PollFlags, workers: &Arc<Workers>) -> Option<PollFlags> {
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read(ready);
        }
        self.execute_pending(workers);
        self.write();
        // There may be room for more replies.
        self.execute_pending(workers);
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::OUT, self.connection.has_output());
        match self.connection.closed() {
            Some(reason) if interest.is_empty() => {
                socket::close_gently(&*self.socket);
                self.ended.take().into_iter().for_each(|ended| drop(ended.send(reason.clone())));
                None
            }
            _ => {
                interest.set(PollFlags::IN, self.connection.wants_input());
                Some(interest)
            }
        }
    }
}

impl<M: Send + 'static> Client<M> {
    fn read(&mut self, ready: PollFlags) {
        if !self.connection.wants_input() {
            // The client has gone, so that nothing can be sent to it either.
            if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
                self.hang_up();
            }
            return;
        }
        let is_huge = self.connection.peer().session().unfinished_bytes() >= HUGE;
        let mut bytes = [0; CHUNK_SIZE];
        let length = if is_huge { SMALL_CHUNK_SIZE } else { CHUNK_SIZE };
        match socket::read(&*self.socket, &mut bytes[..length]) {
            Ok((0, _)) => self.connection.end_input(),
            Ok((count, descriptors)) => {
                self.connection
                    .peer()
                    .session()
                    .receive_with_descriptors(&bytes[..count], descriptors);
            }
            Err(error) if socket::is_not_ready(&error) => {}
            Err(_) => self.hang_up(),
        }
    }

    fn write(&mut self) {
        if write_output(self.connection.peer(), &self.socket).is_err() {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        let mut session = self.connection.peer().session();
        session.close(CloseReason::Client);
        drop(session.take_output());
    }

    fn execute_pending(&mut self, workers: &Arc<Workers>) {
        while let Some(request) = self.connection.next_request() {
            let shared = Arc::clone(self.connection.shared());
            let peer = Arc::clone(self.connection.peer());
            let socket = Arc::clone(&self.socket);
            // Out-of-band commands do not wait for those in the lane.
            let in_order =
                !request.ticket.is_out_of_band() && shared.dispatch().is_borrowing(&request.name);
            let job = Box::new(move || {
                shared.execute(&peer, request);
                // The I/O thread sends the rest, and notices errors.
                let _ = write_output(&peer, &socket);
            });
            match in_order {
                true => workers.submit_in_order(job),
                false => workers.submit(job),
            }
        }
    }
}

/// Sends as much output as the socket takes.
fn write_output(peer: &Peer, socket: &Socket) -> io::Result<()> {
    let mut session = peer.session();
    while !session.output().is_empty() {
        match socket::write(socket, session.output()) {
            Ok(count) => session.sent(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
