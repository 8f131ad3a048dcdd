//! `-daemonize`: a second process runs the machine, and the first one exits when it is ready.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use crate::sim::running::close_stdio;

/// The variable that tells the second process what it is.
const CHILD: &str = "QMP_SIM_DAEMON";

/// The byte that the second process writes when it is ready.
const READY: u8 = b'+';

/// One of the two processes.
#[derive(Debug)]
pub(crate) enum Daemon {
    /// The first process, which ends with this status.
    Parent(ExitCode),
    Child(Child),
}

/// The process that runs the machine.
#[derive(Debug)]
pub(crate) struct Child(());

impl Daemon {
    /// Starts the second process and waits until it is ready or has failed. In the second process,
    /// leaves the terminal.
    pub(crate) fn split(name: &str, arguments: &[String]) -> io::Result<Self> {
        if env::var_os(CHILD).is_some() {
            rustix::process::setsid()?;
            return Ok(Self::Child(Child(())));
        }
        let mut child = Command::new(env::current_exe()?)
            .arg0(name)
            .args(arguments)
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut answer = [0];
        let output = child.stdout.take();
        let count = output.map_or(Ok(0), |mut output| output.read(&mut answer))?;
        if count == 1 && answer[0] == READY {
            return Ok(Self::Parent(ExitCode::SUCCESS));
        }
        let status = child.wait()?;
        let status = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        Ok(Self::Parent(ExitCode::from(status.max(1))))
    }
}

impl Child {
    /// Lets the first process exit.
    pub(crate) fn report_ready(self) -> io::Result<()> {
        let mut output = io::stdout();
        output.write_all(&[READY])?;
        output.flush()?;
        close_stdio()
    }
}
