//! The asynchronous client on tokio.
//!
//! Most programs only need [`Client::connect`], which spawns the driver. The functions of this
//! module return the driver instead, for programs that spawn it elsewhere, poll it beside something
//! else, or drop it.
//!
//! The runtime needs its time driver (`enable_time`), and its I/O driver for sockets.
//!
//! The driver is a task, and closes the socket. On a current-thread runtime, which polls its tasks
//! only inside of `block_on`, the socket stays open after the last handle has been dropped, or
//! [`close`](Client::close) has been called, until the runtime is polled again or dropped. Another
//! client of the same monitor must wait until then.

use std::any::Any;
use std::io;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::{TcpStream, tcp};
use ::tokio::time::{Sleep, sleep, sleep_until, timeout};
#[cfg(unix)]
use ::tokio::{
    io::Interest,
    net::{UnixStream, unix},
};

use crate::address::{Address, ToAddress};
use crate::endpoint;
use crate::error::Result;
use crate::nonblocking::{self, Client, Connecting};
use crate::options::Options;
use crate::resolve::Lookup;
use crate::runtime::{self, Link};

/// The driver of a connection on tokio, to be spawned.
pub type Driver<S> = crate::nonblocking::Driver<Stream<S>, Clock>;

/// The constructors that need tokio.
impl Client {
    /// Connects to a monitor with the default [`Options`], and spawns the driver on the current
    /// tokio runtime. The socket is closed by that task: on a current-thread runtime, not before the
    /// runtime is polled again after the last handle has been dropped.
    ///
    /// ```no_run
    /// # async fn example() -> qmp_client::Result<()> {
    /// use qmp_client::Client;
    ///
    /// let local = Client::connect("unix:/run/vm.sock").await?;
    /// let remote = Client::connect("tcp:vm.example.org:4444").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The address is invalid, no server listens there, or the server is not a QMP server.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(address: impl ToAddress) -> Result<Self> {
        Self::connect_with(address, &Options::new()).await
    }

    /// Connects to a monitor, and spawns the driver on the current tokio runtime.
    ///
    /// ```no_run
    /// # async fn example() -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::{Client, Options};
    ///
    /// // QEMU may still be starting.
    /// let options = Options::new().wait_for_socket(Duration::from_secs(10));
    /// let vm = Client::connect_with("unix:/run/vm.sock", &options).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect); and a deadline passes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect_with(address: impl ToAddress, options: &Options) -> Result<Self> {
        let address = address.to_address()?;
        let options = &options.at(&address);
        let begin = <Clock as runtime::Clock>::now();
        spawn_over(open(&address, options).await?, options, begin).await
    }

    /// Connects to the monitor that a process is expected to open, and spawns the driver on the
    /// current tokio runtime. If the process ends while this waits for the socket, it fails at once.
    ///
    /// `try_wait` returns the exit status of the process if it has ended, as the processes of tokio
    /// and of the standard library do:
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
    /// let options = Options::new().wait_for_socket(Duration::from_secs(10));
    /// let vm = Client::connect_to_child("unix:/run/vm.sock", &options, || qemu.try_wait()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`connect_with`](Self::connect_with), and [`Error::Launch`](crate::Error::Launch).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect_to_child(
        address: impl ToAddress,
        options: &Options,
        try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>,
    ) -> Result<Self> {
        let address = address.to_address()?;
        let options = &options.at(&address);
        let begin = <Clock as runtime::Clock>::now();
        spawn_over(open_to_child(&address, options, try_wait).await?, options, begin).await
    }

    /// Creates a client of an open stream, spawns its driver on the current tokio runtime, and waits
    /// until the negotiation is complete. Over a [`UnixStream`], file descriptors can be passed.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::{Client, Options};
    ///
    /// // This QEMU connects by itself: `-qmp tcp:127.0.0.1:4444`.
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:4444").await?;
    /// let (stream, _) = listener.accept().await?;
    /// let vm = Client::over(stream, &Options::new()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The peer is not a QMP server, or the deadline passes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn over<S>(stream: S, options: &Options) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (connecting, driver) = over(stream, options);
        ::tokio::spawn(driver);
        connecting.await
    }
}

