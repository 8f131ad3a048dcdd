//! The asynchronous client on tokio: connecting and launching.
//!
//! [`Launch::start`](crate::Launch::start) spawns the driver. [`launch`] returns it, for programs
//! that spawn it elsewhere, poll it themselves, or drop it.

use std::io;
use std::process::ExitStatus;

use ::tokio::io::{AsyncRead, AsyncWrite};
#[cfg(unix)]
use ::tokio::net::UnixStream;
#[cfg(unix)]
use qmp_client::Connecting;
use qmp_client::{Address, Client, Options, Result};

use crate::connect::{Connect, ConnectOver};
#[cfg(unix)]
use crate::launch::{
    Launch, Launched, Launching,
    started::{Started, no_socket},
};

#[cfg(unix)]
pub use qmp_client::tokio::Driver;

/// Starts a program with its monitor connected to this program alone, and returns the client to be
/// and its driver.
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
