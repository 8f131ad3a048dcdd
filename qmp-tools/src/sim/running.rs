//! A simulated machine that is served at its addresses until it quits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

use qmp_client::qmp::events::Shutdown;
use qmp_client::qmp::types::ShutdownCause;
use qmp_server::agent::AgentSimulator;
use qmp_server::{Simulator, Socket, SocketFile, accept};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use super::address::{Address, Endpoint};
use super::signals::Signals;

/// A monitor that is open, but whose machine does not exist yet.
#[derive(Debug)]
pub struct Monitor {
    place: Place,
    /// The client for which the machine has waited, or to which it has connected.
    first: Option<Socket>,
}

#[derive(Debug)]
enum Place {
    Unix(SocketFile),
    Inherited(UnixListener),
    Tcp(TcpListener),
    Stdio,
    /// Only the first client, or none.
    None,
}

impl Monitor {
    /// Opens a monitor: listens, or connects.
    ///
    /// # Errors
    /// Returns the error with QEMU's message for it.
    pub fn open(endpoint: &Endpoint) -> Result<Self, String> {
        match endpoint.server {
            true => Self::listen(&endpoint.address),
            false => Self::connect(&endpoint.address),
        }
    }

    fn listen(address: &Address) -> Result<Self, String> {
        let place = match address {
            Address::Unix(path) => {
                SocketFile::bind(path, 0o600).map(Place::Unix).map_err(|error| {
                    format!("Failed to bind socket to {}: {}", path.display(), os_error(&error))
                })?
            }
            Address::Tcp { host, port } => {
                let host = if host.is_empty() { "0.0.0.0" } else { host };
                let listener = TcpListener::bind((host, *port)).map_err(|error| {
                    format!("Failed to find an available port: {}", os_error(&error))
                })?;
                Place::Tcp(listener)
            }
            Address::Descriptor(number) => {
                let socket = inherited(*number)?;
                if !rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or_default() {
                    let first = Some(UnixStream::from(socket).into());
                    return Ok(Self { place: Place::None, first });
                }
                Place::Inherited(socket.into())
            }
            Address::Stdio => Place::Stdio,
            Address::Null => Place::None,
        };
        Ok(Self { place, first: None })
    }

    fn connect(address: &Address) -> Result<Self, String> {
        let failed = |name: String| {
            move |error: io::Error| format!("Failed to connect to '{name}': {}", os_error(&error))
        };
        let first: Socket = match address {
            Address::Unix(path) => {
                let name = path.display().to_string();
                UnixStream::connect(path).map_err(failed(name))?.into()
            }
            Address::Tcp { host, port } => {
                let name = format!("{host}:{port}");
                TcpStream::connect((host.as_str(), *port)).map_err(failed(name))?.into()
            }
            Address::Descriptor(number) => UnixStream::from(inherited(*number)?).into(),
            Address::Stdio | Address::Null => return Self::listen(address),
        };
        Ok(Self { place: Place::None, first: Some(first) })
    }

    /// Waits for the first client.
    ///
    /// # Errors
    /// Returns the listener's error.
    pub fn wait(&mut self) -> io::Result<()> {
        self.first = Some(match &self.place {
            Place::Unix(file) => accept(|| file.listener().accept())?.0.into(),
            Place::Inherited(listener) => accept(|| listener.accept())?.0.into(),
            Place::Tcp(listener) => accept(|| listener.accept())?.0.into(),
            Place::Stdio | Place::None => return Ok(()),
        });
        Ok(())
    }

    /// Returns the address at which the monitor listens, with the port that the system has chosen.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        match &self.place {
            Place::Unix(file) => Some(Address::Unix(file.path().to_owned())),
            Place::Tcp(listener) => listener.local_addr().ok().map(|address| Address::Tcp {
                host: address.ip().to_string(),
                port: address.port(),
            }),
            Place::Inherited(_) | Place::Stdio | Place::None => None,
        }
    }

    fn serve(self, simulator: &Simulator) -> io::Result<()> {
        let server = simulator.server();
        if let Some(first) = self.first {
            server.spawn(first)?;
        }
        match self.place {
            Place::Unix(file) => server.serve_unix(file.listener()),
            Place::Inherited(listener) => server.serve_unix(&listener),
            Place::Tcp(listener) => server.serve_tcp(&listener),
            Place::Stdio => copy_stdio(simulator.connect()?),
            Place::None => Ok(()),
        }
    }
}

