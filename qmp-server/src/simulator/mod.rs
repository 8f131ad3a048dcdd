//! A machine that is not there, for tools and tests that need one to talk to.

mod balloon;
mod block;
mod devices;
mod hmp;
mod identity;
mod jobs;
mod machine;
mod network;
mod objects;
mod qom;
mod queries;
mod replies;
mod run_state;

#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use qmp_types::qmp::types::RunState;
use qmp_types::{VersionTriple, qmp};

pub use machine::Machine;

use crate::connection::Connection;
use crate::router::Router;
use crate::server::Server;

/// A simulated machine, served over QMP.
///
/// It runs no guest: it keeps the state that commands show and change (whether it runs, its block
/// nodes, devices, network, objects, jobs), with the events and the errors that QEMU has for them.
/// What it does not do it does not list, neither in `query-commands` nor in `query-qmp-schema`.
///
/// The guest that is not there behaves: it reads from its power button, releases devices and
/// follows the balloon, as far as the [builder](Self::builder) lets it, and while the machine runs.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
///
/// use qmp_server::Simulator;
///
/// # #[cfg(unix)] {
/// let simulator = Simulator::new();
/// let mut client = BufReader::new(simulator.connect()?);
/// let mut line = String::new();
/// client.read_line(&mut line)?;
/// assert!(line.starts_with(r#"{"QMP": {"version": "#));
/// client.get_mut().write_all(b"{'execute': 'qmp_capabilities'} {'execute': 'query-status'}")?;
/// line.clear();
/// client.read_line(&mut line)?;
/// client.read_line(&mut line)?;
/// assert!(line.contains(r#""status": "running""#));
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Simulator {
    server: Server<Machine>,
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulator {
    /// The QEMU that the simulator passes for, as its greeting and `query-version` say.
    pub const VERSION: VersionTriple = identity::QEMU;

    /// A machine that runs, with a disk, a CD drive, a NIC, a balloon and a watchdog.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A machine with settings of your own.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder { machine: Machine::standard() }
    }

    /// The server: to listen on a socket, to add connections, to look at the machine.
    #[must_use]
    pub fn server(&self) -> &Server<Machine> {
        &self.server
    }

    /// A client's end of a new connection, served by threads in the background.
    ///
    /// # Errors
    /// No pair of sockets can be had, or no thread.
    #[cfg(unix)]
    pub fn connect(&self) -> io::Result<UnixStream> {
        self.server.connect_unix()
    }

    /// A new connection without I/O, for event loops.
    #[must_use]
    pub fn connection(&self) -> Connection<Machine> {
        self.server.connect()
    }

    /// Whether and how the machine runs.
    #[must_use]
    pub fn run_state(&self) -> RunState {
        self.server.with_machine(|machine, _| machine.state.clone())
    }

    /// The guest's watchdog expires: `WATCHDOG`, and what `watchdog-set-action` has set.
    pub fn fire_watchdog(&self) {
        self.server.with_machine(Machine::watchdog_expires);
    }

    /// The guest shuts down by itself: `SHUTDOWN`, and the machine ends or stays as `set-action`
    /// has set.
    pub fn shut_down_guest(&self) {
        self.server.with_machine(Machine::guest_shuts_down);
    }

    /// The guest restarts by itself: `RESET`.
    pub fn reset_guest(&self) {
        self.server.with_machine(Machine::guest_resets);
    }

    /// The guest goes to sleep: `SUSPEND`, until `system_wakeup`.
    pub fn suspend_guest(&self) {
        self.server.with_machine(Machine::guest_suspends);
    }
}

/// Settings of a [`Simulator`].
#[derive(Debug)]
#[must_use]
pub struct SimulatorBuilder {
    machine: Machine,
}

impl SimulatorBuilder {
    /// The machine's name, `-name` of a QEMU.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.machine.name = Some(name.into());
        self
    }

    /// How many CPUs it has.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.machine.cpus = cpus;
        self
    }

    /// How much memory it has, in bytes.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.machine.memory = bytes;
        self.machine.balloon = bytes;
        self
    }

    /// Whether the machine waits for `cont` at first, `-S` of a QEMU.
    pub fn paused(mut self, paused: bool) -> Self {
        self.machine.state = if paused { RunState::Prelaunch } else { RunState::Running };
        self
    }

    /// Whether the guest shuts down when `system_powerdown` presses its button; it does.
    pub fn guest_obeys_powerdown(mut self, obeys: bool) -> Self {
        self.machine.obeys_powerdown = obeys;
        self
    }

    /// Whether the guest releases a device that `device_del` asks for; it does.
    pub fn guest_releases_devices(mut self, releases: bool) -> Self {
        self.machine.releases_devices = releases;
        self
    }

    /// Whether the machine is still there after the guest has shut down (`-no-shutdown` of a
    /// QEMU); it ends otherwise, and with it all connections.
    pub fn stays_after_shutdown(mut self, stays: bool) -> Self {
        self.machine.stay_after_shutdown(stays);
        self
    }

    /// Starts it.
    pub fn build(self) -> Simulator {
        let router = Router::new().introspection(qmp::INTROSPECTION);
        let parts = [
            balloon::add,
            block::add,
            devices::add,
            hmp::add,
            jobs::add,
            network::add,
            objects::add,
            qom::add,
            queries::add,
            run_state::add,
        ];
        let router = parts.into_iter().fold(router, |router, add| add(router));
        Simulator { server: Server::new(identity::version(), router, self.machine) }
    }
}
