//! A QEMU of one's own, with its monitor on a socket pair.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Client;
use crate::error::{Error, LaunchError, Result, Timeout, TransportError, WaitedFor};
use crate::options::Options;
use crate::transport::Unix;

/// How much of a process's standard error is kept, in bytes.
const TAIL: usize = 4096;

/// A QEMU to be started, with its monitor connected to this client alone: there is no socket in
/// the file system, nobody else can connect, and nothing has to be waited for.
///
/// The monitor is the process's standard input, so that no descriptor can leak into another
/// process; a guest's console cannot be there. Standard output is inherited, of standard error the
/// last lines are kept ([`Process::stderr`]).
///
/// ```no_run
/// # fn main() -> qmp_client::Result<()> {
/// let mut vm = qmp_client::blocking::Launch::new("qemu-system-x86_64")
///     .args(["-M", "none", "-display", "none"])
///     .start()?;
/// println!("{}", vm.version());
/// vm.quit()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it is started by `start`"]
pub struct Launch {
    command: Command,
    monitor: Vec<String>,
    options: Options,
    grace: Duration,
}

impl Launch {
    /// A program that takes QEMU's options.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let monitor = ["-chardev", "socket,id=qmp-client,fd=0", "-qmp", "chardev:qmp-client"];
        Self {
            command: Command::new(program),
            monitor: monitor.map(String::from).to_vec(),
            options: Options::new(),
            grace: Duration::from_secs(5),
        }
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

    /// How long the process may take to end by itself when the client is dropped, before it is
    /// killed: five seconds.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Starts the program and waits for its greeting. It ends when the client is dropped.
    ///
    /// # Errors
    /// [`Error::Launch`], with what the program wrote to its standard error, if it does not start
    /// or ends first; and those of [`Client::from_transport`].
    pub fn start(mut self) -> Result<Client> {
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
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                let (status, stderr) = (None, "".into());
                return Err(LaunchError { program, status, stderr, error: Some(error) }.into());
            }
        };
        let mut process = Process::new(child, program, self.grace);
        let transport = Unix::from_stream(ours).map_err(no_pair)?;
        match Client::from_transport(transport, &self.options) {
            Ok(mut client) => {
                client.process = Some(process);
                Ok(client)
            }
            Err(error) if error.is_closed() => Err(process.early_end(error)),
            Err(error) => Err(error),
        }
    }
}

fn no_pair(error: io::Error) -> Error {
    TransportError::new("cannot make a socket pair", error).into()
}

/// A process that was [launched](Launch). It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    program: Box<str>,
    grace: Duration,
    tail: Arc<Mutex<VecDeque<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    fn new(mut child: Child, program: Box<str>, grace: Duration) -> Self {
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let reader = child.stderr.take().map(|stderr| {
            let tail = Arc::clone(&tail);
            std::thread::spawn(move || keep_tail(stderr, &tail))
        });
        Self { child, program, grace, tail, reader }
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The last lines that it wrote to its standard error, as far as they have arrived.
    #[must_use]
    pub fn stderr(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// What the system reports.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|error| self.cannot("wait for", error))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It has not ended in time, and what the system reports.
    pub fn wait_within(&mut self, within: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            let left = within.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(Timeout::new(WaitedFor::Exit, within).into());
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Ends it without asking.
    ///
    /// # Errors
    /// What the system reports.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map_err(|error| self.cannot("end", error))
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    /// The connection ended before the greeting: most likely since the process did.
    fn early_end(&mut self, error: Error) -> Error {
        let Ok(status) = self.wait_within(self.grace) else { return error };
        if let Some(reader) = self.reader.take() {
            // A grandchild may hold standard error open: what is there must do, then.
            let patience = Instant::now() + Duration::from_millis(200);
            while !reader.is_finished() && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let (program, stderr) = (self.program.clone(), self.stderr().into());
        LaunchError { program, status: Some(status), stderr, error: None }.into()
    }

    fn cannot(&self, verb: &str, error: io::Error) -> Error {
        TransportError::new(format!("cannot {verb} {}", self.program), error).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            // It may have ended in between, and nobody can be told anyway.
            let _ = self.kill();
        }
    }
}

fn keep_tail(mut stderr: ChildStderr, tail: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 1024];
    loop {
        let count = match stderr.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(&buffer[..count]);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
    }
}
