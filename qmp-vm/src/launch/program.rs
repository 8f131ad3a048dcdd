//! Programs to be launched, with their monitor on a socket pair.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use qmp_client::qmp::commands::{ChardevAdd, DeviceAdd};
use qmp_client::qmp::types::{
    Audiodev, BlockdevOptions, CompatPolicy, DisplayOptions, Netdev, ObjectOptions,
};
use qmp_client::{Connecting, Options, Result};

use super::argument::{self, Argument};
use super::chardev;
use super::launched::Launched;
use super::launching::Launching;
use super::start::{Configure, Start};
use crate::connect::Connect;
use crate::process::{Hook, Hooks};

/// The arguments that open QEMU's monitor.
const MONITOR: [&str; 4] =
    ["-chardev", "socket,id=qmp-client,fd={fd}", "-qmp", "chardev:qmp-client"];

/// A QEMU to be started, with its monitor connected to this program alone: no socket exists in the
/// file system, no other client can connect, and nothing has to be waited for.
///
/// ```no_run
/// # #[cfg(feature = "blocking")] {
/// use qmp_client::blocking::Client;
/// use qmp_vm::Launch;
///
/// let vm = Launch::new("qemu-system-x86_64")
///     .args(["-M", "none", "-display", "none"])
///     .start::<Client>()?;
/// println!("{}", vm.version());
/// vm.quit()?;
/// # }
/// # Ok::<(), qmp_client::Error>(())
/// ```
///
/// On tokio, this is `.start::<qmp_client::Client>().await?`. On other executors,
/// `qmp_vm::futures_io::launch` takes a `Launch`.
///
/// # One value, cold and hot
///
/// The values of `blockdev-add`, `netdev_add`, `object-add`, `chardev-add` and `device_add` are those of
/// the options as well: what a machine is started with can be unplugged, and what is plugged into a
/// running machine can be there from the start of the next.
///
/// ```
/// use qmp_client::qmp::commands::{BlockdevAdd, DeviceAdd};
/// use qmp_client::qmp::types::{
///     BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile,
/// };
/// use qmp_vm::Launch;
///
/// let file = BlockdevOptionsDriver::File(BlockdevOptionsFile::new("disk.img"));
/// let disk = BlockdevOptions::new(file).node_name("disk");
/// let device = DeviceAdd::new("virtio-blk-pci").id("d0").property("drive", "disk");
/// let cold = Launch::new("qemu-system-x86_64").blockdev(&disk).device(&device);
/// let hot = (BlockdevAdd::new(disk), device);
/// ```
///
/// # Input and output
///
/// The process has no input, and what it writes to its standard output is discarded, unless
/// [`on_stdout`](Self::on_stdout) or [`console`](Self::console) is used. The monitor is not there:
/// `-nographic`, `-serial stdio`, `-serial mon:stdio` and `-monitor stdio` work. Of standard error, the
/// last lines are kept ([`Process::stderr`](crate::Process::stderr)), and all lines are passed to
/// [`on_stderr`](Self::on_stderr).
///
/// # The process
///
/// The program is started by `/bin/sh`, which becomes the program. It leads a process group of its
/// own, so that it does not receive a terminal's interrupt. A script that starts QEMU is in order; if
/// it does not become QEMU by `exec`, it is killed together with QEMU. A program that starts QEMU as
/// another user, such as `sudo`, may be out of reach, and closes the monitor's descriptor;
/// [`monitor_args`](Self::monitor_args) can have the monitor on standard input.
///
/// With `-daemonize`, QEMU leaves the process that was started here, which is an error.
///
/// [`configure`](Self::configure) gives access to everything else: the environment, the user, the
/// working directory.
///
/// # When this program ends
///
/// Dropping [`Launched`] ends QEMU. When this program exits, panics, aborts or is killed, QEMU ends as
/// well: a second shell waits for the end of this program, sends SIGTERM to QEMU's process group, so
/// that QEMU closes its disk images, and kills the group after the time of [`grace`](Self::grace). A
/// child that this program forks, without `exec`, becomes a further owner.
/// [`exit_with_parent(false)`](Self::exit_with_parent) turns this off.
///
/// QEMU's own `-run-with exit-with-parent=on`, since QEMU 10.2, is not needed. On Linux, it ends QEMU
/// already when the *thread* ends that called [`start`](Self::start).
///
/// `Debug` shows neither the arguments nor the environment, which may contain secrets.
#[must_use = "it has to be started"]
pub struct Launch {
    program: OsString,
    arguments: Vec<Argument>,
    /// The first argument that could not be made, and why.
    refused: Option<String>,
    monitor: Vec<String>,
    console: Option<OwnedFd>,
    configure: Vec<Configure>,
    options: Options,
    grace: Duration,
    exit_with_parent: bool,
    #[cfg(feature = "proxy")]
    shared: bool,
    hooks: Hooks,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .field("monitor", &self.monitor)
            .field("console", &self.console)
            .field("options", &self.options)
            .field("grace", &self.grace)
            .field("exit_with_parent", &self.exit_with_parent)
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}

