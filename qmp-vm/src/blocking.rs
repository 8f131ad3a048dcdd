//! The blocking client: connecting and launching.
//!
//! All workflows are methods of [`Client`], through [`Workflows`](crate::Workflows).

use std::io;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;

use qmp_client::blocking::Client;
use qmp_client::transport::Transport;
#[cfg(unix)]
use qmp_client::transport::Unix;
use qmp_client::{Address, Options, Result};

use crate::connect::{Connect, ConnectOver};
#[cfg(unix)]
use crate::launch::{
    launched,
    launching::explain,
    started::{Started, no_socket},
};

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
