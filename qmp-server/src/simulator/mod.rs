//! A simulated virtual machine, for tools and tests to talk to.

mod balloon;
mod block;
mod builder;
mod chardevs;
mod clock;
mod cpus;
mod descriptor_set;
mod descriptors;
mod devices;
mod display;
mod dump;
mod facts;
mod files;
mod hmp;
mod identity;
mod jobs;
mod machine;
mod memory;
mod migration;
mod network;
mod objects;
mod options;
mod picture;
mod qom;
mod queries;
mod replies;
mod run_state;
mod unavailable;

#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_types::qmp::types::RunState;
use qmp_types::{Event, VersionTriple};

pub use builder::SimulatorBuilder;
pub use machine::Machine;

use crate::clock::Clock as _;
use crate::connection::Connection;
use crate::server::Server;
use clock::Timer;

/// A simulated virtual machine, served over QMP.
///
/// The simulator runs no guest. It keeps the state that commands query and change (run state, block
/// nodes, devices, network, objects, jobs, migration), and emits the events and returns the errors
/// that QEMU would. `query-commands` and `query-qmp-schema` list only what is simulated. What QEMU
/// refuses, such as properties that a device does not have or files that do not exist, it refuses in
/// the same words.
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
///
/// # Limits
///
/// A machine has at most 1000 block nodes, of which a disk with an image format takes two. Clients can
/// add up to 1000 things of each other kind: network back ends, character devices, objects, devices,
/// dirty bitmaps, snapshots, jobs and block exports. The ring buffers that they add have up to 16 MiB
/// together. Arguments that the machine keeps are refused if they take more than about 64 KiB.
///
/// Without access to [files of the host](SimulatorBuilder::sees_host), a disk is full once there are
/// 1000 files. Since no command removes one, they are never fewer.
///
/// # Time
///
/// Jobs, the migration, the watchdog, and the timestamps and rate limits of events follow a clock. By
/// default it is the real one; with [`SimulatorBuilder::manual_clock`] it stands still until the test
/// [advances](Self::advance) it, so that an hour passes in an instant.
///
/// ```
/// use std::time::Duration;
///
/// use qmp_server::Simulator;
///
/// let simulator = Simulator::builder().manual_clock().disk_speed(1 << 20).build();
/// let client = simulator.connection();
/// client.receive(b"{'execute': 'qmp_capabilities'}");
/// // The disk has 8 GiB, so a copy takes more than two hours.
/// client.receive(
///     b"{'execute': 'blockdev-add', 'arguments':
///         {'driver': 'null-co', 'node-name': 'copy', 'size': 8589934592}}
///       {'execute': 'blockdev-backup', 'arguments':
///         {'job-id': 'backup', 'device': 'disk0', 'target': 'copy', 'sync': 'full'}}",
/// );
/// drop(client.take_output());
/// simulator.advance(Duration::from_secs(2 * 3600));
/// assert!(client.take_output().is_empty());
/// simulator.advance(Duration::from_secs(3600));
/// let output = String::from_utf8(client.take_output())?;
/// assert!(output.contains("BLOCK_JOB_COMPLETED"));
/// # Ok::<(), std::string::FromUtf8Error>(())
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
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    /// use qmp_types::qmp::types::RunState;
    ///
    /// assert_eq!(Simulator::new().run_state(), RunState::Running);
    /// # }
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a virtual machine with custom settings.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().name("web-17").cpus(4).memory(2 << 30).build();
    /// # drop(simulator);
    /// # }
    /// ```
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::new()
    }

    /// Returns the server, for listening on a socket, adding connections or ending it.
    ///
    /// ```no_run
    /// # #[cfg(feature = "simulator")] {
    /// use std::net::TcpListener;
    ///
    /// use qmp_server::Simulator;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:4444")?;
    /// Simulator::new().server().serve_tcp(&listener)?;
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn server(&self) -> &Server<Machine> {
        &self.server
    }

    /// Connects a client within this process, served by background threads, and returns the client's
    /// end of the connection.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::io::{BufRead, BufReader};
    ///
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::new();
    /// let mut line = String::new();
    /// BufReader::new(simulator.connect()?).read_line(&mut line)?;
    /// assert!(line.starts_with("{\"QMP\": "));
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a pair of sockets cannot be created or a thread cannot be spawned.
    #[cfg(unix)]
    pub fn connect(&self) -> io::Result<UnixStream> {
        self.server.connect_unix()
    }

    /// Connects a client without I/O, for event loops.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::new();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-status'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("running"), "{output}");
    /// ```
    #[must_use]
    pub fn connection(&self) -> Connection<Machine> {
        self.server.connect()
    }

    /// Returns the run state of the virtual machine.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    /// use qmp_types::qmp::types::RunState;
    ///
    /// let simulator = Simulator::builder().paused(true).build();
    /// assert_ne!(simulator.run_state(), RunState::Running);
    /// # }
    /// ```
    #[must_use]
    pub fn run_state(&self) -> RunState {
        self.server.with_machine(|machine, _| machine.state.clone())
    }

    /// Moves the clock of a simulator with a [manual clock](SimulatorBuilder::manual_clock), and
    /// lets everything happen that is due until then, in order. Does nothing to a real clock.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use std::time::Duration;
    ///
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().manual_clock().build();
    /// simulator.advance(Duration::from_secs(3600));
    /// assert_eq!(simulator.elapsed(), Duration::from_secs(3600));
    /// # }
    /// ```
    pub fn advance(&self, by: Duration) {
        let time = self.server.with_machine(|machine, _| machine.clock.manual_time());
        let Some(time) = time else { return };
        let end = time.now().saturating_add(by);
        loop {
            // Each step ends before the next one begins, so that its events have its time.
            let held = self.server.events_held_until().filter(|due| *due <= end);
            let timer = self.server.with_machine(|machine, _| machine.clock.next_at());
            let timer = timer.filter(|due| *due <= end);
            match (held, timer) {
                (Some(held), timer) if timer.is_none_or(|timer| held <= timer) => {
                    time.move_to(held);
                    self.server.release_events();
                }
                (_, Some(_)) => {
                    self.server.with_machine(|machine, context| machine.fire_next(end, context));
                }
                (_, None) => break,
            }
        }
        time.move_to(end);
    }

    /// Returns the time on the machine's clock since it was built.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().manual_clock().build();
    /// assert_eq!(simulator.elapsed(), Duration::ZERO);
    /// simulator.advance(Duration::from_secs(2));
    /// assert_eq!(simulator.elapsed(), Duration::from_secs(2));
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.server.with_machine(|machine, _| machine.clock.now())
    }

    /// Emits an event, without a change of the machine.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    /// use qmp_types::qmp::events::Wakeup;
    ///
    /// let simulator = Simulator::new();
    /// simulator.emit(&Wakeup::new());
    /// # }
    /// ```
    pub fn emit<E: Event>(&self, event: &E) {
        self.server.with_machine(|_, context| context.emit(event));
    }

    /// Makes the guest's watchdog expire: emits `WATCHDOG`, and takes the action that
    /// `watchdog-set-action` has set.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::new();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'}");
    /// simulator.fire_watchdog();
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("WATCHDOG"), "{output}");
    /// ```
    pub fn fire_watchdog(&self) {
        self.server.with_machine(Machine::watchdog_expires);
    }

    /// Makes the guest start its watchdog and then hang: the watchdog expires after this time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().manual_clock().build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'}");
    /// simulator.start_watchdog(Duration::from_secs(30));
    /// simulator.advance(Duration::from_secs(30));
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("WATCHDOG"), "{output}");
    /// ```
    pub fn start_watchdog(&self, timeout: Duration) {
        self.server.with_machine(|machine, _| machine.clock.set(timeout, Timer::Watchdog));
    }

    /// Makes the guest stop its watchdog.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().manual_clock().build();
    /// simulator.start_watchdog(Duration::from_secs(30));
    /// simulator.stop_watchdog();
    /// simulator.advance(Duration::from_secs(60));
    /// assert_eq!(simulator.run_state().as_str(), "running");
    /// ```
    pub fn stop_watchdog(&self) {
        self.server.with_machine(|machine, _| machine.clock.cancel(&Timer::Watchdog));
    }

    /// Makes the guest panic: emits `GUEST_PANICKED`, and takes the action that `set-action` has set.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::new();
    /// simulator.panic_guest();
    /// # }
    /// ```
    pub fn panic_guest(&self) {
        self.server.with_machine(Machine::guest_panics);
    }

    /// Makes the guest shut down: emits `SHUTDOWN`, and ends or pauses the virtual machine as
    /// `set-action` has set.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::new();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'}");
    /// simulator.shut_down_guest();
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("SHUTDOWN"), "{output}");
    /// ```
    pub fn shut_down_guest(&self) {
        self.server.with_machine(Machine::guest_shuts_down);
    }

    /// Makes the guest restart: emits `RESET`.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::new();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'}");
    /// simulator.reset_guest();
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("RESET"), "{output}");
    /// ```
    pub fn reset_guest(&self) {
        self.server.with_machine(Machine::guest_resets);
    }

    /// Makes the guest suspend itself until `system_wakeup`: emits `SUSPEND`.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::new();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'}");
    /// simulator.suspend_guest();
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("SUSPEND"), "{output}");
    /// ```
    pub fn suspend_guest(&self) {
        self.server.with_machine(Machine::guest_suspends);
    }

    /// Fails a job with an error, wherever it has come to: emits the events of a failed job.
    /// Returns whether the job was running.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::new();
    /// assert!(!simulator.fail_job("backup0", "no space left"), "no such job runs");
    /// ```
    pub fn fail_job(&self, id: &str, error: &str) -> bool {
        self.server.with_machine(|machine, context| machine.fail_job(id, error, context))
    }
}