/// Creates a client of a socket that has just been opened, after attempts since `begin`, and spawns its
/// driver. As this is neither generic nor `async`, this crate contains the driver, and a program that
/// connects to an address does not compile it. A driver of one type serves both kinds of sockets.
fn spawn_over(socket: Socket, options: &Options, begin: Instant) -> Connecting {
    let stream = Stream::<TcpStream>(match socket {
        #[cfg(unix)]
        Socket::Unix(stream) => Halves::of_unix(stream),
        Socket::Tcp(stream) => Halves::of_tcp(stream),
    });
    let begin = options.greeting_begin(begin, <Clock as runtime::Clock>::now());
    let (connecting, driver) = nonblocking::start(stream, Clock::default(), options, begin);
    ::tokio::spawn(driver);
    connecting
}

/// Creates a client of an open stream, and its driver.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_client::Options;
///
/// let stream = tokio::net::TcpStream::connect("127.0.0.1:4444").await?;
/// let (connecting, driver) = qmp_client::tokio::over(stream, &Options::new());
/// tokio::spawn(driver);
/// let vm = connecting.await?;
/// # Ok(())
/// # }
/// ```
pub fn over<S>(stream: S, options: &Options) -> (Connecting, Driver<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    runtime::start(Stream::new(stream), Clock::default(), options)
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

/// Connects to an address, with repeated attempts if the [options](Options::wait_for_socket) say so.
/// Pass the stream to [`over`].
///
/// ```no_run
/// # async fn example() -> qmp_client::Result<()> {
/// use qmp_client::Options;
/// use qmp_client::tokio::{Socket, open, over};
///
/// let options = Options::new();
/// if let Socket::Tcp(stream) = open(&"tcp:127.0.0.1:4444".parse()?, &options).await? {
///     let (connecting, driver) = over(stream, &options);
///     tokio::spawn(driver);
///     let vm = connecting.await?;
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
/// use qmp_client::tokio::open_to_child;
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
    runtime::connect::<_, Clock>(address, options, attempt, sleep, try_wait).await
}

