//! The asynchronous client on tokio.
//!
//! [`Client::connect`] is all that most programs need: it spawns the driver. The functions here
//! hand the driver out, for whoever wants to spawn it elsewhere, poll it beside something else,
//! or drop it.
//!
//! The runtime needs its time driver (`enable_time`), and its I/O driver for sockets.

#[cfg(unix)]
use std::any::Any;
use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::TcpStream;
use ::tokio::time::{Sleep, sleep, sleep_until};
#[cfg(unix)]
use ::tokio::{io::Interest, net::UnixStream};

use crate::address::Address;
use crate::attempts::{ATTEMPT, Attempts, check_alive};
use crate::error::Result;
#[cfg(unix)]
use crate::launch::{Launch, Started, no_pair};
use crate::machine::{Descriptor, Dialect};
use crate::nonblocking::link::{self, Link};
#[cfg(feature = "qga")]
use crate::nonblocking::{Agent, ConnectingAgent};
use crate::nonblocking::{Client, Connecting, start};
#[cfg(unix)]
use crate::nonblocking::{Launched, Launching};
use crate::options::Options;

/// What drives a connection: it is to be spawned.
pub type Driver<S> = crate::nonblocking::Driver<Stream<S>, Clock>;

impl Client {
    /// Connects to the monitor at this address, written as QEMU writes it (see [`Address`]), with
    /// the default [`Options`], and spawns the driver on tokio's current runtime.
    ///
    /// # Errors
    /// The text is no address, nobody listens there, or who does is no QMP server.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(address: &str) -> Result<Self> {
        Self::connect_with(address, &Options::new()).await
    }

    /// [`connect`](Self::connect) with options.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect); and a deadline passes.
    pub async fn connect_with(address: &str, options: &Options) -> Result<Self> {
        Self::connect_to(&address.parse()?, options).await
    }

    /// [`connect`](Self::connect) to an address that is one already.
    ///
    /// # Errors
    /// Those of [`connect_with`](Self::connect_with), but for the text.
    pub async fn connect_to(address: &Address, options: &Options) -> Result<Self> {
        Self::over_socket(open(address, options).await?, options).await
    }

    async fn over_socket(socket: Socket, options: &Options) -> Result<Self> {
        match socket {
            #[cfg(unix)]
            Socket::Unix(stream) => Self::over(stream, options).await,
            Socket::Tcp(stream) => Self::over(stream, options).await,
        }
    }

    /// Connects to the monitor that a process is going to open. Waiting for the socket, it fails
    /// at once if the process ends. `try_wait` asks whether it has, the way that tokio's processes
    /// and those of the standard library do:
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::{Client, Options};
    ///
    /// let mut qemu = std::process::Command::new("qemu-system-x86_64")
    ///     .args(["-display", "none", "-qmp", "unix:/run/vm.sock,server=on,wait=off"])
    ///     .spawn()?;
    /// let (address, options) =
    ///     ("unix:/run/vm.sock".parse()?, Options::new().wait_for_socket(Duration::from_secs(10)));
    /// let vm = Client::connect_to_child(&address, &options, || qemu.try_wait()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`connect_with`](Self::connect_with), and [`Error::Launch`](crate::Error::Launch).
    pub async fn connect_to_child(
        address: &Address,
        options: &Options,
        try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>,
    ) -> Result<Self> {
        Self::over_socket(open_to_child(address, options, try_wait).await?, options).await
    }

    /// Starts a program with its monitor connected to this client alone, spawns the driver on
    /// tokio's current runtime, and waits for greeting and negotiation.
    ///
    /// # Errors
    /// [`Error::Launch`](crate::Error::Launch), with what the program wrote to its standard error,
    /// if it does not start, ends first or does not greet in time; and those of
    /// [`over`](Self::over).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills the program.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(unix)]
    pub async fn launch(program: Launch) -> Result<Launched> {
        let (launching, driver) = launch(program)?;
        ::tokio::spawn(driver);
        launching.await
    }

    /// Makes a client of a stream that is open, spawns its driver on tokio's current runtime, and
    /// waits for greeting and negotiation. Over a [`UnixStream`] descriptors can be passed.
    ///
    /// # Errors
    /// The peer is no QMP server, or the deadline passes.
    pub async fn over<S>(stream: S, options: &Options) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (connecting, driver) = over(stream, options);
        ::tokio::spawn(driver);
        connecting.await
    }
}

