//! Serving clients in tasks of tokio.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use qmp_server::{Router, Server, SocketFile};
//! use qmp_types::Version;
//!
//! let server = Server::new(Version::default(), Router::new(), ())?;
//! let socket = SocketFile::bind("/run/vm.sock", 0o600)?;
//! qmp_server::tokio::serve_unix(&server, socket.listener()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each client is a task, and needs no buffers while it is idle. Handlers that borrow the machine and
//! [deferred](crate::Router::deferred) ones are executed by the client's task, and so must not block;
//! those that take their time should be [asynchronous](crate::Router::asynchronous).

mod link;
mod received;
#[cfg(unix)]
mod watched;

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite};
use ::tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use ::tokio::net::{UnixListener, UnixStream};

use self::link::Link;
use self::received::Received;
use crate::accept::{BACKOFF, pause_after};
use crate::client::Identity;
use crate::close_reason::CloseReason;
use crate::connection::Connection;
use crate::server::Server;
use crate::sync::lock;

/// The maximum number of bytes to read at a time.
const CHUNK_SIZE: usize = 8 << 10;

/// The number of bytes to read unless more are expected.
const SMALL_CHUNK_SIZE: usize = 1 << 10;

/// The number of reads after which other tasks get their turn.
const MAX_READS: usize = 16;

/// The time that a server that has ended gives its clients to read the remaining output.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one client on a stream until the connection ends, and returns the reason for its end. Over
/// a [`UnixStream`], the client can pass file descriptors, if the future is polled within a runtime of
/// tokio or the server was built in one.
///
/// A client that closes a Unix socket during a slow command is gone at once: the result of the command is
/// dropped, and its commands that wait are not executed. One that only shuts down its sending side still
/// receives its replies; over TCP, a client that has closed looks the same until a reply is sent to it.
///
/// # Panics
/// Panics if the stream is a socket and that runtime has no I/O driver.
///
/// ```
/// # async fn example() -> std::io::Result<()> {
/// # use qmp_server::{Router, Server};
/// # use qmp_types::Version;
/// # let server = Server::new(Version::default(), Router::new(), ()).map_err(std::io::Error::other)?;
/// let (stream, _) = tokio::net::TcpListener::bind("127.0.0.1:4444").await?.accept().await?;
/// println!("{:?}", qmp_server::tokio::serve(&server, stream).await);
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// Dropping the future disconnects the client. Commands that have been started are completed, without
/// a reply.
pub async fn serve<M, S>(server: &Server<M>, stream: S) -> CloseReason
where
    M: Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connection = server.connect_as(identity(&stream));
    attend(connection, stream).await
}

/// Serves all clients that connect to a Unix listener, in spawned tasks, until the server ends. Then
/// waits up to one second for the clients to read their remaining output.
///
/// If the process runs out of file descriptors, or the server has as many connections as it may have,
/// further clients wait in the listener's queue.
///
/// ```
/// # async fn example() -> std::io::Result<()> {
/// # use qmp_server::{Router, Server};
/// # use qmp_types::Version;
/// # let server = Server::new(Version::default(), Router::new(), ()).map_err(std::io::Error::other)?;
/// let listener = std::os::unix::net::UnixListener::bind("/run/vm.sock")?;
/// qmp_server::tokio::serve_unix(&server, &listener).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns an error if the listener fails.
#[cfg(unix)]
pub async fn serve_unix<M: Send + 'static>(
    server: &Server<M>,
    listener: &std::os::unix::net::UnixListener,
) -> io::Result<()> {
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    accept(server, |cx| listener.poll_accept(cx).map_ok(|(stream, _)| stream)).await
}

/// Serves all clients that connect to a TCP listener, like `serve_unix`.
///
/// ```
/// # async fn example() -> std::io::Result<()> {
/// # use qmp_server::{Router, Server};
/// # use qmp_types::Version;
/// # let server = Server::new(Version::default(), Router::new(), ()).map_err(std::io::Error::other)?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:4444").await?;
/// qmp_server::tokio::serve_tcp(&server, &listener).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns an error if the listener fails.
pub async fn serve_tcp<M: Send + 'static>(
    server: &Server<M>,
    listener: &TcpListener,
) -> io::Result<()> {
    accept(server, |cx| {
        let accepted = ready!(listener.poll_accept(cx));
        Poll::Ready(accepted.map(|(stream, _)| {
            // Replies are small, and a client waits for each of them. If this fails, they are only
            // late.
            let _ = stream.set_nodelay(true);
            stream
        }))
    })
    .await
}

/// Stops the server gracefully, like [`Server::stop`], without blocking the runtime.
///
/// ```
/// # async fn example() -> std::io::Result<()> {
/// # use qmp_server::{Router, Server};
/// # use qmp_types::Version;
/// # let server = Server::new(Version::default(), Router::new(), ()).map_err(std::io::Error::other)?;
/// qmp_server::tokio::stop(&server, std::time::Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
pub async fn stop<M: Send + 'static>(server: &Server<M>, within: Duration) -> bool {
    let server = server.clone();
    ::tokio::task::spawn_blocking(move || server.stop(within)).await.unwrap_or(false)
}

