//! The settings of a simulated virtual machine.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use qmp_types::qmp::types::RunState;
use qmp_types::{Command, QmpError, qmp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::clock::Clock;
use super::machine::{Machine, PlannedFailure};
use super::migration::Incoming;
use super::replies::{Arguments, refuse};
use super::{
    Simulator, balloon, block, chardevs, cpus, descriptors, devices, display, dump, facts, hmp,
    identity, jobs, memory, migration, network, objects, options, qom, queries, run_state,
    unavailable,
};
use crate::context::Context;
use crate::router::Router;
use crate::schema::Schema;
use crate::server::Server;

/// A builder for a [`Simulator`].
#[must_use]
pub struct SimulatorBuilder {
    machine: Machine,
    /// The first setting that QEMU would have refused.
    error: Option<QmpError>,
    commands: Vec<AddCommand>,
    /// The commands that settings name, which must exist.
    named: Vec<String>,
}

/// Adds a command to the router.
type AddCommand = Box<dyn FnOnce(Router<Machine>) -> Router<Machine> + Send>;

impl fmt::Debug for SimulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorBuilder").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl SimulatorBuilder {
    pub(super) fn new() -> Self {
        Self { machine: Machine::standard(), error: None, commands: Vec::new(), named: Vec::new() }
    }

    /// Sets the name of the virtual machine, like QEMU's `-name` (default: `simulated`).
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().name("web1").build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("web1"), "{output}");
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.machine.name = Some(name.into());
        self
    }

    /// Leaves the virtual machine without a name, like a QEMU without `-name`.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().unnamed().build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("\"return\": {}"), "{output}");
    /// ```
    pub fn unnamed(mut self) -> Self {
        self.machine.name = None;
        self
    }

    /// Sets the UUID, like QEMU's `-uuid`.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().uuid("3f5d9a4e-0a3b-4c2e-9a54-1f5ad2d3c001").build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-uuid'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("3f5d9a4e"), "{output}");
    /// ```
    pub fn uuid(mut self, uuid: &str) -> Self {
        let is_uuid = uuid.len() == 36
            && uuid.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if !is_uuid {
            return self.fail("failed to parse UUID string: wrong format".to_owned());
        }
        self.machine.uuid = uuid.to_ascii_lowercase();
        self
    }

    /// Sets the number of CPUs (default: 2).
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().cpus(4).build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-cpus-fast'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("\"cpu-index\": 3"), "{output}");
    /// ```
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.machine.cpus.boot = cpus;
        self.machine.cpus.max = cpus;
        self
    }

    /// Sets the number of CPUs to which the virtual machine can grow, like `maxcpus` of QEMU's
    /// `-smp` (default: the number of CPUs). Call it after [`cpus`](Self::cpus).
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    ///
    /// // Two CPUs, and free slots for six more.
    /// let simulator = Simulator::builder().cpus(2).max_cpus(8).build();
    /// # drop(simulator);
    /// # }
    /// ```
    pub fn max_cpus(mut self, cpus: u32) -> Self {
        self.machine.cpus.max = cpus.max(self.machine.cpus.boot);
        self
    }

    /// Sets the size of memory in bytes (default: 1 GiB).
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().memory(4 << 30).build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-memory-size-summary'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("4294967296"), "{output}");
    /// ```
    pub fn memory(mut self, bytes: u64) -> Self {
        self.machine.memory = bytes;
        self.machine.balloon = bytes;
        self
    }

    /// Sets the number of slots for memory modules, and the size in bytes to which memory can grow,
    /// like `slots` and `maxmem` of QEMU's `-m` (default: 0, so that no memory can be added).
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    ///
    /// // Two modules can be plugged in, up to 4 GiB in all.
    /// let simulator = Simulator::builder().memory_slots(2, 4 << 30).build();
    /// # drop(simulator);
    /// # }
    /// ```
    pub fn memory_slots(mut self, slots: u64, max_bytes: u64) -> Self {
        self.machine.memory_slots = (slots, max_bytes);
        self
    }

    /// Sets the machine type, like QEMU's `-machine`: a name or an alias that `query-machines`
    /// lists, such as `q35` (default: `pc`). Removes all devices, nodes, back ends and objects, so
    /// call it before those that add some.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().machine_type("q35").build();
    /// ```
    pub fn machine_type(mut self, name: &str) -> Self {
        let Some(known) = facts::machine(name) else {
            return self.fail(format!("unsupported machine type: \"{name}\""));
        };
        let name = known["name"].as_str().unwrap_or_default().to_owned();
        self = self.empty();
        self.machine.has_vga = name != "none";
        self.machine.machine_type = name;
        self
    }

    /// Removes all devices, nodes, back ends and objects.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().empty().build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-block'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("\"return\": []"), "{output}");
    /// ```
    pub fn empty(mut self) -> Self {
        self.machine.devices.clear();
        self.machine.drives.clear();
        self.machine.nodes.clear();
        self.machine.netdevs.clear();
        self.machine.objects.clear();
        self
    }

    /// Adds a file that exists only in the simulation: an empty image of the given virtual size in
    /// bytes. `format` is `raw` or `qcow2`.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().file("/images/base.qcow2", "qcow2", 8 << 30).build();
    /// ```
    pub fn file(mut self, path: &str, format: &str, bytes: u64) -> Self {
        if !matches!(format, "raw" | "qcow2") {
            return self.fail(format!("a simulated file cannot have the format `{format}`"));
        }
        self.machine.add_file(path, format, bytes);
        self
    }

    /// Sets whether the machine can open and create files of the host, and connect to sockets, as
    /// QEMU can (default: true). Otherwise only files exist that [`file`](Self::file) or the
    /// machine itself has added.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().sees_host(false).build();
    /// ```
    pub fn sees_host(mut self, sees: bool) -> Self {
        self.machine.files.set_sees_host(sees);
        self
    }

    /// Adds a block node, like QEMU's `-blockdev`, with the arguments of `blockdev-add` in JSON.
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use serde_json::json;
    ///
    /// let simulator = Simulator::builder().blockdev(
    ///     json!({"driver": "null-co", "node-name": "scratch", "size": 1 << 20}),
    /// ).build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-named-block-nodes'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("scratch"), "{output}");
    /// ```
    pub fn blockdev(self, options: Value) -> Self {
        self.checked("blockdev-add", options, |machine, options| {
            machine.add_node(&options.0, true).map(drop)
        })
    }

    /// Adds a device, like QEMU's `-device`, with the arguments of `device_add` in JSON.
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use serde_json::json;
    ///
    /// let simulator = Simulator::builder().device(json!({"driver": "virtio-rng-pci", "id": "rng0"})).build();
    /// assert_eq!(simulator.run_state().as_str(), "running");
    /// ```
    pub fn device(self, options: Value) -> Self {
        self.with(options, Machine::add_cold_device)
    }

    /// Adds a network back end, like QEMU's `-netdev`, with the arguments of `netdev_add` in JSON.
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use serde_json::json;
    ///
    /// let simulator = Simulator::builder().netdev(json!({"type": "user", "id": "net1"})).build();
    /// ```
    pub fn netdev(self, options: Value) -> Self {
        self.checked("netdev_add", options, |machine, options| {
            machine.add_netdev(options).map(drop)
        })
    }

    /// Adds an object, like QEMU's `-object`, with the arguments of `object-add` in JSON.
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use serde_json::json;
    ///
    /// let simulator = Simulator::builder().object(json!({"qom-type": "iothread", "id": "io1"})).build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-iothreads'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("io1"), "{output}");
    /// ```
    pub fn object(self, options: Value) -> Self {
        self.checked("object-add", options, |machine, options| {
            machine.add_object(options).map(drop)
        })
    }

    /// Adds a character device, like QEMU's `-chardev`, with the arguments of `chardev-add` in JSON.
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use serde_json::json;
    ///
    /// let simulator = Simulator::builder().chardev(
    ///     json!({"id": "serial1", "backend": {"type": "null", "data": {}}}),
    /// ).build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-chardev'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("serial1"), "{output}");
    /// ```
    pub fn chardev(self, options: Value) -> Self {
        self.checked("chardev-add", options, |machine, options| {
            machine.add_chardev(options).map(drop)
        })
    }

    /// Adds what an option of QEMU's command line adds: `blockdev`, `chardev`, `device`, `drive`,
    /// `netdev` or `object`. The argument is JSON or `key=value,...`, as on the command line, which
    /// takes no JSON for `drive`.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let builder = Simulator::builder()
    ///     .option("blockdev", "null-co,node-name=disk1,size=1G,read-only=on")
    ///     .option("device", "virtio-blk-pci,drive=disk1,id=second,num-queues=2")
    ///     .option("device", "nope");
    /// let error = builder.error().unwrap();
    /// assert_eq!(error.desc, "'nope' is not a valid device model name");
    /// ```
    pub fn option(self, option: &str, argument: &str) -> Self {
        if self.error.is_some() {
            return self;
        }
        if option == "drive" {
            return self.drive(argument);
        }
        match options::read(qemu_schema().introspection(), option, argument) {
            Err(error) => Self { error: Some(error), ..self },
            Ok(arguments) => {
                let arguments = Value::Object(arguments);
                match option {
                    "blockdev" => self.blockdev(arguments),
                    "chardev" => self.chardev(arguments),
                    "device" => self.device(arguments),
                    "netdev" => self.netdev(arguments),
                    _ => self.object(arguments),
                }
            }
        }
    }

    fn drive(mut self, argument: &str) -> Self {
        let introspection = qemu_schema();
        let probe = |path: &str| self.machine.probe(path);
        let drive = options::read_drive(introspection.introspection(), argument, probe);
        self.error = drive.and_then(|drive| self.machine.add_drive(drive)).err();
        self
    }

    /// Returns QEMU's error for the first setting that it would have refused, if there is one.
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use serde_json::json;
    ///
    /// let builder = Simulator::builder().device(json!({"driver": "no-such-device"}));
    /// assert!(builder.error().is_some());
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&QmpError> {
        self.error.as_ref()
    }

    /// Sets whether the virtual machine waits for `cont` before it runs, like QEMU's `-S` (default:
    /// false).
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().paused(true).build();
    /// assert_ne!(simulator.run_state().as_str(), "running");
    /// ```
    pub fn paused(mut self, paused: bool) -> Self {
        self.machine.state = if paused { RunState::Prelaunch } else { RunState::Running };
        self.machine.migration.starts_guest = !paused;
        self
    }

    /// Makes the virtual machine wait for `migrate-incoming`, like QEMU's `-incoming defer`.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().incoming().build();
    /// assert_eq!(simulator.run_state().as_str(), "inmigrate");
    /// ```
    pub fn incoming(mut self) -> Self {
        self.machine.state = RunState::Inmigrate;
        self.machine.migration.incoming = Incoming::Deferred;
        self
    }

    /// Sets whether the guest shuts down on `system_powerdown` (default: true).
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().guest_obeys_powerdown(false).build();
    /// ```
    pub fn guest_obeys_powerdown(mut self, obeys: bool) -> Self {
        self.machine.obeys_powerdown = obeys;
        self
    }

    /// Sets whether the guest releases a device on `device_del` (default: true).
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    ///
    /// // For code that must notice that a device remains in use.
    /// let simulator = Simulator::builder().guest_releases_devices(false).build();
    /// # drop(simulator);
    /// # }
    /// ```
    pub fn guest_releases_devices(mut self, releases: bool) -> Self {
        self.machine.releases_devices = releases;
        self
    }

    /// Sets whether the virtual machine stays, paused, after the guest has shut down, like QEMU's
    /// `-no-shutdown` (default: false). Otherwise the server ends and closes all connections.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().stays_after_shutdown(true).build();
    /// simulator.shut_down_guest();
    /// assert_eq!(simulator.run_state().as_str(), "shutdown");
    /// ```
    pub fn stays_after_shutdown(mut self, stays: bool) -> Self {
        self.machine.set_stays_after_shutdown(stays);
        self
    }

    /// Gives the machine a clock that only [`Simulator::advance`] moves.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().manual_clock().build();
    /// simulator.advance(Duration::from_secs(3600));
    /// assert_eq!(simulator.elapsed(), Duration::from_secs(3600));
    /// ```
    pub fn manual_clock(mut self) -> Self {
        self.machine.clock = Clock::manual();
        self
    }

    /// Sets how many bytes per second jobs copy (default: as fast as their `speed` allows, and at
    /// once without one).
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().manual_clock().disk_speed(1 << 20).build();
    /// ```
    pub fn disk_speed(mut self, bytes_per_second: u64) -> Self {
        self.machine.disk_speed = Some(bytes_per_second.max(1));
        self
    }

    /// Sets the time that a migration takes to transfer the memory (default: none).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().migration_takes(Duration::from_millis(50)).build();
    /// ```
    pub fn migration_takes(mut self, time: Duration) -> Self {
        self.machine.migration.takes = time;
        self
    }

    /// Makes the job with this `id` fail with an error when it has done a part of its work, in
    /// percent.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().fail_job("backup", 50, "No space left on device").build();
    /// # drop(simulator);
    /// # }
    /// ```
    pub fn fail_job(mut self, id: &str, percent: u8, error: &str) -> Self {
        let (job, error) = (id.to_owned(), error.to_owned());
        self.machine.failures.push(PlannedFailure { job, percent: percent.min(100), error });
        self
    }

    /// Adds a command, or replaces what a command does.
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use qmp_types::qmp::commands::QueryName;
    /// use qmp_types::qmp::types::NameInfo;
    ///
    /// let simulator = Simulator::builder()
    ///     .command(|_, _: QueryName, _| Ok(NameInfo::new().name("replaced")))
    ///     .build();
    /// # let client = simulator.connection();
    /// # client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}");
    /// # assert!(String::from_utf8(client.take_output())?.contains("replaced"));
    /// # Ok::<(), std::string::FromUtf8Error>(())
    /// ```
    pub fn command<C, H>(mut self, handler: H) -> Self
    where
        C: Command + DeserializeOwned + 'static,
        H: Fn(&mut Machine, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        self.commands.push(Box::new(move |router: Router<Machine>| {
            // The command may be one that QEMU does not have.
            router.command(handler).unchecked_command::<C>()
        }));
        self
    }

    /// Makes a command fail with an error.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    /// use qmp_types::QmpError;
    /// use qmp_types::qmp::commands::DeviceAdd;
    ///
    /// // For code that must undo what it has done before.
    /// let simulator =
    ///     Simulator::builder().refuse::<DeviceAdd>(QmpError::generic("no more slots")).build();
    /// # drop(simulator);
    /// # }
    /// ```
    pub fn refuse<C>(mut self, error: QmpError) -> Self
    where
        C: Command + DeserializeOwned + 'static,
    {
        let refuse = move |_: &mut Machine, _: C, _: &mut Context| Err(error.clone());
        self.commands.push(Box::new(move |router: Router<Machine>| router.open_command(refuse)));
        self
    }

    /// Removes a command: QEMU's answer is that it has not been found.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::Simulator;
    /// use qmp_types::qmp::commands::QueryStats;
    ///
    /// // As a QEMU that is older than 7.1.
    /// let simulator = Simulator::builder().without::<QueryStats>().build();
    /// # drop(simulator);
    /// # }
    /// ```
    pub fn without<C: Command + 'static>(mut self) -> Self {
        self.commands.push(Box::new(|router: Router<Machine>| router.without(C::NAME)));
        self
    }

    /// Delays a command by this time, during which the client's next in-band commands wait. Other
    /// clients are answered meanwhile. The time is real even if the machine's clock is
    /// [manual](Self::manual_clock).
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use std::time::Duration;
    ///
    /// use qmp_server::Simulator;
    /// use qmp_types::qmp::commands::QueryBlock;
    ///
    /// let simulator = Simulator::builder().delay::<QueryBlock>(Duration::from_secs(5)).build();
    /// # drop(simulator);
    /// # }
    /// ```
    pub fn delay<C: Command + 'static>(mut self, time: Duration) -> Self {
        self.commands.push(Box::new(move |router: Router<Machine>| router.delay(C::NAME, time)));
        self
    }

    /// Makes the command with a name fail with an error, like [`refuse`](Self::refuse).
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use qmp_types::QmpError;
    ///
    /// let simulator = Simulator::builder()
    ///     .refuse_named("query-name", QmpError::generic("not today"))
    ///     .build();
    /// let client = simulator.connection();
    /// client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}");
    /// let output = String::from_utf8_lossy(&client.take_output()).into_owned();
    /// assert!(output.contains("not today"), "{output}");
    /// ```
    pub fn refuse_named(mut self, command: &str, error: QmpError) -> Self {
        let name = command.to_owned();
        self.named.push(name.clone());
        self.commands.push(Box::new(move |router| router.refusing(&name, error)));
        self
    }

    /// Delays the command with a name, like [`delay`](Self::delay).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::Simulator;
    ///
    /// // A machine on a slow disk.
    /// let simulator =
    ///     Simulator::builder().delay_named("blockdev-add", Duration::from_secs(3)).build();
    /// ```
    pub fn delay_named(mut self, command: &str, time: Duration) -> Self {
        let name = command.to_owned();
        self.named.push(name.clone());
        self.commands.push(Box::new(move |router| router.delay(&name, time)));
        self
    }

    /// Starts the simulator.
    ///
    /// ```
    /// use qmp_server::Simulator;
    ///
    /// let simulator = Simulator::builder().name("vm").build();
    /// assert_eq!(simulator.run_state().as_str(), "running");
    /// ```
    ///
    /// # Panics
    /// Panics if QEMU would have refused one of the settings, with its message.
    /// [`try_build`](Self::try_build) returns the error instead.
    pub fn build(self) -> Simulator {
        match self.try_build() {
            Ok(simulator) => simulator,
            #[allow(clippy::panic)] // documented
            Err(error) => panic!("cannot build the simulated machine: {}", error.desc),
        }
    }

    /// Starts the simulator.
    ///
    /// ```
    /// use qmp_server::Simulator;
    /// use serde_json::json;
    ///
    /// let builder = Simulator::builder().device(json!({"driver": "no-such-device"}));
    /// assert!(builder.try_build().is_err());
    /// ```
    ///
    /// # Errors
    /// Returns QEMU's error for the first setting that it would have refused.
    pub fn try_build(mut self) -> Result<Simulator, QmpError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.machine.number_board_drives();
        let router = Router::new().schema(qemu_schema());
        let areas = [
            balloon::add,
            block::add,
            chardevs::add,
            cpus::add,
            descriptors::add,
            devices::add,
            display::add,
            dump::add,
            hmp::add,
            jobs::add,
            memory::add,
            migration::add,
            network::add,
            objects::add,
            qom::add,
            queries::add,
            run_state::add,
            unavailable::add,
        ];
        let router = areas.into_iter().fold(router, |router, add| add(router));
        if let Some(name) = self.named.iter().find(|name| router.handled(name).is_none()) {
            return refuse(format!("The command {name} has not been found"));
        }
        let router = self.commands.into_iter().fold(router, |router, add| add(router));
        let mut server = Server::builder(router).version(identity::version());
        if let Some(time) = self.machine.clock.manual_time() {
            server = server.clock(time);
        }
        let server =
            server.build(self.machine).map_err(|error| QmpError::generic(error.to_string()))?;
        let shared = server.machine().downgrade();
        server.with_machine(|machine, _| {
            machine.clock.attach(shared.clone());
            machine.shared = Some(shared);
        });
        Ok(Simulator { server })
    }

    /// Adds a part of the machine, unless an earlier one has failed.
    fn with(
        mut self,
        options: Value,
        add: impl FnOnce(&mut Machine, &Arguments) -> Result<(), QmpError>,
    ) -> Self {
        if self.error.is_some() {
            return self;
        }
        let options = match options {
            Value::Object(options) => options,
            _ => Map::new(),
        };
        self.error = add(&mut self.machine, &Arguments(options)).err();
        self
    }

    /// Adds a part of the machine with the arguments of a command, which are checked first.
    fn checked(
        self,
        command: &str,
        options: Value,
        add: impl FnOnce(&mut Machine, &Arguments) -> Result<(), QmpError>,
    ) -> Self {
        self.with(options, |machine, options| {
            options::check(qemu_schema().introspection(), command, &options.0)?;
            add(machine, options)
        })
    }

    fn fail(mut self, desc: String) -> Self {
        self.error = self.error.or_else(|| refuse::<()>(desc).err());
        self
    }
}

/// Returns QEMU's schema, which is read once per process.
fn qemu_schema() -> Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let parse = || Schema::parse(qmp::INTROSPECTION).expect("QEMU's schema is valid");
    SCHEMA.get_or_init(parse).clone()
}
