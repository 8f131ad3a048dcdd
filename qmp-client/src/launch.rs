//! A QEMU of one's own, with its monitor on a socket pair.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::{Error, LaunchError, Result, TransportError};
use crate::options::Options;
use crate::process::{Hook, Process};

/// A QEMU to be started, with its monitor connected to this client alone: there is no socket in
/// the file system, nobody else can connect, and nothing has to be waited for.
///
/// The monitor is the process's standard input, so that no descriptor can leak into another
/// process; a guest's console cannot be there. Standard output is inherited, of standard error the
/// last lines are kept ([`Process::stderr`]), and all are shown to whoever wants to log them
/// ([`on_stderr`](Self::on_stderr)).
///
/// ```no_run
/// # #[cfg(feature = "blocking")] {
/// let mut vm = qmp_client::Launch::new("qemu-system-x86_64")
///     .args(["-M", "none", "-display", "none"])
///     .start()?;
/// println!("{}", vm.version());
/// vm.quit()?;
/// # }
/// # Ok::<(), qmp_client::Error>(())
/// ```
///
/// On tokio it is given to `Client::launch`, with an executor of one's own to `tokio::launch` or
/// `futures_io::launch`. Then the process is a thing of its own beside the client: `Launched` has
/// both.
///
/// What else there is to be said of a process, a [`Command`] says: its environment, its user, where
/// its output goes. `Launch` is made of one, too.
///
/// ```no_run
/// # #[cfg(feature = "blocking")] {
/// use std::os::unix::process::CommandExt;
/// use std::process::{Command, Stdio};
///
/// let mut qemu = Command::new("qemu-system-x86_64");
/// // A group of its own: the terminal's interrupt is for this program alone.
/// qemu.args(["-M", "none", "-display", "none"]).stdout(Stdio::null()).process_group(0);
/// let mut vm = qmp_client::Launch::from(qemu).start()?;
/// # vm.quit()?;
/// # }
/// # Ok::<(), qmp_client::Error>(())
/// ```
///
/// The process is the program that is started here. With `-daemonize` that one ends at once, which
/// is an error, and leaves behind a QEMU that is nobody's. What wraps it, such as `sudo`, is what is
/// killed, unless it becomes QEMU by `exec`.
///
/// Nobody ends it when this program is killed, exits, or aborts: then nothing is dropped. QEMU runs
/// on without a monitor.
#[derive(Debug)]
#[must_use = "it has to be started"]
pub struct Launch {
    command: Command,
    monitor: Vec<String>,
    options: Options,
    grace: Duration,
    on_stderr: Option<Hook>,
}

impl Launch {
    /// A program that takes QEMU's options.
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

    /// What makes the program open its monitor on descriptor 0, in place of QEMU's options for
    /// that.
    pub fn monitor_args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.monitor = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// The options of the connection.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// How long the process may take to end by itself before it is killed: when it has closed its
    /// monitor instead of greeting, and when a blocking client is dropped. Five seconds.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Shows every line that the process writes to its standard error to a function, without its
    /// end, such as to log it. What is not UTF-8 is replaced; a line of more than 4 KiB is shown in
    /// parts of no more than that.
    ///
    /// It is called by the thread that listens, which goes on until nobody can write there any more:
    /// it may be called when the process has ended, and the client is gone. While it runs, nothing
    /// is read, and a process with much to say has to wait. If it panics, it is not called again;
    /// the last lines are kept all the same.
    ///
    /// ```
    /// use qmp_client::Launch;
    ///
    /// let launch = Launch::new("qemu-system-x86_64").on_stderr(|line| eprintln!("QEMU: {line}"));
    /// ```
    pub fn on_stderr(mut self, hook: impl FnMut(&str) + Send + 'static) -> Self {
        self.on_stderr = Some(Hook::new(hook));
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn spawn(mut self) -> Result<Started> {
        let (ours, theirs) = UnixStream::pair().map_err(no_pair)?;
        let program: Box<str> = self.command.get_program().to_string_lossy().into();
        let spawned = self
            .command
            .args(&self.monitor)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn();
        // The command holds the other end; while it is open, the process's end is not noticed.
        drop(self.command);
        let process = spawned
            .and_then(|child| Process::new(child, program.clone(), self.grace, self.on_stderr));
        match process {
            Ok(process) => Ok(Started { stream: ours, process, options: self.options }),
            Err(error) => {
                let not_started = LaunchError::ended(program, None, "".into());
                Err(LaunchError { error: Some(error), ..not_started }.into())
            }
        }
    }
}

impl From<Command> for Launch {
    /// A command that is set up already. Its standard input becomes the monitor, its standard error
    /// is listened to, whatever it says of them; the monitor's arguments come behind its own.
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

/// A program that was started, and this side of its monitor.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) stream: UnixStream,
    pub(crate) process: Process,
    pub(crate) options: Options,
}

pub(crate) fn no_pair(error: io::Error) -> Error {
    TransportError::new("cannot make a socket pair", error).into()
}
