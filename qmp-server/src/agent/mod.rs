//! A simulated guest agent, for tools and tests to talk to.

mod exec;
mod files;
mod freeze;
mod guest;
mod peer;
mod program;
mod system;

use std::collections::BTreeSet;
use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, OnceLock};

use qmp_types::qga::types::{GuestNetworkInterface, GuestOSInfo};
use qmp_types::{Command, QmpError, Version, qga};
use serde::de::DeserializeOwned;

pub use self::guest::Guest;
use self::peer::{AgentPeer, Settings};
pub use self::program::Program;
use crate::accept;
use crate::context::Context;
use crate::link::{self, Link};
use crate::router::Router;
use crate::schema::Schema;
use crate::server::Server;

/// The commands that an agent of QEMU 0.15 has.
const FIRST_RELEASE: [&str; 12] = [
    "guest-file-close",
    "guest-file-flush",
    "guest-file-open",
    "guest-file-read",
    "guest-file-seek",
    "guest-file-write",
    "guest-fsfreeze-freeze",
    "guest-fsfreeze-status",
    "guest-fsfreeze-thaw",
    "guest-info",
    "guest-ping",
    "guest-sync",
];

/// A simulated guest agent (`qemu-ga`), with the state of its guest: files, programs, frozen file
/// systems, network interfaces, time.
///
/// Nothing is executed, and no file of the host is touched. It answers as the agent of QEMU 11.1 for
/// Linux does, also with its errors: without a greeting and negotiation, with the byte 0xFF before the
/// reply to `guest-sync-delimited`, and with silence when the guest shuts down. Commands that are not
/// simulated get the error `CommandNotFound`, and `guest-info` does not list them. The guest's disk has
/// 256 MiB, of which each file takes 4 KiB besides its contents.
///
/// ```
/// # #[cfg(unix)] {
/// use std::io::{BufRead, BufReader, Write};
///
/// use qmp_server::agent::{AgentSimulator, Program};
///
/// let agent = AgentSimulator::builder()
///     .file("/etc/hostname", "guest\n")
///     .program("/bin/uname", Program::exits(0).stdout("Linux\n"))
///     .build();
/// let mut client = BufReader::new(agent.connect()?);
/// client.get_mut().write_all(br#"{"execute": "guest-ping"}"#)?;
/// let mut line = String::new();
/// client.read_line(&mut line)?;
/// assert_eq!(line, "{\"return\": {}}\n");
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AgentSimulator {
    // The server owns the guest and the handlers. Its own connections are not used, because they
    // begin with a greeting.
    server: Server<Guest>,
    settings: Arc<Settings>,
}

impl Default for AgentSimulator {
    fn default() -> Self {
        Self::new()
    }
}

impl AgentSimulator {
    /// Creates an agent of a small Linux guest.
    ///
    /// ```
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let agent = AgentSimulator::new();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for an agent with custom settings.
    ///
    /// ```
    /// # #[cfg(feature = "agent")] {
    /// use qmp_server::agent::{AgentSimulator, Program};
    ///
    /// let guest = AgentSimulator::builder()
    ///     .host_name("web-17")
    ///     .file("/etc/motd", "Welcome")
    ///     .program("/usr/bin/true", Program::exits(0))
    ///     .build();
    /// # drop(guest);
    /// # }
    /// ```
    pub fn builder() -> AgentSimulatorBuilder {
        let router = Router::new().schema(agent_schema());
        let areas = [exec::add, files::add, freeze::add, system::add];
        AgentSimulatorBuilder {
            router: areas.into_iter().fold(router, |router, add| add(router)),
            guest: Guest::standard(),
            version: "11.1.0".to_owned(),
            first_release: false,
        }
    }

    /// Connects a client within this process, and returns the client's end of the connection.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// let stream = qmp_server::agent::AgentSimulator::new().connect()?;
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a pair of sockets cannot be created or a thread cannot be spawned.
    #[cfg(unix)]
    pub fn connect(&self) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        self.spawn(server.into())?;
        Ok(client)
    }

    /// Serves all clients that connect to a Unix listener, each on a thread, until the listener fails.
    /// If the process runs out of file descriptors, further clients wait.
    ///
    /// # Errors
    /// Returns the listener's error.
    #[cfg(unix)]
    pub fn serve_unix(&self, listener: &UnixListener) -> io::Result<()> {
        loop {
            let (stream, _) = accept(|| listener.accept())?;
            // If no thread can be spawned, only this client is disconnected.
            drop(self.spawn(stream.into()));
        }
    }

    /// Serves all clients that connect to a TCP listener, each on a thread, until the listener fails.
    /// If the process runs out of file descriptors, further clients wait.
    ///
    /// # Errors
    /// Returns the listener's error.
    pub fn serve_tcp(&self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let (stream, _) = accept(|| listener.accept())?;
            // If no thread can be spawned, only this client is disconnected.
            drop(self.spawn(stream.into()));
        }
    }

    /// Reads or changes the guest.
    ///
    /// ```
    /// # #[cfg(feature = "agent")] {
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let simulator = AgentSimulator::builder().file("/etc/motd", "Welcome").build();
    /// assert!(simulator.with_guest(|guest| guest.file("/etc/motd").is_some()));
    /// assert!(!simulator.with_guest(|guest| guest.is_frozen()));
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if a function that borrows the guest is running on this thread.
    pub fn with_guest<T>(&self, action: impl FnOnce(&mut Guest) -> T) -> T {
        self.server.with_machine(|guest, _| action(guest))
    }

    fn spawn(&self, link: Link) -> io::Result<()> {
        link::spawn(
            "qemu-ga",
            Arc::new(link),
            AgentPeer::new(self.server.clone(), Arc::clone(&self.settings)),
        )
        .map(drop)
    }
}

