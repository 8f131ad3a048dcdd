//! Clients that connect by themselves.

use std::io;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;

use qmp_client::{Address, Options, Result};

#[cfg(unix)]
use crate::launch::launched::Launched;
#[cfg(unix)]
use crate::launch::started::Started;
use crate::monitor::Monitor;

/// A client that connects by itself: the blocking one, and with the feature `tokio` the asynchronous
/// one, which spawns its driver on tokio's current runtime.
///
/// This trait is sealed. On other runtimes, connections are opened with the functions of
/// `qmp_client::futures_io` or `qmp_client::runtime`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not connect by itself",
    note = "`qmp_client::blocking::Client` does with the feature `blocking`, and \
            `qmp_client::Client` does with the feature `tokio`"
)]
pub trait Connect: Monitor {
    /// Connects to an address.
    #[doc(hidden)]
    fn connect_to(address: Address, options: Options) -> impl Future<Output = Result<Self>> + Send;

    /// Connects to an address that a process is going to open.
    #[doc(hidden)]
    fn connect_to_child(
        address: Address,
        options: Options,
        try_wait: impl FnMut() -> io::Result<Option<ExitStatus>> + Send,
    ) -> impl Future<Output = Result<Self>> + Send;

    /// Connects over a Unix socket.
    #[cfg(unix)]
    #[doc(hidden)]
    fn over_unix(stream: UnixStream, options: Options)
    -> impl Future<Output = Result<Self>> + Send;

    /// Waits for the greeting of a program that was started.
    #[cfg(unix)]
    #[doc(hidden)]
    fn greet(started: Started) -> impl Future<Output = Result<Launched<Self>>> + Send;
}

/// A client that works over an open stream `S`.
///
/// `S` is a `Transport` for the blocking client, and `AsyncRead + AsyncWrite` of tokio for the
/// asynchronous one. This trait is sealed.
pub trait ConnectOver<S>: Connect {
    /// Connects over an open stream.
    #[doc(hidden)]
    fn connect_over(stream: S, options: Options) -> impl Future<Output = Result<Self>> + Send;
}
