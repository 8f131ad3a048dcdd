//! Programs to be launched, with their monitor on a socket pair.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use qmp_client::{Connecting, LaunchError, Options, Result};

use super::launched::Launched;
use super::launching::Launching;
use super::started::{Started, no_socket};
use crate::connect::Connect;
use crate::process::{Hook, Process};

/// A QEMU to be started, with its monitor connected to this program alone: no socket exists in the
/// file system, no other client can connect, and nothing has to be waited for.
///
/// The monitor is the process's standard input, so that its descriptor cannot leak into another
/// process; the guest's console cannot be there. Standard output is inherited. Of standard error,
/// the last lines are kept ([`Process::stderr`]), and all lines are passed to
/// [`on_stderr`](Self::on_stderr).
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
/// Everything else about a process is said by a [`Command`], from which a `Launch` can be made: its
/// environment, its user, where its output goes.
///
/// ```no_run
/// # #[cfg(feature = "blocking")] {
/// use std::os::unix::process::CommandExt;
/// use std::process::{Command, Stdio};
///
/// use qmp_client::blocking::Client;
/// use qmp_vm::Launch;
///
/// let mut qemu = Command::new("qemu-system-x86_64");
/// // In a process group of its own, QEMU does not receive the terminal's interrupt.
/// qemu.args(["-M", "none", "-display", "none"]).stdout(Stdio::null()).process_group(0);
/// let vm = Launch::from(qemu).start::<Client>()?;
/// # vm.quit()?;
/// # }
/// # Ok::<(), qmp_client::Error>(())
/// ```
///
/// The process is the program that is started here. With `-daemonize`, that program exits at once,
/// which is an error, and leaves a QEMU without an owner. If the program is a wrapper such as
/// `sudo`, the wrapper is what is killed, unless it becomes QEMU by `exec`.
///
/// # When this program ends
///
/// Dropping [`Launched`] ends QEMU. When this program is killed, exits or aborts, nothing is
/// dropped: QEMU loses its monitor, and runs on.
///
/// Since QEMU 10.2, the arguments `-run-with exit-with-parent=on` make QEMU exit when its parent
/// does, on Linux, FreeBSD and macOS. On Linux, the parent is the *thread* that called
/// [`start`](Self::start), or that first polled its future: it must live as long as the virtual
/// machine. Older releases reject these arguments, and have no option of this kind. There, a
/// supervisor can take care of it, such as a systemd service, whose remaining processes are killed
/// when its main process ends, or a container.
///
/// `Debug` shows neither the arguments nor the environment, which may contain secrets.
#[must_use = "it has to be started"]
pub struct Launch {
    command: Command,
    monitor: Vec<String>,
    options: Options,
    grace: Duration,
    on_stderr: Option<Hook>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, monitor, options, grace, on_stderr } = self;
        f.debug_struct("Launch")
            .field("program", &command.get_program())
            .field("arguments", &command.get_args().len())
            .field("monitor", monitor)
            .field("options", options)
            .field("grace", grace)
            .field("on_stderr", &on_stderr.is_some())
            .finish()
    }
}

impl Launch {
    /// Launches a program that takes QEMU's options.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets the arguments that make the program open its monitor on descriptor 0, which it receives
    /// after its other arguments (default: QEMU's).
    pub fn monitor_args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.monitor = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the options of the connection.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets the time that the process may take to end by itself before it is killed (default: 5
    /// seconds): after it has closed its monitor instead of greeting, and after the `Launched` of a
    /// blocking client was dropped.
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
        self.on_stderr = Some(Hook::new(hook));
        self
    }

    /// Starts the program, and waits for its greeting. The asynchronous client needs the feature
    /// `tokio`, and spawns its driver on the current runtime.
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
        M::run(async move { M::greet(self.spawn()?).await })
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
        self.spawn()?.connect_with(connect)
    }

    /// Starts the program.
    ///
    /// # Errors
    /// The program does not start.
    fn spawn(mut self) -> Result<Started> {
        let (ours, theirs) = UnixStream::pair().map_err(no_socket)?;
        let program: Box<str> = self.command.get_program().to_string_lossy().into();
        let spawned = self
            .command
            .args(&self.monitor)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn();
        // The command holds the other end; while it is open, the end of the process goes unnoticed.
        drop(self.command);
        let process = spawned
            .and_then(|child| Process::new(child, program.clone(), self.grace, self.on_stderr));
        match process {
            Ok(process) => Ok(Started { stream: ours, process, options: self.options }),
            Err(error) => Err(LaunchError::not_started(program, error).into()),
        }
    }
}

impl From<Command> for Launch {
    /// Launches a command that is set up already. Its standard input becomes the monitor and its
    /// standard error is read, whatever the command says about them.
    fn from(command: Command) -> Self {
        let monitor = ["-chardev", "socket,id=qmp-client,fd=0", "-qmp", "chardev:qmp-client"];
        Self {
            command,
            monitor: monitor.map(String::from).to_vec(),
            options: Options::new(),
            grace: Duration::from_secs(5),
            on_stderr: None,
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
