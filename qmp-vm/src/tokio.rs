//! The asynchronous client on tokio: connecting and launching.
//!
//! [`Launch::start`](crate::Launch::start) spawns the driver. [`launch`] returns it, for programs
//! that spawn it elsewhere, poll it themselves, or drop it.
//!
//! [`supervise`] connects, and connects again whenever the connection ends; see the module
//! [`supervise`](crate::supervise).

use std::io;
use std::process::ExitStatus;

use ::tokio::io::{AsyncRead, AsyncWrite};
use ::tokio::net::TcpListener;
#[cfg(unix)]
use ::tokio::net::{UnixListener, UnixStream};
#[cfg(unix)]
use qmp_client::Connecting;
use qmp_client::tokio::{Clock, Socket, open, over as client_over};
use qmp_client::{Address, Client, Options, Result, ToAddress};

use crate::connect::{Connect, ConnectOver};
#[cfg(unix)]
use crate::launch::{
    Launch, Launched, Launching,
    started::{Started, no_socket},
};
use crate::supervise::{Opened, Source, Supervised, Supervision, no_stream};

#[cfg(unix)]
pub use qmp_client::tokio::Driver;

/// Starts a program with its monitor connected to this program alone, and returns the client to be
/// and its driver.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::Launch;
///
/// let program = Launch::new("qemu-system-x86_64").args(["-display", "none"]);
/// let (launching, driver) = qmp_vm::tokio::launch(program)?;
/// tokio::spawn(driver);
/// let vm = launching.await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Launch`](qmp_client::Error::Launch): the program does not start.
///
/// # Panics
/// Outside of a tokio runtime.
#[cfg(unix)]
pub fn launch(program: Launch) -> Result<(Launching, Driver<UnixStream>)> {
    program.start_with(over)
}

#[cfg(unix)]
fn over(
    stream: std::os::unix::net::UnixStream,
    options: &Options,
) -> io::Result<(Connecting, Driver<UnixStream>)> {
    stream.set_nonblocking(true)?;
    Ok(qmp_client::tokio::over(UnixStream::from_std(stream)?, options))
}

/// Connects to a monitor, and connects again whenever the connection ends. This returns at once; the
/// keeper is a task of the current tokio runtime.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_client::qmp::commands::QueryStatus;
/// use qmp_vm::supervise::Supervision;
///
/// let vm = qmp_vm::tokio::supervise("unix:/run/vm.sock", Supervision::new())?;
/// println!("{}", vm.execute(QueryStatus::new()).await?.status);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The address is invalid.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn supervise(address: impl ToAddress, policy: Supervision) -> Result<Supervised<Client>> {
    Ok(supervise_source(dial(address)?, policy))
}

/// Does the same with any source: an [address](dial), a [listener](accept_unix), or a
/// [function](connector).
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::supervise::Supervision;
/// use qmp_vm::tokio::{dial, supervise_source};
///
/// let vm = supervise_source(dial("unix:/run/web1.sock")?, Supervision::new());
/// println!("{}", vm.name());
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// Outside of a tokio runtime.
pub fn supervise_source(source: Source, policy: Supervision) -> Supervised<Client> {
    let (supervised, keeper) = crate::supervise::start(source, policy, Clock::default());
    ::tokio::spawn(keeper);
    supervised
}

/// Returns the source that connects to an address.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::supervise::Supervision;
/// use qmp_vm::tokio::{dial, supervise_source};
///
/// let vm = supervise_source(dial("unix:/run/web1.sock")?, Supervision::new());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The address is invalid.
pub fn dial(address: impl ToAddress) -> Result<Source> {
    let address = address.to_address()?;
    let name = address.to_string();
    Ok(Source::new(name, move |options| {
        let address = address.clone();
        async move {
            Ok(match open(&address, &options).await? {
                #[cfg(unix)]
                Socket::Unix(stream) => opened_unix(stream, &options),
                Socket::Tcp(stream) => opened(stream, &options),
                _ => {
                    return Err(no_stream(&address.to_string(), io::ErrorKind::Unsupported.into()));
                }
            })
        }
    }))
}

