//! A simulated virtual machine, for tools and tests to talk to.

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
use std::sync::OnceLock;

use qmp_types::qmp::types::RunState;
use qmp_types::{VersionTriple, qmp};

pub use machine::Machine;

use crate::connection::Connection;
use crate::router::Router;
use crate::schema::Schema;
use crate::server::Server;

/// A simulated virtual machine, served over QMP.
///
/// The simulator runs no guest. It keeps the state that commands query and change (run state, block
/// nodes, devices, network, objects, jobs), and emits the events and returns the errors that QEMU
/// would. `query-commands` and `query-qmp-schema` list only what is simulated.
///
/// The simulated guest cooperates while the virtual machine runs: it shuts down when its power
/// button is pressed, releases devices and follows the balloon. The [builder](Self::builder) can
/// change that.
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
    /// The QEMU version that the greeting and `query-version` report.
    pub const VERSION: VersionTriple = identity::QEMU;

    /// Creates a running virtual machine with a disk, a CD drive, a NIC, a balloon and a watchdog.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a virtual machine with custom settings.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder { machine: Machine::standard() }
    }

    /// Returns the server, for listening on a socket, adding connections or ending it.
    #[must_use]
    pub fn server(&self) -> &Server<Machine> {
        &self.server
    }

    /// Connects a client within this process, served by background threads, and returns the client's
    /// end of the connection.
    ///
    /// # Errors
    /// Returns an error if a pair of sockets cannot be created or a thread cannot be spawned.
    #[cfg(unix)]
    pub fn connect(&self) -> io::Result<UnixStream> {
        self.server.connect_unix()
    }

    /// Connects a client without I/O, for event loops.
    #[must_use]
    pub fn connection(&self) -> Connection<Machine> {
        self.server.connect()
    }

    /// Returns the run state of the virtual machine.
    #[must_use]
    pub fn run_state(&self) -> RunState {
        self.server.with_machine(|machine, _| machine.state.clone())
    }

    /// Makes the guest's watchdog expire: emits `WATCHDOG`, and takes the action that
    /// `watchdog-set-action` has set.
    pub fn fire_watchdog(&self) {
        self.server.with_machine(Machine::watchdog_expires);
    }

    /// Makes the guest shut down: emits `SHUTDOWN`, and ends or pauses the virtual machine as
    /// `set-action` has set.
    pub fn shut_down_guest(&self) {
        self.server.with_machine(Machine::guest_shuts_down);
    }

    /// Makes the guest restart: emits `RESET`.
    pub fn reset_guest(&self) {
        self.server.with_machine(Machine::guest_resets);
    }

    /// Makes the guest suspend itself until `system_wakeup`: emits `SUSPEND`.
    pub fn suspend_guest(&self) {
        self.server.with_machine(Machine::guest_suspends);
    }
}

/// A builder for a [`Simulator`].
#[derive(Debug)]
#[must_use]
pub struct SimulatorBuilder {
    machine: Machine,
}

impl SimulatorBuilder {
    /// Sets the name of the virtual machine, like QEMU's `-name` (default: `simulated`).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.machine.name = Some(name.into());
        self
    }

    /// Sets the number of CPUs (default: 2).
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.machine.cpus = cpus;
        self
    }

    /// Sets the size of memory in bytes (default: 1 GiB).
    pub fn memory(mut self, bytes: u64) -> Self {
        self.machine.memory = bytes;
        self.machine.balloon = bytes;
        self
    }

    /// Sets whether the virtual machine waits for `cont` before it runs, like QEMU's `-S` (default:
    /// false).
    pub fn paused(mut self, paused: bool) -> Self {
        self.machine.state = if paused { RunState::Prelaunch } else { RunState::Running };
        self
    }

    /// Sets whether the guest shuts down on `system_powerdown` (default: true).
    pub fn guest_obeys_powerdown(mut self, obeys: bool) -> Self {
        self.machine.obeys_powerdown = obeys;
        self
    }

    /// Sets whether the guest releases a device on `device_del` (default: true).
    pub fn guest_releases_devices(mut self, releases: bool) -> Self {
        self.machine.releases_devices = releases;
        self
    }

    /// Sets whether the virtual machine stays, paused, after the guest has shut down, like QEMU's
    /// `-no-shutdown` (default: false). Otherwise the server ends and closes all connections.
    pub fn stays_after_shutdown(mut self, stays: bool) -> Self {
        self.machine.set_stays_after_shutdown(stays);
        self
    }

    /// Starts the simulator.
    pub fn build(self) -> Simulator {
        let router = Router::new().schema(qemu_schema());
        let areas = [
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
        let router = areas.into_iter().fold(router, |router, add| add(router));
        let server = Server::new(identity::version(), router, self.machine);
        Simulator { server: server.expect("QEMU's schema contains all simulated commands") }
    }
}

/// Returns QEMU's schema, which is read once per process.
fn qemu_schema() -> Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let parse = || Schema::parse(qmp::INTROSPECTION).expect("QEMU's schema is valid");
    SCHEMA.get_or_init(parse).clone()
}
