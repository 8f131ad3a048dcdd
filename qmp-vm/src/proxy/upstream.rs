//! The connection to the monitor: opening it, and the negotiation.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qmp_client::protocol::{Connection, Deadline, Input, Settings};
use qmp_client::socket::{connect, connect_abstract, send_with_descriptors};
use qmp_client::{Address, Closed, End, Error, Result, ServerError, TransportError};
use qmp_server::Socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The monitor's side of a proxy.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) socket: Socket,
    pub(super) input: Input,
}

/// Connects to a monitor.
pub(super) fn open(address: &Address, within: Duration) -> Result<Socket> {
    let opened = match address {
        Address::Unix(path) => connect(path).map(Socket::from),
        Address::Abstract(name) => connect_abstract(name).map(Socket::from),
        Address::Tcp { host, port } => tcp(host, *port, within).map(Socket::from),
        _ => Err(ErrorKind::Unsupported.into()),
    };
    opened
        .map_err(|error| TransportError::new(format!("cannot connect to {address}"), error).into())
}

fn tcp(host: &str, port: u16, within: Duration) -> io::Result<TcpStream> {
    let host = if host.is_empty() { "localhost" } else { host };
    let mut last = io::Error::new(ErrorKind::NotFound, "the host name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, within.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Upstream {
    /// Waits for the greeting, and negotiates.
    ///
    /// # Errors
    /// The reason why the connection has ended.
    pub(super) fn negotiate(
        socket: Socket,
        within: Duration,
    ) -> Result<(Self, Connection), Arc<End>> {
        let mut settings = Settings::default();
        // A number that no earlier client of the monitor has used, as the clients choose it.
        settings.negotiation_id = (1 << 40) + (RandomState::new().hash_one(0_u8) >> 16);
        let mut connection = Connection::new(settings, Deadline::after(Instant::now(), within));
        let input = connection.new_input();
        let mut this = Self { socket, input };
        loop {
            while !connection.is_ready() && connection.next(&mut this.input).is_some() {}
            if connection.is_ready() {
                return Ok((this, connection));
            }
            if let Some(end) = connection.take_ended() {
                return Err(end);
            }
            this.send(&mut connection);
            let wants = this.interest(&connection);
            wait(&this.socket, wants, connection.deadline());
            this.receive(&mut connection);
            connection.expire(Instant::now());
        }
    }

    /// Returns what to wait for.
    pub(super) fn interest(&self, connection: &Connection) -> PollFlags {
        let mut wants = PollFlags::IN;
        wants.set(PollFlags::OUT, !connection.output().is_empty());
        wants
    }

    /// Reads what has arrived.
    pub(super) fn receive(&mut self, connection: &mut Connection) {
        match self.socket.receive(self.input.spare()) {
            Ok((0, _)) => connection.end(End::Eof),
            Ok((count, _)) => self.input.filled(count),
            Err(error) if is_wait(&error) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => connection.end(End::Eof),
            Err(error) => connection.end(End::Transport(error)),
        }
    }

    /// Sends as much as the socket takes.
    pub(super) fn send(&self, connection: &mut Connection) {
        while !connection.output().is_empty() {
            let descriptors = connection.descriptors();
            let sent = match descriptors {
                [] => self.socket.send(connection.output()),
                _ => send_with_descriptors(&self.socket, connection.output(), descriptors)
                    .map_err(Into::into),
            };
            match sent {
                Ok(count) => connection.sent(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    connection.output_lost();
                    return connection.end(match error.kind() {
                        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => End::Eof,
                        _ => End::Transport(error),
                    });
                }
            }
        }
    }
}

/// Returns whether an operation failed only because the socket is not ready.
pub(super) fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn wait(socket: impl AsFd, wants: PollFlags, deadline: Option<Instant>) {
    let mut fds = [PollFd::new(&socket, wants)];
    // An error is noticed by the read that follows.
    let _ = poll(&mut fds, timeout(deadline).as_ref());
}

/// Returns the time until a moment, as `poll` takes it.
pub(super) fn timeout(deadline: Option<Instant>) -> Option<Timespec> {
    let left = deadline?.saturating_duration_since(Instant::now());
    Timespec::try_from(left).ok()
}

/// Returns the error of a handshake that failed: the reason for the end is the error itself.
pub(super) fn handshake_error(end: Arc<End>) -> Error {
    match Arc::try_unwrap(end) {
        Ok(End::Protocol(error)) => error.into(),
        Ok(End::Handshake(timeout)) => timeout.into(),
        Ok(End::Negotiation(error)) => ServerError::new("qmp_capabilities".into(), error).into(),
        Ok(end) => Closed::new(None, &Arc::new(end)).into(),
        Err(end) => Closed::new(None, &end).into(),
    }
}
