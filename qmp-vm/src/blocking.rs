//! The blocking client: connecting and launching.
//!
//! All workflows are methods of [`Client`], through [`Workflows`](crate::Workflows).
//!
//! [`supervise`] connects, and connects again whenever the connection ends; see the module
//! [`supervise`](crate::supervise).

use std::io;
#[cfg(unix)]
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use qmp_client::blocking::Client;
#[cfg(unix)]
use qmp_client::socket::{connect, connect_abstract};
#[cfg(unix)]
use qmp_client::transport::Unix;
use qmp_client::transport::{Tcp, Transport};
use qmp_client::{Address, Options, Result, ToAddress};

use crate::connect::{Connect, ConnectOver};
#[cfg(unix)]
use crate::launch::{
    launched,
    launching::explain,
    started::{Started, no_socket},
};

use crate::supervise::blocking::{Socket, start};
use crate::supervise::{Supervised, Supervision};

pub use crate::supervise::blocking::Source;

/// The guest agent's client that blocks its thread.
#[cfg(feature = "qga")]
pub type Agent = crate::agent::Agent<Client>;

/// A virtual machine that was launched here, and the client that blocks its thread.
#[cfg(unix)]
pub type Launched = launched::Launched<Client>;

impl Connect for Client {
    async fn connect_to(address: Address, options: Options) -> Result<Self> {
        Self::connect_with(&address, &options)
    }

    async fn connect_to_child(
        address: Address,
        options: Options,
        try_wait: impl FnMut() -> io::Result<Option<ExitStatus>> + Send,
    ) -> Result<Self> {
        Self::connect_to_child(&address, &options, try_wait)
    }

    #[cfg(unix)]
    async fn over_unix(stream: UnixStream, options: Options) -> Result<Self> {
        Self::over(Unix::from_stream(stream).map_err(no_socket)?, &options)
    }

    #[cfg(unix)]
    async fn greet(started: Started) -> Result<Launched> {
        let Started { stream, process, options } = started;
        let transport = Unix::from_stream(stream).map_err(no_socket)?;
        match Self::over(transport, &options) {
            Ok(client) => Ok(Launched::new(client, process)),
            Err(error) => Err(explain::<Self>(process, error).await),
        }
    }
}

impl<S: Transport + Send + 'static> ConnectOver<S> for Client {
    async fn connect_over(stream: S, options: Options) -> Result<Self> {
        Self::over(stream, &options)
    }
}

/// Connects to a monitor, and connects again whenever the connection ends. This returns at once; the
/// keeper is a thread. It also reads what arrives while no other thread waits.
///
/// ```no_run
/// # #[cfg(feature = "blocking")]
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use qmp_client::qmp::commands::QueryStatus;
/// use qmp_vm::supervise::Supervision;
///
/// let vm = qmp_vm::blocking::supervise("unix:/run/vm.sock", Supervision::new())?;
/// println!("{}", vm.execute(QueryStatus::new())?.status);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The address is invalid, or no thread can be started.
pub fn supervise(address: impl ToAddress, policy: Supervision) -> Result<Supervised<Client>> {
    supervise_source(dial(address)?, policy)
}

/// Does the same with any source: an [address](dial), a [listener](accept_unix), or a
/// [function](connector).
///
/// ```no_run
/// use qmp_vm::blocking::{dial, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// let vm = supervise_source(dial("unix:/run/web1.sock")?, Supervision::new())?;
/// println!("{}", vm.name());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// No thread can be started.
pub fn supervise_source(source: Source, policy: Supervision) -> Result<Supervised<Client>> {
    start(source, policy)
}

/// Returns the source that connects to an address.
///
/// ```no_run
/// use qmp_vm::blocking::{dial, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// let vm = supervise_source(dial("unix:/run/web1.sock")?, Supervision::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The address is invalid.
pub fn dial(address: impl ToAddress) -> Result<Source> {
    let address = address.to_address()?;
    Ok(Source::new(address.to_string(), false, move |within| open(&address, within)))
}

/// Returns the source that waits until QEMU connects, as it does with `-chardev socket,path=PATH,`
/// `reconnect=1` (`reconnect-ms=1000` since QEMU 9.2) and without `server=on`. The socket serves one
/// QEMU.
///
/// ```no_run
/// use std::os::unix::net::UnixListener;
///
/// use qmp_vm::blocking::{accept_unix, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// let source = accept_unix("web1", UnixListener::bind("/run/web1.sock")?);
/// let vm = supervise_source(source, Supervision::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(unix)]
pub fn accept_unix(name: &str, listener: UnixListener) -> Source {
    Source::new(name, true, move |within| {
        crate::supervise::wait_readable(&listener, within)?;
        unix(listener.accept()?.0)
    })
}

/// Does the same as [`accept_unix`] with a TCP port.
///
/// ```no_run
/// use std::net::TcpListener;
///
/// use qmp_vm::blocking::{accept_tcp, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// // QEMU connects by itself: `-chardev socket,...,server=off,reconnect-ms=1000`.
/// let source = accept_tcp("web1", TcpListener::bind("127.0.0.1:4444")?);
/// let vm = supervise_source(source, Supervision::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(unix)]
pub fn accept_tcp(name: &str, listener: TcpListener) -> Source {
    Source::new(name, true, move |within| Ok((Arc::new(Tcp::accept(&listener, within)?), None)))
}

/// Returns the source that connects by a function of the program, with a name for errors. The
/// function may take the time that it is given.
///
/// ```no_run
/// use qmp_client::transport::Tcp;
/// use qmp_vm::blocking::{connector, supervise_source};
/// use qmp_vm::supervise::Supervision;
///
/// let source = connector("web1", |within| Tcp::connect("10.0.0.7", 4444, within));
/// let vm = supervise_source(source, Supervision::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connector<T: Transport + 'static>(
    name: &str,
    mut connect: impl FnMut(Duration) -> io::Result<T> + Send + 'static,
) -> Source {
    Source::new(name, false, move |within| Ok((Arc::new(connect(within)?), None)))
}

fn open(address: &Address, within: Duration) -> io::Result<Socket> {
    match address {
        #[cfg(unix)]
        Address::Unix(path) => unix(connect(path)?),
        #[cfg(unix)]
        Address::Abstract(name) => unix(connect_abstract(name)?),
        Address::Tcp { host, port } => Ok((Arc::new(Tcp::connect(host, *port, within)?), None)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(unix)]
fn unix(stream: UnixStream) -> io::Result<Socket> {
    let peer = crate::supervise::peer_of(&stream);
    Ok((Arc::new(Unix::from_stream(stream)?), peer))
}
