//! The asynchronous client on streams of `futures-io`, for smol and other executors.
//!
//! Nothing is spawned here: the driver is returned. The timer is that of `async-io`, which works
//! under every executor.
//!
//! ```no_run
//! # async fn example() -> qmp_client::Result<()> {
//! # fn spawn<F>(_: F) {}
//! use qmp_client::futures_io::{Socket, open, over};
//! use qmp_client::{Options, Raw};
//!
//! let options = Options::new();
//! let address = "unix:/run/vm.sock".parse()?;
//! let Socket::Unix(stream) = open(&address, &options).await? else { return Ok(()) };
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
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use futures_io::{AsyncRead, AsyncWrite};

use crate::address::Address;
use crate::endpoint;
use crate::error::Result;
use crate::nonblocking::Connecting;
use crate::options::Options;
use crate::resolve::Lookup;
use crate::runtime::{self, Link};

/// The driver of a connection, to be spawned.
pub type Driver<S> = crate::nonblocking::Driver<Stream<S>, Clock>;

/// Creates a client of an open stream, and its driver. Over an `Async<UnixStream>`, file
/// descriptors can be passed.
///
/// ```no_run
/// # async fn example() -> qmp_client::Result<()> {
/// use qmp_client::Options;
/// use qmp_client::futures_io::{Socket, open, over};
///
/// let options = Options::new();
/// if let Socket::Tcp(stream) = open(&"tcp:127.0.0.1:4444".parse()?, &options).await? {
///     let (connecting, driver) = over(stream, &options);
///     // Give the driver to an executor, such as `smol::spawn(driver).detach()`.
/// #   drop(driver);
///     let vm = connecting.await?;
/// }
/// # Ok(())
/// # }
/// ```
pub fn over<S>(stream: S, options: &Options) -> (Connecting, Driver<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    runtime::start(Stream(stream), Clock::default(), options)
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

/// Connects to an address, with repeated attempts if the [options](Options::wait_for_socket) say so.
/// Pass the stream to [`over`].
///
/// ```
/// use qmp_client::Options;
/// use qmp_client::futures_io::{Socket, open, over};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let options = Options::new();
/// if let Socket::Tcp(stream) = open(&"tcp:127.0.0.1:4444".parse()?, &options).await? {
///     // The driver is a future, which the program's executor runs.
///     let (connecting, driver) = over(stream, &options);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// No server listens there, or the deadline passes.
pub async fn open(address: &Address, options: &Options) -> Result<Socket> {
    open_to_child(address, options, || Ok(None)).await
}

/// Does the same as [`open`] for a socket that a process is expected to open: fails at once if
/// `try_wait` says that the process has ended.
///
/// ```
/// use qmp_client::Options;
/// use qmp_client::futures_io::open_to_child;
///
/// # async fn example(mut qemu: std::process::Child) -> Result<(), Box<dyn std::error::Error>> {
/// let address = "unix:/run/vm.sock".parse()?;
/// let stream = open_to_child(&address, &Options::new(), || qemu.try_wait()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`open`], and [`Error::Launch`](crate::Error::Launch).
pub async fn open_to_child(
    address: &Address,
    options: &Options,
    try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>,
) -> Result<Socket> {
    let attempt = async |address: &Address, within| timeout(within, attempt(address)).await;
    let pause = async |pause: Duration| {
        Timer::after(pause).await;
    };
    runtime::connect::<_, Clock>(address, options, attempt, pause, try_wait).await
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
    #[cfg(unix)]
    if let Some(stream) = endpoint::unix_stream(address)? {
        return Async::new(stream).map(Socket::Unix);
    }
    let (host, port) = endpoint::host_and_port(address)?;
    let mut last = endpoint::no_address();
    for address in Lookup::new(host, port)?.await? {
        match Async::<TcpStream>::connect(address).await {
            Ok(stream) => {
                // A command is one write, and is to be sent at once.
                stream.get_ref().set_nodelay(true)?;
                return Ok(Socket::Tcp(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A stream of `futures-io`, as a [`Link`].
#[derive(Debug)]
pub struct Stream<S>(S);

#[cfg(unix)]
impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Stream<S> {
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
        descriptors: &[qmp_protocol::Descriptor],
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

    #[cfg(unix)]
    fn passes_descriptors(&self) -> bool {
        self.unix().is_some()
    }
}

/// The clock of the standard library and the timer of `async-io`.
#[derive(Debug, Default)]
pub struct Clock {
    timer: Option<(Instant, Timer)>,
}

impl runtime::Clock for Clock {
    fn now() -> Instant {
        Instant::now()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        loop {
            // A timer that fires earlier is left alone: calls come and go, each with a later
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
