//! Proxies below a client: so that it can open further monitors, whatever QEMU it is.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::access::Access;
use super::handle::{Proxy, ProxyOptions};
use crate::connect::Connect;
use qmp_client::{Address, Options, Result, ToAddress, TransportError};

/// Connects to a monitor through a proxy of its own, so that
/// [`open_monitor`](crate::Workflows::open_monitor) works with every release of QEMU. The proxy ends with
/// the last of its clients.
///
/// ```no_run
/// use qmp_client::blocking::Client;
/// use qmp_client::Options;
/// use qmp_vm::{Workflows, proxy};
///
/// # fn example() -> qmp_client::Result<()> {
/// let vm = proxy::connect_shared::<Client>("unix:/run/vm.sock", &Options::new())?;
/// let other = vm.open_monitor()?;
/// # Ok(())
/// # }
/// ```
///
/// On an executor other than tokio, [`Proxy::connect`] gives the stream of a client.
///
/// # Errors
/// The monitor does not listen, does not greet in time, or is not a QMP server; and those of
/// `Client::over`. The socket is connected to once: [`wait_for_socket`](Options::wait_for_socket) is
/// ignored.
///
/// # Cancel safety
/// If the future is dropped, nothing is left when the monitor has greeted, or the time for that is over.
///
/// # Panics
/// The future panics outside of a tokio runtime.
pub fn connect_shared<M: Connect>(
    address: impl ToAddress,
    options: &Options,
) -> M::Outcome<'static, Result<M>> {
    let (address, options) = (address.to_address(), options.clone());
    M::run(async move {
        let (address, within) = (address?, options.greeting_time());
        let stream = M::run_blocking(move || connect(&address, within)).await??;
        M::over_unix(stream, options).await
    })
}

fn connect(address: &Address, within: Duration) -> Result<UnixStream> {
    let proxy = ProxyOptions::new().greeting_within(within).connect_to(address)?;
    attach(proxy).map_err(|error| TransportError::new("cannot use a socket pair", error).into())
}

/// Puts a proxy between a program that is starting and the client to be. The proxy waits for the greeting
/// for as long as the program runs: it is the client that has a deadline, and the program is killed when
/// that has passed.
pub(crate) fn share(monitor: UnixStream) -> io::Result<UnixStream> {
    attach(ProxyOptions::new().greeting_within(Duration::MAX).start_over(monitor)?)
}

/// Returns the stream of a client that has the proxy to itself.
fn attach(proxy: Proxy) -> io::Result<UnixStream> {
    let stream = proxy.connect(Access::owner())?;
    proxy.detach();
    Ok(stream)
}