async fn attempt(address: &Address, within: Duration) -> io::Result<Socket> {
    // A Unix socket is connected to without waiting.
    #[cfg(unix)]
    if let Some(stream) = endpoint::unix_stream(address)? {
        return UnixStream::from_std(stream).map(Socket::Unix);
    }
    let (host, port) = endpoint::host_and_port(address)?;
    timeout(within, attempt_tcp(host, port)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

async fn attempt_tcp(host: &str, port: u16) -> io::Result<Socket> {
    let mut last = endpoint::no_address();
    // Not by tokio: a runtime that shuts down would wait until the look-up ends.
    for address in Lookup::new(host, port)?.await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A command is one write, and is to be sent at once.
                stream.set_nodelay(true)?;
                return Ok(Socket::Tcp(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A stream of tokio, as a [`Link`]. A socket is split, so that callers can write to it, too.
#[derive(Debug)]
pub struct Stream<S>(Halves<S>);

#[derive(Debug)]
enum Halves<S> {
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf, Arc<unix::OwnedWriteHalf>),
    Tcp(tcp::OwnedReadHalf, Arc<tcp::OwnedWriteHalf>),
    /// A stream of another type; always there.
    Other(Option<S>),
}

impl<S> Halves<S> {
    #[cfg(unix)]
    fn of_unix(socket: UnixStream) -> Self {
        let (read, write) = socket.into_split();
        Self::Unix(read, Arc::new(write))
    }

    fn of_tcp(socket: TcpStream) -> Self {
        let (read, write) = socket.into_split();
        Self::Tcp(read, Arc::new(write))
    }
}

impl<S: 'static> Stream<S> {
    fn new(stream: S) -> Self {
        let mut stream = Some(stream);
        #[cfg(unix)]
        if let Some(socket) = take_as::<UnixStream, S>(&mut stream) {
            return Self(Halves::of_unix(socket));
        }
        if let Some(socket) = take_as::<TcpStream, S>(&mut stream) {
            return Self(Halves::of_tcp(socket));
        }
        Self(Halves::Other(stream))
    }
}

/// Takes a stream if it is of this type.
fn take_as<T: 'static, S: 'static>(stream: &mut Option<S>) -> Option<T> {
    (stream as &mut dyn Any).downcast_mut::<Option<T>>()?.take()
}

/// Writes as soon as the socket accepts a byte.
macro_rules! poll_socket {
    ($socket:expr, $cx:expr, $write:expr) => {
        loop {
            ready!($socket.poll_write_ready($cx))?;
            match $write {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    };
}

fn no_stream<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Link for Stream<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(match &mut self.0 {
            #[cfg(unix)]
            Halves::Unix(read, _) => Pin::new(read).poll_read(cx, &mut buffer),
            Halves::Tcp(read, _) => Pin::new(read).poll_read(cx, &mut buffer),
            Halves::Other(Some(stream)) => Pin::new(stream).poll_read(cx, &mut buffer),
            Halves::Other(None) => no_stream(),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            #[cfg(unix)]
            Halves::Unix(_, write) => {
                poll_socket!(write.as_ref().as_ref(), cx, write.try_write(bytes))
            }
            Halves::Tcp(_, write) => {
                poll_socket!(write.as_ref().as_ref(), cx, write.try_write(bytes))
            }
            Halves::Other(Some(stream)) => Pin::new(stream).poll_write(cx, bytes),
            Halves::Other(None) => no_stream(),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Halves::Other(Some(stream)) => Pin::new(stream).poll_flush(cx),
            // A socket has nothing to flush.
            _ => Poll::Ready(Ok(())),
        }
    }

    #[cfg(unix)]
    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        descriptors: &[qmp_protocol::Descriptor],
    ) -> Poll<io::Result<usize>> {
        let Halves::Unix(_, write) = &self.0 else { return no_stream() };
        let socket: &UnixStream = write.as_ref().as_ref();
        poll_socket!(
            socket,
            cx,
            socket.try_io(Interest::WRITABLE, || {
                Ok(crate::socket::send_with_descriptors(socket, bytes, descriptors)?)
            })
        )
    }

    #[cfg(unix)]
    fn passes_descriptors(&self) -> bool {
        matches!(self.0, Halves::Unix(..))
    }

    fn sender(&self) -> Option<Arc<dyn runtime::Sender>> {
        match &self.0 {
            #[cfg(unix)]
            Halves::Unix(_, write) => Some(Arc::clone(write) as Arc<dyn runtime::Sender>),
            Halves::Tcp(_, write) => Some(Arc::clone(write) as Arc<dyn runtime::Sender>),
            Halves::Other(_) => None,
        }
    }

    #[cfg(unix)]
    fn has_arrived(&self) -> bool {
        match &self.0 {
            Halves::Unix(read, _) => crate::socket::has_arrived(AsRef::<UnixStream>::as_ref(read)),
            Halves::Tcp(read, _) => crate::socket::has_arrived(AsRef::<TcpStream>::as_ref(read)),
            Halves::Other(_) => false,
        }
    }
}

#[cfg(unix)]
impl runtime::Sender for unix::OwnedWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }
}

impl runtime::Sender for tcp::OwnedWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }
}

/// The clock and the timer of tokio.
#[derive(Debug, Default)]
pub struct Clock {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The waker of the task that the timer wakes.
    waker: Option<Waker>,
}

impl runtime::Clock for Clock {
    fn now() -> Instant {
        ::tokio::time::Instant::now().into_std()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = ::tokio::time::Instant::from_std(at);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        // A timer that fires earlier is left alone: calls come and go, each with a later deadline
        // than the one before, and few deadlines ever pass.
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
            self.waker = None;
        }
        // The task is woken when the timer fires, and the timer is not polled before.
        let is_set = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_set && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        loop {
            // A task that has used up its budget would be sent away before the timer is set, as if it
            // had been.
            ready!(pin!(::tokio::task::unconstrained(sleep.as_mut())).poll(cx));
            if sleep.deadline() >= at {
                (self.sleep, self.waker) = (None, None);
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }

    /// A task that wakes itself is polled many times before the one that a runtime of a single thread
    /// blocks on, whose events would pile up.
    fn yield_now(&mut self, cx: &mut Context<'_>) {
        let yielded = pin!(::tokio::task::yield_now()).poll(cx);
        if yielded.is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
