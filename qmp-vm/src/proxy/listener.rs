//! The sockets at which a proxy listens.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use qmp_server::{Socket, SocketFile};

/// A socket at which a proxy listens. A [`SocketFile`] has permissions from the start, and is removed
/// when the proxy ends; other listeners convert as they are.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    File(SocketFile),
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl From<SocketFile> for Listener {
    fn from(file: SocketFile) -> Self {
        Self(Kind::File(file))
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self(Kind::Unix(listener))
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Kind::Tcp(listener))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::File(file) => file.listener().as_fd(),
            Kind::Unix(listener) => listener.as_fd(),
            Kind::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl Listener {
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match &self.0 {
            Kind::File(file) => file.listener().set_nonblocking(true),
            Kind::Unix(listener) => listener.set_nonblocking(true),
            Kind::Tcp(listener) => listener.set_nonblocking(true),
        }
    }

    pub(super) fn accept(&self) -> io::Result<Socket> {
        match &self.0 {
            Kind::File(file) => file.listener().accept().map(|(stream, _)| stream.into()),
            Kind::Unix(listener) => listener.accept().map(|(stream, _)| stream.into()),
            Kind::Tcp(listener) => listener.accept().map(|(stream, _)| stream.into()),
        }
    }
}
