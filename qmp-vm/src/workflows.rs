//! The workflows, as methods of both clients: the table of contents.

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::time::Duration;

use qmp_client::{Request, Result};
use qmp_types::qmp::commands::InputSendEvent;
#[cfg(target_os = "linux")]
use qmp_types::qmp::commands::Screendump;
use qmp_types::qmp::types::{HotpluggableCPU, MigrationInfo, QKeyCode, RunState};

#[cfg(unix)]
use crate::another::{self, AnotherMonitor};
use crate::capabilities::{self, Capabilities};
#[cfg(unix)]
use crate::connect::Connect;
use crate::cpu;
use crate::device::{self, DeviceCapabilities};
#[cfg(unix)]
use crate::disk::FdsetGuard;
use crate::disk::{self, Fdset};
use crate::human::{self, HumanText};
use crate::input;
use crate::job::{self, JobOutcome, Jobs};
use crate::keyboard;
use crate::memory;
use crate::migration::{self, MigrationOutcome};
use crate::monitor::Monitor;
#[cfg(unix)]
use crate::nic::{self, NicNames};
use crate::power::{self, ShutDown};
#[cfg(target_os = "linux")]
use crate::screen;
use crate::unplug::{self, Unplugged};

/// The workflows, as methods of both clients.
///
/// On the blocking client, a method returns its result; on the asynchronous one, it returns a future
/// of the result, to be awaited. Nothing is sent before the future is polled.
///
/// Parameters that are commands take any [`Request`], so that a program may use a vocabulary of its
/// own, or [`Raw`](qmp_client::Raw) commands.
///
/// The deadline of a method covers everything that it does, unless the method says otherwise. Where
/// a method takes no deadline, each of its commands has that of the
/// [options](qmp_client::Options::calls_within). The commands that undo earlier ones after a failure
/// have one such deadline together on the blocking client, which waits for them. If a command times
/// out, they are sent without waiting: QEMU executes them when it answers again.
///
/// # When this program is killed
/// The steps that were taken stay, since nothing undoes them (`SIGKILL`, `abort`, `exit`). QEMU
/// completes the command that it has begun, and drops the others. These may be left, until another
/// program removes them:
///
/// | methods | may leave | removed by |
/// | --- | --- | --- |
/// | `add_descriptor`, `plug_disk`, `screenshot` | a set of descriptors, which `query-fdsets` lists | `remove-fd` |
/// | `plug_disk` | the block node | `blockdev-del` |
/// | `plug_nic` | descriptors with names, which no command lists | `closefd` on the same monitor |
/// | `plug_nic` | the network backend | `netdev_del` |
/// | `plug_memory` | the memory | `object-del` |
/// | `run_job`, `watch_jobs`, `cancel_job` | a job, if its `auto-dismiss` is false or it is ready | `job-cancel`, `job-dismiss` |
/// | `migrate` | a migration, which goes on, or waits before the switchover | `migrate_cancel` |
///
/// A QEMU that was launched ends. File systems that are frozen are thawed by a `ThawWatch`.
pub trait Workflows: Monitor {
    /// Returns the capabilities of this QEMU. The reply is large: ask once.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryStats;
    /// use qmp_vm::Workflows;
    ///
    /// let capabilities = vm.capabilities()?;
    /// if capabilities.supports::<QueryStats>() && capabilities.has("blockdev-backup/discard-source") {
    ///     println!("QEMU 9.1 or later");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    fn capabilities(&self) -> Self::Outcome<'_, Result<Capabilities>> {
        Self::run(capabilities::capabilities(self))
    }

    /// Returns what this QEMU tells of a type of devices: its properties, which `device_add` takes.
    /// `None` if QEMU does not have it.
    ///
    /// To answer, QEMU creates such a device for a moment. A QEMU that lacks a module which the
    /// device needs exits instead, and with it the guest.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::DeviceAdd;
    /// use qmp_vm::Workflows;
    ///
    /// let mut disk = DeviceAdd::new("virtio-blk-pci").property("drive", "node0");
    /// let kind = vm.device_capabilities("virtio-blk-pci")?;
    /// if kind.is_some_and(|kind| kind.has("queue-size")) {
    ///     disk = disk.property("queue-size", 1024);
    /// }
    /// # let _ = disk;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`, apart from the one that the type does not exist; or the type
    /// cannot be created.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    fn device_capabilities<'a>(
        &'a self,
        driver: &'a str,
    ) -> Self::Outcome<'a, Result<Option<DeviceCapabilities>>> {
        Self::run(device::capabilities(self, driver))
    }

    /// Opens another monitor of this machine: a further client of the same kind, with the same options,
    /// over a connection of its own. It hears all events, and its commands do not wait for those of this
    /// one. Dropping it leaves nothing behind.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "proxy"))]
    /// # fn example() -> qmp_client::Result<()> {
    /// use qmp_client::blocking::Client;
    /// use qmp_client::qmp::commands::QueryStatus;
    /// use qmp_vm::{Launch, Workflows};
    ///
    /// // With every release of QEMU, thanks to `shared`.
    /// let vm = Launch::new("qemu-system-x86_64").shared().start::<Client>()?;
    /// let other = vm.open_monitor()?;
    /// println!("{}", other.execute(QueryStatus::new())?.status);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// QEMU has monitors that can be added since 11.1, as objects of the type `monitor-qmp`. On older
    /// ones, the connection has to lead through a proxy of the module `proxy`, which opens the monitor
    /// instead: with `Launch::shared`, `proxy::connect_shared`, or any other
    /// [`Proxy`](https://docs.rs/qmp-vm/latest/qmp_vm/proxy/struct.Proxy.html). If that proxy restricts
    /// its clients, it opens the monitors on every release, with the rights of this client.
    ///
    /// On an executor other than tokio, use `qmp_vm::futures_io::open_monitor`.
    ///
    /// # Errors
    /// [`Misuse::OneMonitor`](qmp_client::Misuse::OneMonitor): neither QEMU nor a proxy opens
    /// monitors. Those of `Client::execute` and of `Client::over`; what was added to QEMU is removed.
    ///
    /// # Cancel safety
    /// If the future is dropped, what was added to QEMU is removed in the background. If this program is
    /// killed between two of the three commands, a descriptor or a character device stays; its name
    /// begins with `qmp-monitor-`.
    ///
    /// # Panics
    /// The future panics outside of a tokio runtime.
    #[cfg(unix)]
    fn open_monitor(&self) -> Self::Outcome<'_, Result<AnotherMonitor<Self>>>
    where
        Self: Connect,
    {
        Self::run(another::open(self, Self::over_unix))
    }

    /// Executes a command of the human monitor (HMP), and returns the text that it prints. QEMU does
    /// not say whether the command succeeded: a failure is a text, too, and `Ok`.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_vm::Workflows;
    ///
    /// println!("{}", vm.human_monitor("info registers")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`: QEMU did not execute the command.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, the command is executed all the same.
    fn human_monitor<'a>(&'a self, command: &'a str) -> Self::Outcome<'a, Result<HumanText>> {
        Self::run(human::human_monitor(self, command))
    }

    /// Unplugs a device, by id or QOM path, and waits until it is gone or the guest has refused.
    /// Events from before this call do not count, and neither do those of other devices. When this
    /// succeeds, nothing that belongs to the device uses its backend any more.
    ///
    /// A device that is already being unplugged, for example because an earlier call timed out, is
    /// waited for, and so is a guest that is too busy to be asked.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_vm::{Unplugged, Workflows};
    ///
    /// if vm.unplug("d0", PATIENCE)? == Unplugged::Refused {
    ///     println!("the guest still uses d0");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// QEMU refuses, or the guest does not react in time: it may still release the device later, and
    /// this method can be called again. If that fails with
    /// [`DeviceNotFound`](qmp_client::ErrorClass::DeviceNotFound), the device was released in
    /// between. A guest that does not run releases nothing, except for devices that are removed
    /// without asking it, such as those of USB.
    ///
    /// # Cancel safety
    /// If the future is dropped, a guest that was asked may release the device later.
    fn unplug<'a>(
        &'a self,
        device: &'a str,
        within: Duration,
    ) -> Self::Outcome<'a, Result<Unplugged>> {
        Self::run(unplug::unplug(self, device, within))
    }

    /// Unplugs a disk: [unplugs](Self::unplug) the device, and then deletes its block node. If the guest
    /// refuses, nothing has been removed.
    ///
    /// This can be called again after it has failed, and does the steps that are left: a device or a
    /// node that does not exist is not an error.
    ///
    /// A device holds its node until QEMU reports `DEVICE_DELETED`. It disappears from `/machine`
    /// earlier, when the guest has released it; in between, `blockdev-del` fails because the node "is in
    /// use". This is usually short. With TCG, releases before 11.1 wait until each virtual CPU has left
    /// its loop, which may not happen for as long as the guest computes; `stop` ends the wait.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_vm::{Unplugged, Workflows};
    ///
    /// // When this has succeeded, the image is not in use any more.
    /// if vm.unplug_disk("disk1", "node1", PATIENCE)? == Unplugged::Deleted {
    ///     println!("disk1 is gone");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`unplug`](Self::unplug), except that the device does not exist; and the node is not
    /// released in time, because something else uses it, or for the reason above: then the error has
    /// what QEMU said last.
    ///
    /// # Cancel safety
    /// If the future is dropped, a guest that was asked may release the device later, and a node may be
    /// left.
    fn unplug_disk<'a>(
        &'a self,
        device: &'a str,
        node_name: &'a str,
        within: Duration,
    ) -> Self::Outcome<'a, Result<Unplugged>> {
        Self::run(unplug::unplug_disk(self, device, node_name, within))
    }

    /// Passes a descriptor to QEMU, in a set of its own, until the guard is dropped. QEMU can do
    /// with it what it was opened for: read, write, or both.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::qmp::commands::DumpGuestMemory;
    /// use qmp_vm::Workflows;
    ///
    /// let file = vm.add_descriptor(std::fs::File::create("memory")?)?;
    /// vm.execute(DumpGuestMemory::new(false, format!("file:{}", file.path())))?;
    /// file.remove()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`; and the connection is not a Unix socket.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, the set is removed in the background.
    #[cfg(unix)]
    fn add_descriptor<'a>(
        &'a self,
        descriptor: impl Into<OwnedFd>,
    ) -> Self::Outcome<'a, Result<FdsetGuard<Self>>> {
        Self::run(disk::add_descriptor_alone(self, descriptor.into()))
    }

    /// Removes a set that was [kept](crate::FdsetGuard::keep). Whatever uses the descriptor can go
    /// on using it. The descriptor is closed when nothing uses it any more; older releases such as
    /// 7.2 do not close it before the virtual machine runs.
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "blocking"))]
    /// # fn example(vm: qmp_client::blocking::Client, file: std::fs::File) -> qmp_client::Result<()> {
    /// use qmp_vm::Workflows;
    ///
    /// let set = vm.add_descriptor(file)?.keep();
    /// // Later, and from wherever the number of the set was kept.
    /// vm.remove_fdset(&set)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, the set is removed all the same.
    fn remove_fdset<'a>(&'a self, fdset: &'a Fdset) -> Self::Outcome<'a, Result<()>> {
        Self::run(disk::remove_fdset(self, fdset))
    }

    /// Plugs in a disk whose image is an open file, in three steps: the set, the block node, the
    /// device. `node` receives the name under which QEMU opens the file, and returns the command
    /// that adds the node, such as `BlockdevAdd`, or a `Raw` one; `node_name` is the name of that
    /// node. `device` is the command that adds the device, such as `DeviceAdd`.
    ///
    /// If a step fails, the earlier ones are undone, in reverse order, before any later command. To
    /// remove the disk, use [`unplug_disk`](Self::unplug_disk).
    ///
    /// The set is removed as soon as the node exists, since the node holds the file open: a node
    /// with `auto-read-only` cannot reopen it for writing.
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "blocking"))]
    /// # fn example(vm: qmp_client::blocking::Client, image: std::fs::File) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{BlockdevAdd, DeviceAdd};
    /// use qmp_client::qmp::types::{
    ///     BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile, BlockdevOptionsQcow2,
    /// };
    /// use qmp_vm::Workflows;
    ///
    /// let disk = DeviceAdd::new("virtio-blk-pci").id("disk1").property("drive", "node1");
    /// vm.plug_disk(image, "node1", |path| {
    ///     let file = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(path));
    ///     let qcow2 = BlockdevOptionsQcow2::new(BlockdevOptions::new(file));
    ///     BlockdevAdd::new(BlockdevOptions::new(qcow2).node_name("node1"))
    /// }, disk)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error of the step that failed.
    ///
    /// # Cancel safety
    /// If the future is dropped, the steps that were taken are undone in the background. A
    /// `device_add` that was sent is executed: then either the disk is plugged in, because QEMU does
    /// not delete a node that is in use, or nothing is left.
    #[cfg(unix)]
    fn plug_disk<'a, N, D>(
        &'a self,
        image: impl Into<OwnedFd>,
        node_name: &'a str,
        node: impl FnOnce(&str) -> N + Send + 'a,
        device: D,
    ) -> Self::Outcome<'a, Result<()>>
    where
        N: Request<Return: Send> + Send + 'a,
        D: Request<Return: Send> + Send + 'a,
    {
        Self::run(disk::plug_disk(self, image.into(), node_name, node, device))
    }

    /// Plugs in a network card whose backend are open descriptors, in three steps: the descriptors,
    /// the backend, the device. `queues` are the queues of a tap device, or one socket, and `vhost`
    /// is one descriptor of `/dev/vhost-net` for each queue, or nothing. `netdev` receives the
    /// names that QEMU knows them by, and returns the command that adds the backend, such as
    /// `NetdevAdd`; `netdev_id` is the id of that backend. `device` is the command that adds the
    /// device.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client, queues: Vec<std::os::fd::OwnedFd>)
    /// # -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{DeviceAdd, NetdevAdd};
    /// use qmp_client::qmp::types::{Netdev, NetdevTapOptions, NetdevType};
    /// use qmp_vm::Workflows;
    ///
    /// let vectors = 2 * queues.len() + 2;
    /// let card = DeviceAdd::new("virtio-net-pci")
    ///     .property("netdev", "net1")
    ///     .property("mq", true)
    ///     .property("vectors", vectors);
    /// vm.plug_nic("net1", queues, [], |names| {
    ///     let tap = NetdevTapOptions::new().fds(names.queues.as_str());
    ///     NetdevAdd::new(Netdev::new("net1", NetdevType::Tap(tap)))
    /// }, card)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If a step fails, the earlier ones are undone, in reverse order, before any later command. A
    /// backend that is refused may have taken some of the descriptors; QEMU closes the others. To
    /// remove the card, [`unplug`](Self::unplug) the device, and then delete the backend.
    ///
    /// # Errors
    /// The error of the step that failed.
    ///
    /// # Cancel safety
    /// If the future is dropped, the steps that were taken are undone in the background. A
    /// `device_add` that was sent is executed, and deleting its backend detaches the card.
    #[cfg(unix)]
    fn plug_nic<'a, N, D>(
        &'a self,
        netdev_id: &'a str,
        queues: impl IntoIterator<Item = OwnedFd>,
        vhost: impl IntoIterator<Item = OwnedFd>,
        netdev: impl FnOnce(&NicNames) -> N + Send + 'a,
        device: D,
    ) -> Self::Outcome<'a, Result<()>>
    where
        N: Request<Return: Send> + Send + 'a,
        D: Request<Return: Send> + Send + 'a,
    {
        let (queues, vhost) = (queues.into_iter().collect(), vhost.into_iter().collect());
        Self::run(nic::plug_nic(self, netdev_id, queues, vhost, netdev, device))
    }

    /// Plugs in a CPU with this id, in the first free slot, and returns the slot; `None` if every
    /// slot is occupied. QEMU tells which slots there are, and what identifies them, which depends on
    /// the architecture. One device may be more than one CPU: on POWER, it is a core with all its
    /// threads.
    ///
    /// QEMU must have been started with free slots, such as `-smp 2,maxcpus=8`. Whether the guest
    /// uses the CPU is up to the guest; the agent's `guest-set-vcpus` may have to tell it. To remove
    /// the CPU, [`unplug`](Self::unplug) it.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_vm::Workflows;
    ///
    /// match vm.plug_cpu("cpu5")? {
    ///     Some(slot) => println!("{} more CPUs", slot.vcpus_count),
    ///     None => println!("every slot is occupied"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`. Another client may have filled the slot in between, or the machine
    /// does not support this.
    ///
    /// # Cancel safety
    /// If the future is dropped after the second command was sent, the CPU is plugged in all the
    /// same.
    fn plug_cpu<'a>(&'a self, id: &'a str) -> Self::Outcome<'a, Result<Option<HotpluggableCPU>>> {
        Self::run(cpu::plug_cpu(self, id))
    }

    /// Plugs in memory, in two steps: `backend` is the command that creates the memory, such as
    /// `ObjectAdd`, and `backend_id` is the id of that object; `device` is the command that adds the
    /// device that the guest sees, such as `DeviceAdd` of a `pc-dimm` or of a `virtio-mem-pci`.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{DeviceAdd, ObjectAdd};
    /// use qmp_client::qmp::types::{MemoryBackendProperties, ObjectOptions, ObjectOptionsQomType};
    /// use qmp_vm::Workflows;
    ///
    /// // QEMU must have been started with free slots, such as `-m 4G,slots=8,maxmem=64G`.
    /// let ram = ObjectOptionsQomType::MemoryBackendRam(MemoryBackendProperties::new(1 << 30));
    /// let dimm = DeviceAdd::new("pc-dimm").id("dimm1").property("memdev", "memory1");
    /// vm.plug_memory("memory1", ObjectAdd::new(ObjectOptions::new(ram, "memory1")), dimm)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the second step fails, the memory is freed. To remove it, [`unplug`](Self::unplug) the
    /// device, and then delete the object.
    ///
    /// # Errors
    /// The error of the step that failed.
    ///
    /// # Cancel safety
    /// If the future is dropped, the memory is freed in the background. A `device_add` that was sent
    /// is executed: then either the memory is plugged in, because QEMU does not delete an object that
    /// is in use, or nothing is left.
    fn plug_memory<'a, B, D>(
        &'a self,
        backend_id: &'a str,
        backend: B,
        device: D,
    ) -> Self::Outcome<'a, Result<()>>
    where
        B: Request<Return: Send> + Send + 'a,
        D: Request<Return: Send> + Send + 'a,
    {
        Self::run(memory::plug_memory(self, backend_id, backend, device))
    }

    /// Starts a job and waits until it has concluded. The job is completed when it is ready (as a
    /// mirror is when both sides are the same), finalized when it is pending, and dismissed when it
    /// is concluded.
    ///
    /// The command must give the job this id, and should set `auto-dismiss` to false if it has that
    /// argument: otherwise, only block jobs report why they failed.
    ///
    /// This also returns when an I/O error has paused the job: see [`JobOutcome::concluded`].
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_client::qmp::commands::BlockdevBackup;
    /// use qmp_client::qmp::types::MirrorSyncMode;
    /// use qmp_vm::Workflows;
    ///
    /// let backup = BlockdevBackup::new("disk0", MirrorSyncMode::Full, "target")
    ///     .job_id("backup")
    ///     .auto_dismiss(false);
    /// vm.run_job(backup, "backup", PATIENCE)?.into_result()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// QEMU refuses the command, or the job is not concluded in time: then it goes on, and the
    /// error names its state. [`watch_jobs`](Self::watch_jobs) waits longer, and
    /// [`cancel_job`](Self::cancel_job) ends it.
    ///
    /// # Cancel safety
    /// If the future is dropped, a job that was started goes on, and is not completed, finalized or
    /// dismissed.
    fn run_job<'a>(
        &'a self,
        command: impl Request<Return: Send> + Send + 'a,
        id: &'a str,
        within: Duration,
    ) -> Self::Outcome<'a, Result<JobOutcome>> {
        Self::run(job::run_job(self, command, id, within))
    }

    /// Watches jobs that are about to start, such as those of one transaction, or that have started;
    /// [`Jobs::finish`] then waits for all of them. Anything may be done in between, such as
    /// thawing a guest: no event is missed.
    ///
    /// The jobs should have `auto-dismiss=false`: otherwise, only block jobs report why they failed,
    /// and only to those who watched before they ended.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// # let actions = Vec::new();
    /// use qmp_client::qmp::commands::Transaction;
    /// use qmp_vm::Workflows;
    ///
    /// let mut jobs = vm.watch_jobs(["backup-disk0", "backup-disk1"]);
    /// vm.execute(Transaction::new(actions))?;
    /// for outcome in jobs.finish(PATIENCE)? {
    ///     println!("{}: {:?}", outcome.id, outcome.error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    fn watch_jobs(&self, ids: impl IntoIterator<Item = impl Into<String>>) -> Jobs<Self> {
        Jobs::new(self, ids)
    }

    /// Cancels a job, waits until it is concluded, and dismisses it. A job that is concluded already
    /// is only dismissed. The outcome says how the job ended. A mirror that is ready is cancelled
    /// like any other job; `block-job-cancel` instead ends it with a complete copy that is not
    /// switched to.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_vm::Workflows;
    ///
    /// let outcome = vm.cancel_job("backup", PATIENCE)?;
    /// println!("{}: {:?}", outcome.id, outcome.error);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The job does not exist, or is not concluded in time: it may be later.
    ///
    /// # Cancel safety
    /// If the future is dropped, a job that was cancelled ends, and is not finalized or dismissed.
    fn cancel_job<'a>(
        &'a self,
        id: &'a str,
        within: Duration,
    ) -> Self::Outcome<'a, Result<JobOutcome>> {
        Self::run(job::cancel_job(self, id, within))
    }

    /// Executes a command that starts or continues a migration, such as `Migrate`, and follows the
    /// migration to its end, or until it waits for a command. `progress` is called with QEMU's report
    /// whenever the state changes, and twice a second. Set parameters and other capabilities before.
    ///
    /// When the migration has ended, this waits until the run state has [settled](Self::settle), so
    /// that `cont` is not refused. A tenth of `within`, at most a second, is kept for that. If it is not
    /// enough, the outcome is returned all the same.
    ///
    /// With the capability `pause-before-switchover`, the migration pauses when the guest is stopped,
    /// and this method returns [`MigrationOutcome::Waiting`]. The next call continues it:
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_client::qmp::commands::{Migrate, MigrateContinue};
    /// use qmp_client::qmp::types::MigrationStatus;
    /// use qmp_vm::Workflows;
    ///
    /// let mut outcome = vm.migrate(Migrate::new().uri("tcp:there:4444"), PATIENCE, |_| {})?;
    /// if outcome.info().status == Some(MigrationStatus::PreSwitchover) {
    ///     // ... end whatever else uses the disks.
    ///     let switch = MigrateContinue::new(MigrationStatus::PreSwitchover);
    ///     outcome = vm.migrate(switch, PATIENCE, |_| {})?;
    /// }
    /// outcome.into_result()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// QEMU refuses the command, or the migration has not ended in time: then it goes on, and
    /// [`follow_migration`](Self::follow_migration) waits longer. The error names the last state; in
    /// `wait-unplug`, for example, QEMU waits until the guest has released a device. A migration that
    /// ends without success is not an error here, but an outcome that
    /// [`into_result`](MigrationOutcome::into_result) turns into one.
    ///
    /// # Cancel safety
    /// If the future is dropped, a migration that was started goes on; `migrate_cancel` ends it.
    fn migrate<'a>(
        &'a self,
        command: impl Request<Return: Send> + Send + 'a,
        within: Duration,
        progress: impl FnMut(&MigrationInfo) + Send + 'a,
    ) -> Self::Outcome<'a, Result<MigrationOutcome>> {
        Self::run(migration::migrate(self, command, within, progress))
    }

    /// Follows a migration that has been started, by this client or another one, like
    /// [`migrate`](Self::migrate).
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_vm::Workflows;
    ///
    /// // A migration that an earlier run of this program has started.
    /// let migrated = vm.follow_migration(PATIENCE, |info| println!("{:?}", info.status))?;
    /// println!("{}", migrated.is_completed());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The migration has not ended in time: then it goes on. The error names the last state.
    ///
    /// # Cancel safety
    /// If the future is dropped, the migration goes on.
    fn follow_migration<'a>(
        &'a self,
        within: Duration,
        progress: impl FnMut(&MigrationInfo) + Send + 'a,
    ) -> Self::Outcome<'a, Result<MigrationOutcome>> {
        Self::run(migration::follow_migration(self, within, progress))
    }

    /// Waits until the run state has settled after a migration, and returns it. After a migration,
    /// the source is cleaning up for a moment, and refuses `cont`; the destination stays in
    /// `inmigrate` until everything has arrived, and for a moment after.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_client::qmp::commands::Cont;
    /// use qmp_client::qmp::types::RunState;
    /// use qmp_vm::Workflows;
    ///
    /// // The migration has failed: the guest goes on here.
    /// if vm.settle(PATIENCE)? != RunState::Running {
    ///     vm.execute(Cont::new())?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The run state has not settled in time.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    fn settle(&self, within: Duration) -> Self::Outcome<'_, Result<RunState>> {
        Self::run(migration::settle(self, within))
    }

    /// Ends QEMU at once, and waits until it has closed the connection; the guest is not asked. It
    /// is success if QEMU closes the connection before it replies.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_vm::Workflows;
    ///
    /// // The guest loses what it has not written to its disks.
    /// vm.quit()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// QEMU refuses or has not ended in time, the connection had ended before, or it ends for a
    /// reason other than that QEMU closed it: then QEMU may still be running.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, QEMU ends all the same.
    fn quit(&self) -> Self::Outcome<'_, Result<()>> {
        self.quit_within(self.options().call_within("quit"))
    }

    /// [`quit`](Self::quit) with a deadline.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_client::blocking::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_vm::Workflows;
    ///
    /// vm.quit_within(Duration::from_secs(120))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`quit`](Self::quit).
    ///
    /// # Cancel safety
    /// That of [`quit`](Self::quit).
    fn quit_within(&self, within: Duration) -> Self::Outcome<'_, Result<()>> {
        Self::run(power::quit(self, within))
    }

    /// Asks the guest to shut down, and then ends QEMU. QEMU is ended when the guest is off or has
    /// not reacted within `patience`, and at once if the guest is in no state to react, as before
    /// its start, after a migration or after a panic. QEMU then has `patience` again to end.
    ///
    /// A guest that is paused is resumed, and one that is suspended is woken, so that it notices its
    /// power button. It is success too if QEMU closes the connection without an event that says why.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_vm::{EndedBy, Workflows};
    ///
    /// let end = vm.shut_down(PATIENCE)?;
    /// if end.by != EndedBy::Guest {
    ///     println!("the guest did not shut down by itself: {:?}", end.reason);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// QEMU does not end, or it is not known whether it does: see [`quit`](Self::quit). A virtual
    /// machine that was launched here is killed instead:
    /// see [`Launched::shut_down`](crate::Launched::shut_down).
    ///
    /// # Cancel safety
    /// If the future is dropped, a guest that was asked may still shut down, and a QEMU that was
    /// told to quit ends.
    fn shut_down(&self, patience: Duration) -> Self::Outcome<'_, Result<ShutDown>> {
        Self::run(power::shut_down(self, patience))
    }

    /// Returns a picture of the guest's first screen, as the bytes of a PPM image. No file is
    /// written: QEMU writes to memory of this process. The connection must be a Unix socket.
    ///
    /// ```no_run
    /// # #[cfg(all(target_os = "linux", feature = "blocking"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_vm::Workflows;
    ///
    /// std::fs::write("screen.ppm", vm.screenshot()?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// QEMU has no screen, the connection is not a Unix socket, or QEMU writes more than 128 MiB.
    ///
    /// # Cancel safety
    /// If the future is dropped, QEMU's access to the memory is removed in the background.
    #[cfg(target_os = "linux")]
    fn screenshot(&self) -> Self::Outcome<'_, Result<Vec<u8>>> {
        self.screenshot_with(|path| Screendump::new(path))
    }

    /// Returns a picture of a screen, as [`screenshot`](Self::screenshot) does, of any device and in
    /// any format that QEMU supports. `command` receives the name under which QEMU opens the memory,
    /// and returns the command that writes to it. Releases up to 11.1 do not remove the set of a PNG
    /// from their list of sets, although its descriptor is closed.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::{commands::Screendump, types::ImageFormat};
    /// use qmp_vm::Workflows;
    ///
    /// // QEMU writes PNG since 7.1, if it was built with it.
    /// let png = vm.screenshot_with(|path| {
    ///     Screendump::new(path).device("video0").head(1).format(ImageFormat::Png)
    /// })?;
    /// # let _ = png;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`screenshot`](Self::screenshot); or QEMU refuses the device, its head or the format.
    ///
    /// # Cancel safety
    /// That of [`screenshot`](Self::screenshot).
    #[cfg(target_os = "linux")]
    fn screenshot_with<'a, R: Request<Return: Send> + Send + 'a>(
        &'a self,
        command: impl FnOnce(&str) -> R + Send + 'a,
    ) -> Self::Outcome<'a, Result<Vec<u8>>> {
        Self::run(screen::screenshot(self, command))
    }

    /// Types a text on a US keyboard: letters, digits, punctuation, space, tab and newline of ASCII.
    /// When this returns, the last key has been released.
    ///
    /// The text is typed at a pace at which a guest reads every key: a character takes about 40 ms,
    /// and 80 ms with shift, longer if QEMU is busy. QEMU queues keys and drops those that do not
    /// fit its queue or arrive while the guest is stopped. Therefore, each character is queued when
    /// the one before it has been typed, and while the guest is stopped, this waits. A character
    /// whose key was pressed in the very moment in which the guest is stopped may be typed twice.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_vm::Workflows;
    ///
    /// vm.type_text("root\n")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`; the guest does not run and is not resumed within the deadline
    /// of a call; or the keyboard does not have a character of the text: then nothing is typed.
    ///
    /// # Cancel safety
    /// If the future is dropped, part of the text has been typed. QEMU releases every key by itself.
    fn type_text<'a>(&'a self, text: &'a str) -> Self::Outcome<'a, Result<()>> {
        Self::run(keyboard::type_text(self, text))
    }

    /// Presses keys in this order, such as Ctrl, Alt and Delete, and releases them in reverse order.
    /// `hold` is the time from one change to the next; 20 ms is enough for every guest, and a guest
    /// repeats a key that is held for 250 ms. When this returns, the last key has been released.
    ///
    /// Like [`type_text`](Self::type_text), this waits while the guest is stopped, because QEMU drops
    /// the keys for a guest that does not run.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::types::QKeyCode;
    /// use qmp_vm::Workflows;
    ///
    /// let keys = [QKeyCode::Ctrl, QKeyCode::Alt, QKeyCode::Delete];
    /// vm.press_keys(keys, Duration::from_millis(20))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`; or the guest does not run and is not resumed within the deadline
    /// of a call.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, QEMU presses and releases every key.
    fn press_keys<'a>(
        &'a self,
        keys: impl IntoIterator<Item = QKeyCode>,
        hold: Duration,
    ) -> Self::Outcome<'a, Result<()>> {
        let keys = keys.into_iter().collect();
        Self::run(keyboard::press_keys(self, keys, hold))
    }

    /// Sends input events step by step, such as moving the pointer, pressing a button, and releasing
    /// it. QEMU passes the events of a step on at once, and drops those that do not fit the queue of
    /// the guest's device, which is as short as 16 bytes: so this waits after each step for `pace`,
    /// and longer if QEMU is busy. 20 ms is enough for every guest.
    ///
    /// Keys and buttons that are pressed are released, whatever happens: at the end, if a step fails,
    /// and if the future is dropped. While the guest is stopped, this waits, and a guest that stays
    /// stopped cannot be told about their release. All steps must have the same device and head.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::InputSendEvent;
    /// use qmp_client::qmp::types::{
    ///     InputAxis, InputBtnEvent, InputBtnEventWrapper, InputButton, InputEvent, InputMoveEvent,
    ///     InputMoveEventWrapper,
    /// };
    /// use qmp_vm::Workflows;
    ///
    /// // The middle of the screen; the guest needs a tablet for that.
    /// let to = |axis| InputEvent::Abs(InputMoveEventWrapper::new(InputMoveEvent::new(axis, 16384)));
    /// let button = |down| {
    ///     InputEvent::Btn(InputBtnEventWrapper::new(InputBtnEvent::new(InputButton::Left, down)))
    /// };
    /// let steps = [vec![to(InputAxis::X), to(InputAxis::Y)], vec![button(true)], vec![button(false)]];
    /// vm.send_input(steps.map(InputSendEvent::new), Duration::from_millis(20))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`; or the guest does not run and is not resumed within the deadline
    /// of a call. QEMU does not say whether the guest has a device for an event.
    ///
    /// # Cancel safety
    /// If the future is dropped, some steps have been taken, and everything is released in the
    /// background.
    fn send_input<'a>(
        &'a self,
        steps: impl IntoIterator<Item = InputSendEvent>,
        pace: Duration,
    ) -> Self::Outcome<'a, Result<()>> {
        let steps = steps.into_iter().collect();
        Self::run(input::send_input(self, steps, pace))
    }
}

impl<M: Monitor> Workflows for M {}
