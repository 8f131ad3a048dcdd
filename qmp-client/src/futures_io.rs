//! The asynchronous client on streams of `futures-io`, for smol and whatever else has an executor.
//!
//! Nothing is spawned here: the driver is handed out. The timer is `async-io`'s, which works under
//! every executor.
//!
//! ```no_run
//! # async fn example() -> qmp_client::Result<()> {
//! # fn spawn<F>(_: F) {}
//! use qmp_client::futures_io::{Socket, open, over};
//! use qmp_client::{Options, Raw};
//!
//! let options = Options::new();
//! let Socket::Unix(stream) = open(&"unix:/run/vm.sock".parse()?, &options).await? else { return Ok(()) };
//! let (connecting, driver) = over(stream, &options);
//! spawn(driver);
//! let vm = connecting.await?;
//! let status: serde_json::Value = vm.execute(Raw::new("query-status")).await?;
//! # Ok(())
//! # }
//! ```

#[cfg(unix)]
use std::any::Any;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use futures_io::{AsyncRead, AsyncWrite};

use crate::address::Address;
use crate::attempts::{ATTEMPT, Attempts, check_alive};
use crate::error::Result;
#[cfg(unix)]
use crate::launch::{Launch, Started, no_pair};
use crate::machine::{Descriptor, Dialect};
#[cfg(feature = "qga")]
use crate::nonblocking::ConnectingAgent;
#[cfg(unix)]
use crate::nonblocking::Launching;
use crate::nonblocking::link::{self, Link};
use crate::nonblocking::{Connecting, start};
use crate::options::Options;

/// What drives a connection: it is to be spawned.
pub type Driver<S> = crate::nonblocking::Driver<Stream<S>, Clock>;

/// A client to be of a stream that is open, and its driver. Over an `Async<UnixStream>`
/// descriptors can be passed.
pub fn over<S>(stream: S, options: &Options) -> (Connecting, Driver<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    start(Stream(stream), Clock::default(), options, Dialect::Monitor)
}

/// A client to be of a program that is started with its monitor connected to it alone, and its
/// driver.
///
/// # Errors
/// [`Error::Launch`](crate::Error::Launch), if it does not start.
#[cfg(unix)]
pub fn launch(program: Launch) -> Result<(Launching, Driver<Async<UnixStream>>)> {
    let Started { stream, process, options } = program.spawn()?;
    let (connecting, driver) = over(Async::new(stream).map_err(no_pair)?, &options);
    Ok((Launching::new(connecting, process)?, driver))
}

/// A guest agent's client to be of a stream that is open, and its driver.
#[cfg(feature = "qga")]
pub fn agent_over<S>(stream: S, options: &Options) -> (ConnectingAgent, Driver<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (connecting, driver) = start(Stream(stream), Clock::default(), options, Dialect::Agent);
    (ConnectingAgent(connecting), driver)
}

/// A connected socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Socket {
    /// A Unix socket.
    #[cfg(unix)]
    Unix(Async<UnixStream>),
    /// A TCP connection.
    Tcp(Async<TcpStream>),
}

/// Connects to this address; again and again, if the options say so. Give the stream to [`over`].
/// The name of a TCP host is looked up on the calling thread.
///
/// # Errors
/// Nobody listens there, and the deadline passes.
pub async fn open(address: &Address, options: &Options) -> Result<Socket> {
    open_to_child(address, options, || Ok(None)).await
}

/// [`open`] for the socket of a process that is starting: it fails at once if `try_wait` says that
/// this has ended.
///
/// # Errors
/// Those of [`open`], and [`Error::Launch`](crate::Error::Launch).
pub async fn open_to_child(
    address: &Address,
    options: &Options,
    mut try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>,
) -> Result<Socket> {
    let mut attempts = Attempts::new(address, options, Instant::now());
    loop {
        let left = attempts.left(Instant::now());
        let error = match timeout(left.unwrap_or(ATTEMPT), attempt(address)).await {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        check_alive("the process", &mut try_wait)?;
        Timer::after(attempts.failed(error, left)?).await;
    }
}

async fn timeout<T>(
    within: Duration,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let (mut future, mut timer) = (pin!(future), Timer::after(within));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending => {
            ready!(Pin::new(&mut timer).poll(cx));
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        }
        ready => ready,
    })
    .await
}

async fn attempt(address: &Address) -> io::Result<Socket> {
    match address {
        #[cfg(unix)]
        Address::Unix(path) => {
            let path = crate::socket::SocketPath::new(path)?;
            Ok(Socket::Unix(Async::<UnixStream>::connect(path.as_path()).await?))
        }
        #[cfg(unix)]
        Address::Abstract(name) => {
            Ok(Socket::Unix(Async::new(crate::socket::connect_abstract(name)?)?))
        }
        Address::Tcp { host, port } => {
            let host = if host.is_empty() { "localhost" } else { host };
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
            for address in (host, *port).to_socket_addrs()? {
                match Async::<TcpStream>::connect(address).await {
                    Ok(stream) => {
                        // A command is one write, and it is to leave at once.
                        stream.get_ref().set_nodelay(true)?;
                        return Ok(Socket::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        #[cfg(not(unix))]
        _ => Err(crate::attempts::no_unix_sockets()),
    }
}

/// A stream of `futures-io`.
#[derive(Debug)]
pub struct Stream<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Stream<S> {
    #[cfg(unix)]
    fn unix(&self) -> Option<&Async<UnixStream>> {
        (&self.0 as &dyn Any).downcast_ref()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Link for Stream<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    #[cfg(unix)]
    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        descriptors: &[Descriptor],
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = self.unix() else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        loop {
            match crate::socket::send_with_descriptors(socket, bytes, descriptors) {
                Err(rustix::io::Errno::AGAIN) => ready!(socket.poll_writable(cx))?,
                sent => return Poll::Ready(Ok(sent?)),
            }
        }
    }

    #[cfg(not(unix))]
    fn poll_write_with_descriptors(
        &mut self,
        _: &mut Context<'_>,
        _: &[u8],
        _: &[Descriptor],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn passes_descriptors(&self) -> bool {
        #[cfg(unix)]
        return self.unix().is_some();
        #[cfg(not(unix))]
        false
    }

    fn has_arrived(&self) -> bool {
        // A read asks the system every time: what it does not know of has not arrived.
        false
    }
}

/// The timer of `async-io`.
#[derive(Debug, Default)]
pub struct Clock {
    timer: Option<(Instant, Timer)>,
}

impl link::Clock for Clock {
    fn now() -> Instant {
        Instant::now()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        loop {
            // One that fires earlier is left as it is: calls come and go, each with a later
            // deadline than the one before, and few deadlines ever pass.
            let (set, timer) = match &mut self.timer {
                Some((set, timer)) if *set <= at => (*set, timer),
                timer => (at, &mut timer.insert((at, Timer::at(at))).1),
            };
            ready!(Pin::new(timer).poll(cx));
            self.timer = None;
            if set >= at {
                return Poll::Ready(());
            }
        }
    }
}