/// Returns the source that waits until QEMU connects, as it does with `-chardev socket,path=PATH,`
/// `reconnect=1` (`reconnect-ms=1000` since QEMU 9.2) and without `server=on`. The socket serves one
/// QEMU.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::supervise::Supervision;
/// use qmp_vm::tokio::{accept_unix, supervise_source};
/// use tokio::net::UnixListener;
///
/// let source = accept_unix("web1", UnixListener::bind("/run/web1.sock")?);
/// let vm = supervise_source(source, Supervision::new());
/// # Ok(())
/// # }
/// ```
#[cfg(unix)]
pub fn accept_unix(name: &str, listener: UnixListener) -> Source {
    let (label, listener) = (name.to_owned(), std::sync::Arc::new(listener));
    let accept = move |options| {
        let (label, listener) = (label.clone(), listener.clone());
        async move {
            match listener.accept().await {
                Ok((stream, _)) => Ok(opened_unix(stream, &options)),
                Err(error) => Err(no_stream(&label, error)),
            }
        }
    };
    Source::new(name, accept).waits()
}

/// Does the same as [`accept_unix`] with a TCP port.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::supervise::Supervision;
/// use qmp_vm::tokio::{accept_tcp, supervise_source};
/// use tokio::net::TcpListener;
///
/// // QEMU connects by itself: `-chardev socket,...,server=off,reconnect-ms=1000`.
/// let source = accept_tcp("web1", TcpListener::bind("127.0.0.1:4444").await?);
/// let vm = supervise_source(source, Supervision::new());
/// # Ok(())
/// # }
/// ```
pub fn accept_tcp(name: &str, listener: TcpListener) -> Source {
    let (label, listener) = (name.to_owned(), std::sync::Arc::new(listener));
    let accept = move |options| {
        let (label, listener) = (label.clone(), listener.clone());
        async move {
            let accepted = listener.accept().await.and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(stream)
            });
            accepted
                .map(|stream| opened(stream, &options))
                .map_err(|error| no_stream(&label, error))
        }
    };
    Source::new(name, accept).waits()
}

/// Returns the source that connects by a function of the program, with a name for errors. Over a
/// [`UnixStream`], file descriptors can be passed.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::supervise::Supervision;
/// use qmp_vm::tokio::{connector, supervise_source};
/// use tokio::net::TcpStream;
///
/// let source = connector("web1", || TcpStream::connect("10.0.0.7:4444"));
/// let vm = supervise_source(source, Supervision::new());
/// # Ok(())
/// # }
/// ```
pub fn connector<S, F>(name: &str, mut connect: impl FnMut() -> F + Send + 'static) -> Source
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let label = name.to_owned();
    Source::new(name, move |options| {
        let (label, stream) = (label.clone(), connect());
        async move {
            match stream.await {
                Ok(stream) => Ok(opened(stream, &options)),
                Err(error) => Err(no_stream(&label, error)),
            }
        }
    })
}

#[cfg(unix)]
fn opened_unix(stream: UnixStream, options: &Options) -> Opened {
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    opened(stream, options).peer(peer.and_then(|pid| pid.try_into().ok()))
}

fn opened<S>(stream: S, options: &Options) -> Opened
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (connecting, driver) = client_over(stream, options);
    Opened::new(connecting, driver)
}

impl Connect for Client {
    async fn connect_to(address: Address, options: Options) -> Result<Self> {
        Self::connect_with(&address, &options).await
    }

    async fn connect_to_child(
        address: Address,
        options: Options,
        try_wait: impl FnMut() -> io::Result<Option<ExitStatus>> + Send,
    ) -> Result<Self> {
        Self::connect_to_child(&address, &options, try_wait).await
    }

    #[cfg(unix)]
    async fn over_unix(stream: std::os::unix::net::UnixStream, options: Options) -> Result<Self> {
        let (connecting, driver) = over(stream, &options).map_err(no_socket)?;
        ::tokio::spawn(driver);
        connecting.await
    }

    #[cfg(unix)]
    async fn greet(started: Started) -> Result<Launched<Self>> {
        let (launching, driver) = started.connect_with(over)?;
        ::tokio::spawn(driver);
        launching.await
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ConnectOver<S> for Client {
    async fn connect_over(stream: S, options: Options) -> Result<Self> {
        Self::over(stream, &options).await
    }
}