#[cfg(feature = "qga")]
impl Agent {
    /// Connects to the guest agent at this address, written as QEMU writes it (see [`Address`]),
    /// with the default [`Options`], spawns the driver on tokio's current runtime, and waits until
    /// the agent answers.
    ///
    /// # Errors
    /// The text is no address, nobody listens there, or no agent answers in time.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(address: &str) -> Result<Self> {
        Self::connect_with(address, &Options::new()).await
    }

    /// [`connect`](Self::connect) with options.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub async fn connect_with(address: &str, options: &Options) -> Result<Self> {
        Self::connect_to(&address.parse()?, options).await
    }

    /// [`connect`](Self::connect) to an address that is one already.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), but for the text.
    pub async fn connect_to(address: &Address, options: &Options) -> Result<Self> {
        match open(address, options).await? {
            #[cfg(unix)]
            Socket::Unix(stream) => Self::over(stream, options).await,
            Socket::Tcp(stream) => Self::over(stream, options).await,
        }
    }

    /// Makes a client of a stream that is open, spawns its driver, and waits until the agent
    /// answers.
    ///
    /// # Errors
    /// No agent answers in time, or the connection ends.
    pub async fn over<S>(stream: S, options: &Options) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (connecting, driver) = agent_over(stream, options);
        ::tokio::spawn(driver);
        connecting.await
    }
}

/// A client to be of a stream that is open, and its driver.
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
///
/// # Panics
/// Outside a tokio runtime.
#[cfg(unix)]
pub fn launch(program: Launch) -> Result<(Launching, Driver<UnixStream>)> {
    let Started { stream, process, options } = program.spawn()?;
    let nonblocking = stream.set_nonblocking(true);
    let stream = nonblocking.and_then(|()| UnixStream::from_std(stream)).map_err(no_pair)?;
    let (connecting, driver) = over(stream, &options);
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
    Unix(UnixStream),
    /// A TCP connection.
    Tcp(TcpStream),
}

/// Connects to this address; again and again, if the options say so. Give the stream to [`over`].
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
    let now = <Clock as link::Clock>::now;
    let mut attempts = Attempts::new(address, options, now());
    loop {
        let left = attempts.left(now());
        let attempt = ::tokio::time::timeout(left.unwrap_or(ATTEMPT), attempt(address)).await;
        let error = match attempt {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        check_alive("the process", &mut try_wait)?;
        sleep(attempts.failed(error, left)?).await;
    }
}

async fn attempt(address: &Address) -> io::Result<Socket> {
    Ok(match address {
        #[cfg(unix)]
        Address::Unix(path) => {
            let path = crate::socket::SocketPath::new(path)?;
            Socket::Unix(UnixStream::connect(path.as_path()).await?)
        }
        #[cfg(unix)]
        Address::Abstract(name) => {
            let stream = crate::socket::connect_abstract(name)?;
            stream.set_nonblocking(true)?;
            Socket::Unix(UnixStream::from_std(stream)?)
        }
        Address::Tcp { host, port } => {
            let host = if host.is_empty() { "localhost" } else { host };
            let stream = TcpStream::connect((host, *port)).await?;
            // A command is one write, and it is to leave at once.
            stream.set_nodelay(true)?;
            Socket::Tcp(stream)
        }
        #[cfg(not(unix))]
        _ => return Err(crate::attempts::no_unix_sockets()),
    })
}

/// A stream of tokio's.
#[derive(Debug)]
pub struct Stream<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Stream<S> {
    #[cfg(unix)]
    fn unix(&self) -> Option<&UnixStream> {
        (&self.0 as &dyn Any).downcast_ref()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Link for Stream<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
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
            ready!(socket.poll_write_ready(cx))?;
            let sent = socket.try_io(Interest::WRITABLE, || {
                Ok(crate::socket::send_with_descriptors(socket, bytes, descriptors)?)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
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
        #[cfg(unix)]
        if let Some(socket) = self.unix() {
            return crate::socket::has_arrived(socket);
        }
        #[cfg(unix)]
        if let Some(socket) = (&self.0 as &dyn Any).downcast_ref::<TcpStream>() {
            return crate::socket::has_arrived(socket);
        }
        false
    }
}

/// tokio's clock and timer.
#[derive(Debug, Default)]
pub struct Clock {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl link::Clock for Clock {
    fn now() -> Instant {
        ::tokio::time::Instant::now().into_std()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = ::tokio::time::Instant::from_std(at);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        // One that fires earlier is left as it is: calls come and go, each with a later deadline
        // than the one before, and few deadlines ever pass.
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= at {
                self.sleep = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}
