//! How a client comes to be connected.

use std::cell::Cell;
use std::io;
use std::process::Child;
use std::time::{Duration, Instant};

use super::Client;
use super::connection::Connection;
use crate::address::Address;
use crate::attempts::{ATTEMPT, Attempts, check_alive};
use crate::error::{Result, handshake_error};
use crate::machine::{Dialect, Incoming};
use crate::options::Options;
use crate::transport::{Tcp, Transport};

impl Client {
    /// Connects to the monitor at this address, written as QEMU writes it (see [`Address`]), with
    /// the default [`Options`].
    ///
    /// # Errors
    /// The text is no address, nobody listens there, or who does is no QMP server.
    pub fn connect(address: &str) -> Result<Self> {
        Self::connect_with(address, &Options::new())
    }

    /// Connects to the monitor at this address.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect); and a deadline passes.
    pub fn connect_with(address: &str, options: &Options) -> Result<Self> {
        Self::connect_to(&address.parse::<Address>()?, options)
    }

    /// Connects to the monitor at this address.
    ///
    /// # Errors
    /// Those of [`connect_with`](Self::connect_with), but for the text.
    pub fn connect_to(address: &Address, options: &Options) -> Result<Self> {
        let transport = open(address, options, &mut || Ok(()))?;
        Self::handshake(transport, options, Dialect::Monitor)
    }

    /// Connects to the monitor that this process is going to open. Waiting for the socket, it
    /// fails at once if the process ends.
    ///
    /// # Errors
    /// Those of [`connect_with`](Self::connect_with), and [`Error::Launch`](crate::Error::Launch).
    pub fn connect_to_child(
        address: &Address,
        options: &Options,
        child: &mut Child,
    ) -> Result<Self> {
        let program = format!("the process {}", child.id());
        let transport =
            open(address, options, &mut || check_alive(&program, &mut || child.try_wait()))?;
        Self::handshake(transport, options, Dialect::Monitor)
    }

    /// Makes a client of a connection that is open, and waits for greeting and negotiation.
    ///
    /// # Errors
    /// The peer is no QMP server, or the deadline passes.
    pub fn from_transport(transport: impl Transport + 'static, options: &Options) -> Result<Self> {
        Self::handshake(Box::new(transport), options, Dialect::Monitor)
    }

    pub(super) fn handshake(
        transport: Box<dyn Transport>,
        options: &Options,
        dialect: Dialect,
    ) -> Result<Self> {
        let now = Instant::now();
        let machine = options.machine(dialect, now);
        let mut connection = Connection::new(machine, transport, options.kept_events(dialect));
        let ready = Cell::new(false);
        connection.run(now, None, &ready, &mut |incoming| {
            ready.set(matches!(incoming, Incoming::Ready));
            Some(incoming)
        });
        if !ready.get() {
            return Err(handshake_error(connection.machine.take_ended()));
        }
        Ok(Self {
            // A guest agent has none.
            greeting: connection.machine.greeting().cloned().unwrap_or_default(),
            connection,
            options: options.clone(),
            #[cfg(unix)]
            process: None,
        })
    }
}

/// Opens the transport; again and again, if the options say so, for as long as `alive` agrees.
pub(super) fn open(
    address: &Address,
    options: &Options,
    alive: &mut dyn FnMut() -> Result<()>,
) -> Result<Box<dyn Transport>> {
    let mut attempts = Attempts::new(address, options, Instant::now());
    loop {
        let left = attempts.left(Instant::now());
        let error = match attempt(address, left.unwrap_or(ATTEMPT)) {
            Ok(transport) => return Ok(transport),
            Err(error) => error,
        };
        alive()?;
        std::thread::sleep(attempts.failed(error, left)?);
    }
}

fn attempt(address: &Address, within: Duration) -> io::Result<Box<dyn Transport>> {
    #[cfg(unix)]
    use crate::transport::Unix;
    Ok(match address {
        #[cfg(unix)]
        Address::Unix(path) => Box::new(Unix::connect(path)?),
        #[cfg(unix)]
        Address::Abstract(name) => Box::new(Unix::connect_abstract(name)?),
        Address::Tcp { host, port } => Box::new(Tcp::connect(host, *port, within)?),
        #[cfg(not(unix))]
        _ => return Err(crate::attempts::no_unix_sockets()),
    })
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_that_comes_after_the_first_attempts() {
        let name = format!("qmp-client-attempts-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let options = Options::new().wait_for_socket(Duration::from_secs(10));
        let (mut attempts, mut listener) = (0, None);
        let opened = open(&path.clone().into(), &options, &mut || {
            attempts += 1;
            if attempts == 3 {
                listener = Some(UnixListener::bind(&path).unwrap());
            }
            Ok(())
        });
        std::fs::remove_file(&path).unwrap();
        assert!(opened.unwrap().passes_descriptors());
        assert_eq!(attempts, 3);
    }
}