/// A simulated machine, its monitors and its guest agent.
#[derive(Debug)]
pub struct Running {
    simulator: Simulator,
    monitors: Vec<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Serves a machine at its monitors.
    ///
    /// # Errors
    /// Returns an error if a thread cannot be spawned.
    pub fn start(simulator: Simulator, monitors: Vec<Monitor>) -> io::Result<Self> {
        let serve = |monitor: Monitor| {
            let simulator = simulator.clone();
            let monitors = thread::Builder::new().name("qmp-monitor".to_owned());
            monitors.spawn(move || monitor.serve(&simulator))
        };
        let monitors = monitors.into_iter().map(serve).collect::<io::Result<_>>()?;
        Ok(Self { simulator, monitors })
    }

    /// Ends the machine when the process receives a signal to end. `announce` is called with the
    /// signal's number.
    pub(crate) fn end_on(
        &self,
        signals: Signals,
        announce: impl FnOnce(i32) + Send + 'static,
    ) -> io::Result<()> {
        let simulator = self.simulator.clone();
        signals.on_first(move |signal| {
            announce(signal);
            simulator.emit(&Shutdown::new(false, ShutdownCause::HostSignal));
            simulator.server().end();
        })
    }

    /// Waits until the machine has quit and its clients have received their last replies.
    ///
    /// # Errors
    /// Returns the first error of a listener.
    pub fn wait(self) -> io::Result<()> {
        // A connection within the process ends with the machine.
        io::copy(&mut self.simulator.connect()?, &mut io::sink())?;
        let mut result = Ok(());
        for monitor in self.monitors {
            // A panic has been printed.
            result = result.and(monitor.join().unwrap_or(Ok(())));
        }
        result
    }
}

/// Serves a guest agent in the background. The file of its socket exists as long as the returned
/// value.
pub(crate) fn serve_agent(
    endpoint: &Endpoint,
) -> Result<(Option<Address>, Option<SocketFile>), String> {
    let monitor = Monitor::open(endpoint)?;
    let address = monitor.address();
    let agent = AgentSimulator::new();
    let spawn = |serve: Box<dyn FnOnce() + Send>| {
        let agents = thread::Builder::new().name("qmp-agent".to_owned());
        agents.spawn(serve).map(drop).map_err(|error| error.to_string())
    };
    match monitor.place {
        Place::Unix(file) => {
            let listener = file.listener().try_clone().map_err(|error| error.to_string())?;
            spawn(Box::new(move || drop(agent.serve_unix(&listener))))?;
            Ok((address, Some(file)))
        }
        Place::Tcp(listener) => {
            spawn(Box::new(move || drop(agent.serve_tcp(&listener))))?;
            Ok((address, None))
        }
        Place::Inherited(_) | Place::Stdio | Place::None => {
            Err("a guest agent needs a Unix socket or a TCP port".to_owned())
        }
    }
}

/// Returns a duplicate of a socket that the process has inherited.
fn inherited(number: i32) -> Result<OwnedFd, String> {
    let duplicate = || -> io::Result<OwnedFd> {
        if number == 0 {
            return io::stdin().as_fd().try_clone_to_owned();
        }
        // Safe code owns no descriptor by its number, but it may ask the system for a duplicate.
        let process = pidfd_open(getpid(), PidfdFlags::empty())?;
        Ok(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
    };
    match duplicate() {
        Ok(fd) if rustix::net::sockopt::socket_type(&fd).is_ok() => Ok(fd),
        _ => Err(format!("File descriptor '{number}' is not a socket")),
    }
}

/// Copies between standard input and output and a machine, until the machine closes the connection.
fn copy_stdio(machine: UnixStream) -> io::Result<()> {
    let mut to_machine = machine.try_clone()?;
    let (mut from_machine, mut input, output) = (machine, io::stdin(), io::stdout());
    // It may read for ever, and ends with the process.
    thread::Builder::new().name("qmp-stdin".to_owned()).spawn(move || {
        let _ = io::copy(&mut input, &mut to_machine);
    })?;
    let mut bytes = [0; 4 << 10];
    loop {
        match from_machine.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                let mut output = output.lock();
                output.write_all(&bytes[..count])?;
                output.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Redirects standard input, output and error to nowhere.
pub(crate) fn close_stdio() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Returns the text of an error without the number.
pub(crate) fn os_error(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map(|(text, _)| text.to_owned()).unwrap_or(text)
}
