//! The asynchronous client on streams of `futures-io`: launching.
//!
//! ```no_run
//! # async fn example() -> qmp_client::Result<()> {
//! # fn spawn<F>(_: F) {}
//! use qmp_vm::{Launch, futures_io};
//!
//! let qemu = Launch::new("qemu-system-x86_64").args(["-M", "none", "-display", "none"]);
//! let (launching, driver) = futures_io::launch(qemu)?;
//! spawn(driver);
//! let vm = launching.await?;
//! println!("{}", vm.version());
//! vm.quit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`supervise`] returns a connection that is made again whenever it ends; see the module
//! [`supervise`](crate::supervise).

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use qmp_client::futures_io::{Clock, Socket, open, over};
use qmp_client::{Client, Options, Result, ToAddress};

#[cfg(unix)]
use crate::another::{self, AnotherMonitor};
#[cfg(unix)]
use crate::launch::started::no_socket;
#[cfg(unix)]
use crate::launch::{Launch, Launching};
use crate::supervise::{Keeper, Opened, Source, Supervised, Supervision, no_stream, start};

pub use qmp_client::futures_io::Driver;

/// Starts a program with its monitor connected to this program alone, and returns the client to be
/// and its driver, which has to be spawned.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::Launch;
///
/// let program = Launch::new("qemu-system-x86_64").args(["-display", "none"]);
/// // The driver is a future, which the program's executor runs.
/// let (launching, driver) = qmp_vm::futures_io::launch(program)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Launch`](qmp_client::Error::Launch): the program does not start.
#[cfg(unix)]
pub fn launch(program: Launch) -> Result<(Launching, Driver<Async<UnixStream>>)> {
    program.start_with(|stream, options| {
        Ok(qmp_client::futures_io::over(Async::new(stream)?, options))
    })
}

/// Opens another monitor of the machine, as [`Workflows::open_monitor`](crate::Workflows::open_monitor)
/// does. `spawn` has to spawn the driver, without waiting for it.
///
/// # Errors
/// Those of [`Workflows::open_monitor`](crate::Workflows::open_monitor).
///
/// # Cancel safety
/// That of [`Workflows::open_monitor`](crate::Workflows::open_monitor).
#[cfg(unix)]
pub async fn open_monitor(
    vm: &Client,
    spawn: impl FnOnce(Driver<Async<UnixStream>>) + Send,
) -> Result<AnotherMonitor> {
    let connect = |stream, options| async move {
        let stream = Async::new(stream).map_err(no_socket)?;
        let (connecting, driver) = qmp_client::futures_io::over(stream, &options);
        spawn(driver);
        connecting.await
    };
    another::open(vm, connect).await
}

/// Returns a connection that is made again whenever it ends, and its keeper, which has to be spawned.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::supervise::Supervision;
///
/// // The keeper is a future, which the program's executor runs.
/// let (vm, keeper) = qmp_vm::futures_io::supervise("unix:/run/web1.sock", Supervision::new())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The address is invalid.
pub fn supervise(
    address: impl ToAddress,
    policy: Supervision,
) -> Result<(Supervised<Client>, Keeper<Clock>)> {
    Ok(supervise_source(dial(address)?, policy))
}

/// Does the same with any source: an [address](dial), a [listener](accept_unix), or a
/// [function](connector).
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::futures_io::{dial, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// let (vm, keeper) = supervise_source(dial("unix:/run/web1.sock")?, Supervision::new());
/// println!("{}", vm.name());
/// # Ok(())
/// # }
/// ```
pub fn supervise_source(
    source: Source,
    policy: Supervision,
) -> (Supervised<Client>, Keeper<Clock>) {
    start(source, policy, Clock::default())
}

/// Returns the source that connects to an address.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_vm::futures_io::{dial, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// let (vm, keeper) = supervise_source(dial("unix:/run/web1.sock")?, Supervision::new());
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
/// use async_io::Async;
/// use qmp_vm::futures_io::{accept_unix, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// let listener = Async::<std::os::unix::net::UnixListener>::bind("/run/web1.sock")?;
/// let (vm, keeper) = supervise_source(accept_unix("web1", listener), Supervision::new());
/// # Ok(())
/// # }
/// ```
#[cfg(unix)]
pub fn accept_unix(name: &str, listener: Async<UnixListener>) -> Source {
    let (label, listener) = (name.to_owned(), Arc::new(listener));
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
/// use async_io::Async;
/// use qmp_vm::futures_io::{accept_tcp, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// let listener = Async::<std::net::TcpListener>::bind(([127, 0, 0, 1], 4444))?;
/// let (vm, keeper) = supervise_source(accept_tcp("web1", listener), Supervision::new());
/// # Ok(())
/// # }
/// ```
pub fn accept_tcp(name: &str, listener: Async<TcpListener>) -> Source {
    let (label, listener) = (name.to_owned(), Arc::new(listener));
    let accept = move |options| {
        let (label, listener) = (label.clone(), listener.clone());
        async move {
            let accepted = listener.accept().await.and_then(|(stream, _)| {
                stream.get_ref().set_nodelay(true)?;
                Ok(stream)
            });
            accepted
                .map(|stream| opened(stream, &options))
                .map_err(|error| no_stream(&label, error))
        }
    };
    Source::new(name, accept).waits()
}

/// Returns the source that connects by a function of the program, with a name for errors. Over an
/// `Async<UnixStream>`, file descriptors can be passed.
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
fn opened_unix(stream: Async<UnixStream>, options: &Options) -> Opened {
    let peer = crate::supervise::peer_of(&stream);
    opened(stream, options).peer(peer)
}

fn opened<S>(stream: S, options: &Options) -> Opened
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (connecting, driver) = over(stream, options);
    Opened::new(connecting, driver)
}
