//! The examples of the book. `cargo test -p book --all-features` compiles each of them and runs it with
//! a simulated machine. The pages are in `pages`; `mdbook build book` makes HTML of them.
#![cfg(all(unix, feature = "examples"))]

use std::io;

use qmp_client::blocking::Client;
use qmp_client::transport::Unix;
use qmp_client::{Options, Result};
use qmp_server::Simulator;

/// Returns a client of a new simulated machine.
///
/// # Errors
/// Sockets cannot be created.
pub fn machine() -> Result<Client> {
    client(&Simulator::new())
}

/// Returns a client of a simulated machine.
///
/// # Errors
/// Sockets cannot be created.
pub fn client(simulator: &Simulator) -> Result<Client> {
    let stream = simulator.connect().and_then(Unix::from_stream);
    Client::over(stream.map_err(failed)?, &Options::new())
}

/// Returns an asynchronous client of a new simulated machine.
///
/// # Errors
/// Sockets cannot be created.
pub async fn machine_on_tokio() -> Result<qmp_client::Client> {
    let stream = Simulator::new().connect().and_then(|stream| {
        stream.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(stream)
    });
    let (connecting, driver) = qmp_client::tokio::over(stream.map_err(failed)?, &Options::new());
    tokio::spawn(driver);
    connecting.await
}

fn failed(error: io::Error) -> qmp_client::Error {
    qmp_client::TransportError::new("cannot connect to the simulated machine", error).into()
}

/// Compiles the examples of pages.
macro_rules! pages {
    ($($name:ident = $file:literal)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../pages/", $file))]
            pub struct $name;
        )*
    };
}

pages! {
    Introduction = "introduction.md"
    FirstConnection = "first-connection.md"
    Events = "events.md"
    Deadlines = "deadlines.md"
    Errors = "errors.md"
    Workflows = "workflows.md"
    Agent = "agent.md"
    Testing = "testing.md"
    Fleets = "fleets.md"
    OwnSchema = "own-schema.md"
    Server = "server.md"
    Costs = "costs.md"
    FromQapi = "from-qapi.md"
    FromQemuQmp = "from-qemu-qmp.md"
    Ports = "ports.md"
}
