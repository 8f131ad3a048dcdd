//! A socket that the runtime watches.
//!
//! tokio's own types are watched for room as well, and a Unix socket reports room whenever its peer has
//! read: each reply, and each event to each monitor, would wake the runtime once more. So room is watched
//! only while output is left. Writing needs no watching, since the owner of the output tries first.
//!
//! The end of a client that is not read from is reported as room. Linux reports it whatever is watched;
//! elsewhere, room is watched for it.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::tokio::io::Interest;
use ::tokio::io::unix::AsyncFd;
use ::tokio::runtime::Handle;

use super::received::Received;
use crate::peer::Write;
use crate::socket;

/// A non-blocking socket.
#[derive(Debug)]
pub(super) struct Watched {
    socket: Arc<OwnedFd>,
    runtime: Handle,
    /// `None` after the runtime has refused.
    registration: Option<AsyncFd<Arc<OwnedFd>>>,
    watches_room: bool,
    /// Whether room is watched because of the client's end. Reports of room are lost then. Never on a
    /// system that reports the end by itself.
    watches_end: bool,
}

/// The number of reports of room after which a socket that never stops reporting it is taken for one
/// that is closed.
const MAX_REPORTS: usize = 16;

/// Whether the system reports the end of a client while only what arrives is watched, as `epoll` does.
const REPORTS_END: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl Watched {
    /// Watches a socket for what arrives.
    pub(super) fn new(socket: impl Into<OwnedFd>, runtime: Handle) -> io::Result<Self> {
        let socket = Arc::new(socket.into());
        let (watches_room, watches_end) = (false, false);
        let mut watched = Self { socket, runtime, registration: None, watches_room, watches_end };
        watched.watch_room(false)?;
        Ok(watched)
    }

    /// Returns a function that writes without waiting, from any task.
    pub(super) fn writer(&self) -> Arc<Write> {
        let socket = Arc::clone(&self.socket);
        Arc::new(move |bytes: &[u8]| socket::write(&*socket, bytes))
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.watches_end {
            self.watch_room(false)?;
        }
        loop {
            let room = match self.watches_room {
                true => Some(ready!(self.registration()?.poll_write_ready(cx))?),
                false => None,
            };
            match socket::write(&*self.socket, bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => match room {
                    Some(mut room) => room.clear_ready(),
                    None => self.watch_room(true)?,
                },
                written => return Poll::Ready(written),
            }
        }
    }

    /// Stops watching for room, because no output is left.
    pub(super) fn flushed(&mut self) -> io::Result<()> {
        if self.watches_room && !self.watches_end { self.watch_room(false) } else { Ok(()) }
    }

    /// Waits until the client has closed the socket: a client that sends nothing more may still read. To
    /// be called while no output is left.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !REPORTS_END && !self.watches_end {
            self.watch_room(true)?;
            self.watches_end = true;
        }
        for _ in 0..MAX_REPORTS {
            // What happens after the look is reported.
            let report = self.registration()?.poll_write_ready(cx)?;
            if socket::is_closed(&*self.socket) {
                return Poll::Ready(Ok(()));
            }
            match report {
                Poll::Ready(mut room) => room.clear_ready(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        if self.watches_end {
            self.watch_room(false)?;
        }
        loop {
            let mut arrival = ready!(self.registration()?.poll_read_ready(cx))?;
            match socket::read(&*self.socket, bytes) {
                Ok(received) => {
                    // Nothing is left after a short read, so that the next one need not be tried. Only
                    // a client that sends urgent bytes, which QMP does not have, may wait for itself.
                    if (1..bytes.len()).contains(&received.count) && !received.ends_early {
                        arrival.clear_ready();
                    }
                    let socket::Received { count, descriptors, .. } = received;
                    return Poll::Ready(Ok(Received { count, descriptors }));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => arrival.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(super) fn close_gently(&self) {
        socket::close_gently(&*self.socket);
    }

    fn registration(&self) -> io::Result<&AsyncFd<Arc<OwnedFd>>> {
        self.registration.as_ref().ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Watches for what arrives, and for room, too, if that is wanted. What the socket is ready for
    /// already is reported again.
    fn watch_room(&mut self, wanted: bool) -> io::Result<()> {
        let interest = match wanted {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        // The system allows one at a time.
        self.registration = None;
        let _context = self.runtime.enter();
        // The successor of this function needs a later tokio. It differs for types that may change their
        // descriptor, which this one does not.
        #[allow(deprecated)]
        let registration = AsyncFd::with_interest(Arc::clone(&self.socket), interest)?;
        self.registration = Some(registration);
        (self.watches_room, self.watches_end) = (wanted, false);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write as _};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A client that reads, and sends nothing more, is not taken for one that has gone, however often the
    /// system reports something, and its reading wakes no task.
    #[test]
    fn the_end_is_noticed_without_reading() {
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let (mut client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut watched = Watched::new(server, runtime.handle().clone()).unwrap();
        client.write_all(b"not read").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut polls = 0;
        for round in 0..100 {
            let mut bytes = [0; 1000];
            socket::write(&*watched.socket, &bytes).unwrap();
            client.read_exact(&mut bytes).unwrap();
            let mut turns = 0;
            let ended = runtime.block_on(poll_fn(|cx| {
                turns += 1;
                polls += 1;
                let polled = watched.poll_end(cx);
                // The runtime looks for reports between the turns.
                cx.waker().wake_by_ref();
                if turns < 3 { Poll::Pending } else { Poll::Ready(polled.is_ready()) }
            }));
            assert!(!ended, "round {round}");
        }
        assert_eq!(polls, 300);
        assert_eq!(watched.watches_room, !REPORTS_END);
        drop(client);
        runtime.block_on(poll_fn(|cx| watched.poll_end(cx))).unwrap();
    }

    /// While output is left, room is watched, and what arrives is noticed, too.
    #[test]
    fn what_arrives_while_room_is_awaited_is_read() {
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let (mut client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut watched = Watched::new(server, runtime.handle().clone()).unwrap();
        let output = vec![b'x'; 64 << 10];
        let mut sent = 0;
        runtime.block_on(poll_fn(|cx| {
            while let Poll::Ready(written) = watched.poll_write(cx, &output) {
                sent += written.unwrap();
            }
            Poll::Ready(())
        }));
        assert!(watched.watches_room);
        client.write_all(b"hello").unwrap();
        let mut bytes = [0; 100];
        let received = runtime.block_on(poll_fn(|cx| watched.poll_read(cx, &mut bytes))).unwrap();
        assert_eq!((&bytes[..received.count], watched.watches_room), (&b"hello"[..], true));
        let mut rest = vec![0; sent];
        client.read_exact(&mut rest).unwrap();
        let written = runtime.block_on(poll_fn(|cx| watched.poll_write(cx, b"last"))).unwrap();
        assert_eq!(written, 4);
        watched.flushed().unwrap();
        assert!(!watched.watches_room);
        client.write_all(b"bye").unwrap();
        let received = runtime.block_on(poll_fn(|cx| watched.poll_read(cx, &mut bytes))).unwrap();
        assert_eq!(&bytes[..received.count], b"bye");
        client.shutdown(Shutdown::Write).unwrap();
        let end = runtime.block_on(poll_fn(|cx| watched.poll_read(cx, &mut bytes))).unwrap();
        assert_eq!(end.count, 0);
    }
}