/// A builder for an [`AgentSimulator`].
#[derive(Debug)]
#[must_use]
pub struct AgentSimulatorBuilder {
    router: Router<Guest>,
    guest: Guest,
    version: String,
    first_release: bool,
}

impl AgentSimulatorBuilder {
    /// Adds a file with its contents.
    ///
    /// ```
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let agent = AgentSimulator::builder().file("/etc/hostname", "web1\n").build();
    /// ```
    pub fn file(mut self, path: impl Into<String>, contents: impl Into<Vec<u8>>) -> Self {
        self.guest.set_file(path, contents);
        self
    }

    /// Adds a program, by the path with which `guest-exec` runs it. Others cannot be executed.
    ///
    /// ```
    /// use qmp_server::agent::{AgentSimulator, Program};
    ///
    /// let agent = AgentSimulator::builder()
    ///     .program("/bin/uname", Program::runs().stdout("Linux\n"))
    ///     .build();
    /// ```
    pub fn program(mut self, path: impl Into<String>, program: Program) -> Self {
        self.guest.programs.insert(path.into(), program);
        self
    }

    /// Sets the reply to `guest-get-osinfo`.
    pub fn os(mut self, os: GuestOSInfo) -> Self {
        self.guest.os = os;
        self
    }

    /// Sets the reply to `guest-network-get-interfaces`.
    pub fn interfaces(mut self, interfaces: Vec<GuestNetworkInterface>) -> Self {
        self.guest.interfaces = interfaces;
        self
    }

    /// Sets the reply to `guest-get-host-name`.
    ///
    /// ```
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let agent = AgentSimulator::builder().host_name("web1").build();
    /// ```
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.guest.host_name = name.into();
        self
    }

    /// Sets the number of file systems that can be frozen (default: 1).
    ///
    /// ```
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let agent = AgentSimulator::builder().file_systems(3).build();
    /// ```
    pub fn file_systems(mut self, count: u32) -> Self {
        self.guest.file_systems = count;
        self
    }

    /// Sets the version that `guest-info` reports (default: `11.1.0`).
    ///
    /// ```
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let agent = AgentSimulator::builder().version("10.0.0").build();
    /// ```
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Adds a command, or replaces one.
    pub fn command<C, H>(mut self, handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut Guest, C) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        let handler = move |guest: &mut Guest, command: C, _: &mut Context| handler(guest, command);
        self.router = self.router.command(handler).unchecked_command::<C>();
        self
    }

    /// Removes a command, as an old agent or the agent's configuration would.
    ///
    /// ```
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let agent = AgentSimulator::builder().without("guest-exec").build();
    /// ```
    pub fn without(mut self, command: &str) -> Self {
        self.router = self.router.without(command);
        self
    }

    /// Behaves like the agent of QEMU 0.15: without `guest-sync-delimited` and `guest-exec`, with a
    /// `guest-info` that lists no commands, and with errors that have a member `data`.
    ///
    /// ```
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let agent = AgentSimulator::builder().first_release().build();
    /// ```
    pub fn first_release(mut self) -> Self {
        let names: BTreeSet<&str> = self.router.commands().collect();
        for name in names {
            if !FIRST_RELEASE.contains(&name) && name != "guest-shutdown" {
                self.router = self.router.without(name);
            }
        }
        self.first_release = true;
        self.version("0.15.1")
    }

    /// Starts the agent.
    ///
    /// ```
    /// use qmp_server::agent::AgentSimulator;
    ///
    /// let agent = AgentSimulator::builder().host_name("web1").build();
    /// ```
    ///
    /// # Panics
    /// Panics if the vocabulary of the guest agent cannot be read, which is a defect of this crate.
    #[must_use]
    pub fn build(self) -> AgentSimulator {
        let Self { router, guest, version, first_release } = self;
        let server = Server::new(Version::default(), router, guest);
        let server = server.expect("the agent's schema contains all simulated commands");
        AgentSimulator { server, settings: Arc::new(Settings { version, first_release }) }
    }
}

/// Returns the agent's schema, which is read once per process.
fn agent_schema() -> Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let parse = || Schema::parse(qga::INTROSPECTION).expect("the agent's schema is valid");
    SCHEMA.get_or_init(parse).clone()
}