async fn accept<M, S>(
    server: &Server<M>,
    mut poll_next: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>> + Send,
) -> io::Result<()>
where
    M: Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (end, mut ended) = ::tokio::sync::oneshot::channel::<()>();
    let hub = server.shared().hub();
    hub.at_end(move || drop(end));
    // Closed when all tasks have dropped their senders.
    let (serving, mut served) = ::tokio::sync::mpsc::channel::<()>(1);
    while !hub.has_ended() {
        if hub.is_full() || !hub.is_open() {
            let _ = ::tokio::time::timeout(BACKOFF, &mut ended).await;
            continue;
        }
        let accepted = std::future::poll_fn(|cx| match Pin::new(&mut ended).poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => poll_next(cx).map(Some),
        });
        match accepted.await {
            None => break,
            Some(Ok(stream)) => {
                // At once, so that the client counts before the next one is accepted.
                let connection = server.connect_as(identity(&stream));
                let serving = serving.clone();
                ::tokio::spawn(async move {
                    attend(connection, stream).await;
                    drop(serving);
                });
            }
            Some(Err(error)) => {
                let _ = ::tokio::time::timeout(pause_after(error)?, &mut ended).await;
            }
        }
    }
    drop(serving);
    let _ = ::tokio::time::timeout(SHUTDOWN_TIMEOUT, served.recv()).await;
    Ok(())
}

async fn attend<M, S>(connection: Connection<M>, stream: S) -> CloseReason
where
    M: Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let waker = Arc::new(Mutex::new(Waker::noop().clone()));
    let to_wake = Arc::clone(&waker);
    let wake = move || {
        let waker = lock(&to_wake).clone();
        waker.wake();
    };
    let runtime = connection.shared().hub().runtime();
    // The runtime's reason is mostly that the system watches too many sockets already.
    let Ok(link) = Link::new(stream, runtime) else { return CloseReason::Client };
    connection.peer().set_owner(Arc::new(wake), link.writer());
    connection.peer().notify();
    let mut client = Client { connection, link, waker, expects_more: false };
    std::future::poll_fn(|cx| client.poll(cx)).await
}

fn identity(stream: &dyn Any) -> Identity {
    #[cfg(unix)]
    if let Some(stream) = stream.downcast_ref::<UnixStream>() {
        return Identity::of_unix(stream);
    }
    match stream.downcast_ref::<TcpStream>() {
        Some(stream) => Identity::of_tcp(stream.peer_addr().ok()),
        None => Identity::default(),
    }
}

/// A client and its stream.
struct Client<M: Send + 'static, S> {
    connection: Connection<M>,
    link: Link<S>,
    /// Wakes the task when the connection changes.
    waker: Arc<Mutex<Waker>>,
    /// Whether the last read has filled its buffer.
    expects_more: bool,
}

impl<M: Send + 'static, S: AsyncRead + AsyncWrite + Unpin + 'static> Client<M, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        lock(&self.waker).clone_from(cx.waker());
        // Commands may have waited for a late reply, which has been sent already.
        if !self.connection.state().is_at_rest {
            self.execute_pending();
        }
        for _ in 0..MAX_READS {
            let written = self.poll_write(cx);
            if matches!(written, Poll::Ready(Err(_))) {
                self.hang_up();
            }
            let state = self.connection.state();
            if let Some(reason) = state.closed {
                if written.is_pending() {
                    return Poll::Pending;
                }
                if !state.has_output {
                    self.link.close_gently();
                    return Poll::Ready(reason);
                }
                continue;
            }
            if !state.wants_input {
                // With output left, the next write fails if the client has gone.
                if written.is_pending() || self.link.poll_end(cx).is_pending() {
                    return Poll::Pending;
                }
                self.hang_up();
                continue;
            }
            if ready!(self.poll_read(cx)).is_err() {
                self.hang_up();
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn execute_pending(&self) {
        let _attention = self.connection.peer().attend();
        self.connection.execute_pending();
    }

    /// Writes the output. Returns `Pending` if some is left.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let peer = Arc::clone(self.connection.peer());
        let _attention = peer.attend();
        while self.connection.has_output() {
            let mut is_pending = false;
            self.connection.send(|bytes| match self.link.poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => written,
                Poll::Pending => {
                    is_pending = true;
                    Ok(0)
                }
            })?;
            if is_pending {
                return Poll::Pending;
            }
        }
        self.link.poll_flush(cx)
    }

    /// Reads once, and executes what has arrived. Returns `Pending` if the stream is not ready.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Most messages are small, and clearing a large buffer for each takes time.
        match self.expects_more {
            true => self.poll_read_into(cx, &mut [0; CHUNK_SIZE]),
            false => self.poll_read_into(cx, &mut [0; SMALL_CHUNK_SIZE]),
        }
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<()>> {
        let peer = Arc::clone(self.connection.peer());
        let _attention = peer.attend();
        let Received { count, descriptors } = ready!(self.link.poll_read(cx, bytes))?;
        self.expects_more = count == bytes.len();
        match &bytes[..count] {
            [] => self.connection.end_input(),
            #[cfg(unix)]
            received => self.connection.receive_with_descriptors(received, descriptors),
            #[cfg(not(unix))]
            received => {
                let _: Vec<_> = descriptors;
                self.connection.receive(received);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn hang_up(&self) {
        let mut session = self.connection.peer().session();
        session.close(CloseReason::Client);
        drop(session.take_output());
    }
}