impl Launch {
    /// Launches a program that takes QEMU's options.
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "blocking"))]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::Launch;
    ///
    /// let vm = Launch::new("qemu-system-x86_64")
    ///     .args(["-display", "none", "-m", "2G"])
    ///     .start::<Client>()?;
    /// println!("QEMU {}", vm.version());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            refused: None,
            monitor: MONITOR.map(String::from).to_vec(),
            console: None,
            configure: Vec::new(),
            options: Options::new(),
            grace: Duration::from_secs(5),
            exit_with_parent: true,
            #[cfg(feature = "proxy")]
            shared: false,
            hooks: Hooks::default(),
        }
    }

    /// Adds an argument.
    ///
    /// ```
    /// use qmp_vm::Launch;
    ///
    /// let program = Launch::new("qemu-system-x86_64").arg("-nodefaults");
    /// ```
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(Argument::Plain(argument.as_ref().to_owned()));
        self
    }

    /// Adds arguments.
    ///
    /// ```
    /// use qmp_vm::Launch;
    ///
    /// let program = Launch::new("qemu-system-x86_64").args(["-m", "2G", "-display", "none"]);
    /// ```
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Adds `-machine`, such as `q35,accel=kvm:tcg`.
    ///
    /// ```
    /// use qmp_vm::Launch;
    ///
    /// let program = Launch::new("qemu-system-x86_64").machine("q35,accel=kvm:tcg");
    /// ```
    pub fn machine(self, machine: impl AsRef<OsStr>) -> Self {
        self.arg("-machine").arg(machine)
    }

    /// Adds `-blockdev`, with the value that `blockdev-add` takes.
    ///
    /// ```
    /// # fn example(node: &qmp_client::qmp::types::BlockdevOptions) {
    /// use qmp_vm::Launch;
    ///
    /// // The same options as those of `blockdev-add`.
    /// let program = Launch::new("qemu-system-x86_64").blockdev(node);
    /// # }
    /// ```
    pub fn blockdev(self, node: &BlockdevOptions) -> Self {
        self.typed(argument::typed("-blockdev", node))
    }

    /// Adds `-netdev`, with the value that `netdev_add` takes.
    ///
    /// ```
    /// # fn example(netdev: &qmp_client::qmp::types::Netdev) {
    /// use qmp_vm::Launch;
    ///
    /// // The same options as those of `netdev_add`.
    /// let program = Launch::new("qemu-system-x86_64").netdev(netdev);
    /// # }
    /// ```
    pub fn netdev(self, netdev: &Netdev) -> Self {
        self.typed(argument::typed("-netdev", netdev))
    }

    /// Adds `-object`, with the value that `object-add` takes.
    ///
    /// The data of a secret object is not among the arguments of the process, which everyone on the
    /// host can read: QEMU reads it from a pipe, as `/dev/fd/N`. At most 3 KiB are possible, and at
    /// most six secrets.
    ///
    /// ```
    /// # fn example(object: &qmp_client::qmp::types::ObjectOptions) {
    /// use qmp_vm::Launch;
    ///
    /// // The same options as those of `object-add`.
    /// let program = Launch::new("qemu-system-x86_64").object(object);
    /// # }
    /// ```
    pub fn object(self, object: &ObjectOptions) -> Self {
        self.typed(argument::object(object))
    }

    /// Adds `-device`, with the value that `device_add` takes.
    ///
    /// ```
    /// use qmp_client::qmp::commands::DeviceAdd;
    /// use qmp_vm::Launch;
    ///
    /// let device = DeviceAdd::new("virtio-rng-pci").id("rng0");
    /// let program = Launch::new("qemu-system-x86_64").device(&device);
    /// ```
    pub fn device(self, device: &DeviceAdd) -> Self {
        self.typed(argument::typed("-device", device))
    }

    /// Adds `-chardev`, with the value that `chardev-add` takes, in the words of the option, which has
    /// no JSON. A backend or an address that the option does not know is an error when the program is
    /// started.
    ///
    /// ```
    /// # fn example(chardev: &qmp_client::qmp::commands::ChardevAdd) {
    /// use qmp_vm::Launch;
    ///
    /// // The same options as those of `chardev-add`.
    /// let program = Launch::new("qemu-system-x86_64").chardev(chardev);
    /// # }
    /// ```
    pub fn chardev(self, chardev: &ChardevAdd) -> Self {
        let option = chardev::option(chardev);
        match option {
            Ok(option) => self.arg("-chardev").arg(option),
            Err(why) => self.typed(Err(why)),
        }
    }

    /// Adds `-audiodev`.
    ///
    /// ```
    /// # fn example(audiodev: &qmp_client::qmp::types::Audiodev) {
    /// use qmp_vm::Launch;
    ///
    /// let program = Launch::new("qemu-system-x86_64").audiodev(audiodev);
    /// # }
    /// ```
    pub fn audiodev(self, audiodev: &Audiodev) -> Self {
        self.typed(argument::typed("-audiodev", audiodev))
    }

    /// Adds `-display`.
    ///
    /// ```
    /// # fn example(display: &qmp_client::qmp::types::DisplayOptions) {
    /// use qmp_vm::Launch;
    ///
    /// let program = Launch::new("qemu-system-x86_64").display(display);
    /// # }
    /// ```
    pub fn display(self, display: &DisplayOptions) -> Self {
        self.typed(argument::typed("-display", display))
    }

    /// Adds `-compat`, which makes QEMU reject or hide what is deprecated or unstable.
    pub fn compat(self, policy: &CompatPolicy) -> Self {
        self.typed(argument::typed("-compat", policy))
    }

    fn typed(mut self, argument: std::result::Result<Argument, String>) -> Self {
        match argument {
            Ok(argument) => self.arguments.push(argument),
            Err(why) => self.refused = self.refused.or(Some(why)),
        }
        self
    }

    /// Returns the program and its arguments, without those of the monitor, as a line for a shell.
    /// `<secret>` replaces secrets: what the schema says is secret, in JSON and in `name=value`, and
    /// what has a name that suggests it.
    ///
    /// ```
    /// use qmp_client::qmp::types::{ObjectOptions, SecretProperties};
    /// use qmp_vm::Launch;
    ///
    /// let secret = ObjectOptions::new(SecretProperties::new().data("hunter2"), "s");
    /// let launch = Launch::new("qemu-system-x86_64").args(["-name", "my guest"]).object(&secret);
    /// let line = launch.shell_line();
    /// assert!(line.starts_with("qemu-system-x86_64 -name 'my guest' -object '{"));
    /// assert!(line.contains("<secret>") && !line.contains("hunter2"));
    /// ```
    #[must_use]
    pub fn shell_line(&self) -> String {
        argument::shell_line(&self.program.to_string_lossy(), &self.arguments)
    }

    /// Sets the arguments that make the program open its monitor, which it receives after its other
    /// arguments (default: QEMU's). `{fd}` stands for the number of the monitor's descriptor, which is
    /// free in the process: from 3 to 9.
    ///
    /// If `{fd}` does not occur, the monitor is the standard input, descriptor 0. Then nothing else can
    /// use it: QEMU's `stdio` and `-nographic` are refused.
    ///
    /// ```
    /// use qmp_vm::Launch;
    ///
    /// let daemon = Launch::new("qemu-storage-daemon")
    ///     .monitor_args(["--chardev", "socket,id=m,fd={fd}", "--monitor", "chardev=m"]);
    /// // `sudo` closes all descriptors but the standard ones.
    /// let other_user = Launch::new("sudo")
    ///     .args(["-u", "vm", "qemu-system-x86_64", "-display", "none"])
    ///     .monitor_args(["-chardev", "socket,id=m,fd=0", "-qmp", "chardev:m"]);
    /// ```
    pub fn monitor_args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.monitor = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Puts a proxy between the monitor and the client (default: no), so that
    /// [`open_monitor`](crate::Workflows::open_monitor) works with every release of QEMU, not only from
    /// 11.1 on. Each message passes through the proxy's thread, which ends with the last of its clients.
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "blocking", feature = "proxy"))]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::{Launch, Workflows};
    ///
    /// let vm = Launch::new("qemu-system-x86_64").args(["-display", "none"]).shared().start::<Client>()?;
    /// // Another client of the same machine, with every release of QEMU.
    /// let other = vm.open_monitor()?;
    /// # drop(other);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "proxy")]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Sets the options of the connection.
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "blocking"))]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::Options;
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::Launch;
    ///
    /// // QEMU greets when it has allocated its memory.
    /// let options = Options::new().greeting_within(Duration::from_secs(300));
    /// let vm = Launch::new("qemu-system-x86_64")
    ///     .args(["-display", "none", "-m", "512G"])
    ///     .options(options)
    ///     .start::<Client>()?;
    /// # drop(vm);
    /// # Ok(())
    /// # }
    /// ```
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets the time that the process may take to end by itself before it is killed (default: 5
    /// seconds): after it has closed its monitor instead of greeting, after the `Launched` of a
    /// blocking client was dropped, and after this program has ended.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::Launch;
    ///
    /// let program = Launch::new("qemu-system-x86_64").grace(Duration::from_secs(10));
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Calls a function with every line that the process writes to its standard error, without the
    /// line's end. Bytes that are not UTF-8 are replaced; a line of more than 4 KiB is split.
    ///
    /// The function is called by the thread that reads standard error, which goes on until no
    /// process has it open any more: it may be called after the process has ended and the client
    /// was dropped. While it runs, nothing is read, and a process that writes a lot has to wait. If
    /// it panics, it is not called again.
    ///
    /// ```
    /// use qmp_vm::Launch;
    ///
    /// let launch = Launch::new("qemu-system-x86_64").on_stderr(|line| eprintln!("QEMU: {line}"));
    /// ```
    pub fn on_stderr(mut self, hook: impl FnMut(&str) + Send + 'static) -> Self {
        self.hooks.stderr = Some(Hook::new(hook));
        self
    }

    /// Calls a function with every line that the process writes to its standard output, in the manner
    /// of [`on_stderr`](Self::on_stderr). With `-nographic` or `-serial stdio`, this is what the guest
    /// writes to its serial console: anything, including sequences that control a terminal.
    ///
    /// Without this function, the output is discarded. [`console`](Self::console) takes precedence.
    ///
    /// ```
    /// use qmp_vm::Launch;
    ///
    /// let program = Launch::new("qemu-system-x86_64").on_stdout(|line| println!("qemu: {line}"));
    /// ```
    pub fn on_stdout(mut self, hook: impl FnMut(&str) + Send + 'static) -> Self {
        self.hooks.stdout = Some(Hook::new(hook));
        self
    }

    /// Makes a stream both the standard input and the standard output of the process, such as one end
    /// of a socket pair, or a pseudo-terminal. With `-serial stdio`, the guest's serial console is at
    /// the other end, which has to be read: QEMU may wait for that.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")] {
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    ///
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::Launch;
    ///
    /// let (mut console, theirs) = UnixStream::pair()?;
    /// let vm = Launch::new("qemu-system-x86_64")
    ///     .args(["-nographic", "-kernel", "bzImage", "-append", "console=ttyS0"])
    ///     .console(theirs)
    ///     .start::<Client>()?;
    /// console.write_all(b"root\n")?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn console(mut self, stream: impl Into<OwnedFd>) -> Self {
        self.console = Some(stream.into());
        self
    }

    /// Sets whether QEMU ends when this program ends, in whatever way (default: true).
    ///
    /// Without it, a QEMU whose owner was killed loses its monitor, and runs on.
    ///
    /// ```
    /// use qmp_vm::Launch;
    ///
    /// // The machine outlives this program.
    /// let program = Launch::new("qemu-system-x86_64").exit_with_parent(false);
    /// ```
    pub fn exit_with_parent(mut self, ends: bool) -> Self {
        self.exit_with_parent = ends;
        self
    }

    /// Calls a function with the command before it is spawned, for everything that can be said about a
    /// process: its environment, its user, its working directory, its process group, and where its
    /// standard output goes, which is discarded otherwise. Its standard input and standard error are
    /// set afterwards.
    ///
    /// The command is a shell, which becomes the program. Arguments are best added with
    /// [`args`](Self::args).
    ///
    /// ```
    /// use std::process::Stdio;
    ///
    /// use qmp_vm::Launch;
    ///
    /// let launch = Launch::new("qemu-system-x86_64").configure(|command| {
    ///     command.env("QEMU_AUDIO_DRV", "none").current_dir("/").stdout(Stdio::inherit());
    /// });
    /// ```
    pub fn configure(mut self, configure: impl FnOnce(&mut Command) + Send + 'static) -> Self {
        self.configure.push(Box::new(configure));
        self
    }

    /// Starts the program, and waits for its greeting. The asynchronous client needs the feature
    /// `tokio`, and spawns its driver on the current runtime.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example() -> qmp_client::Result<()> {
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::Launch;
    ///
    /// let vm = Launch::new("qemu-system-x86_64").args(["-display", "none"]).start::<Client>()?;
    /// vm.quit()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Launch`](qmp_client::Error::Launch), with the last lines that the program wrote to
    /// its standard error, if it does not start, ends before its greeting, or does not greet in
    /// time; and those of `Client::over`.
    ///
    /// # Cancel safety
    /// Dropping the future kills the program.
    ///
    /// # Panics
    /// The future panics outside of a tokio runtime.
    pub fn start<M: Connect>(self) -> M::Outcome<'static, Result<Launched<M>>> {
        M::run(async move { M::greet(self.into_start().start()?).await })
    }

    /// Starts the program for any other runtime. `connect` makes a client of this side of the
    /// monitor, with [`runtime::start`](qmp_client::runtime::start), and returns it with its driver.
    ///
    /// # Errors
    /// [`Error::Launch`](qmp_client::Error::Launch): the program does not start; and those of
    /// `connect`.
    pub fn start_with<T>(
        self,
        connect: impl FnOnce(UnixStream, &Options) -> io::Result<(Connecting, T)>,
    ) -> Result<(Launching, T)> {
        self.into_start().start()?.connect_with(connect)
    }

    fn into_start(self) -> Start {
        Start {
            program: self.program,
            arguments: self.arguments,
            refused: self.refused,
            monitor: self.monitor,
            console: self.console,
            configure: self.configure,
            hooks: self.hooks,
            grace: self.grace,
            supervised: self.exit_with_parent,
            #[cfg(feature = "proxy")]
            shared: self.shared,
            options: self.options,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secrets() {
        let launch = Launch::new("qemu").args(["-object", "secret,id=s,data=hunter2"]);
        let shown = format!("{launch:?}");
        assert!(shown.contains("qemu") && shown.contains("arguments: 2"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
