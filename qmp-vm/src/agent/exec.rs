//! Running programs in the guest.

use std::time::Duration;

use qmp_client::{Result, protocol::Printable};
use qmp_types::qga::commands::{GuestExec, GuestExecStatus};
use qmp_types::qga::types::{GuestExecCaptureOutput, GuestExecStatus as Status};

use super::bytes::{decode, encode};
use super::client::Agent;
use crate::limit::Limit;
use crate::monitor::Monitor;

/// The first and the longest pause between two looks at a program.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// A program to be run in the guest.
#[derive(Clone, Debug)]
#[must_use = "`Agent::exec` runs it"]
pub struct Exec {
    path: String,
    args: Vec<String>,
    env: Vec<String>,
    input: Option<Vec<u8>>,
    within: Duration,
}

impl Exec {
    /// Creates a program from its path or name in the guest. It has no input, and 60 seconds to
    /// exit.
    pub fn new(path: impl Into<String>) -> Self {
        let within = Duration::from_secs(60);
        Self { path: path.into(), args: Vec::new(), env: Vec::new(), input: None, within }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable. The first one replaces the environment that the program would
    /// inherit from the agent.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Sets the bytes that the program reads from its standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Sets the time within which the program must start and exit. A program that takes longer goes
    /// on: the agent has no command to end it.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    fn command(&self) -> GuestExec {
        let mut command =
            GuestExec::new(self.path.clone()).capture_output(GuestExecCaptureOutput::Flag(true));
        if !self.args.is_empty() {
            command = command.arg(self.args.clone());
        }
        if !self.env.is_empty() {
            command = command.env(self.env.clone());
        }
        match &self.input {
            Some(input) => command.input_data(encode(input)),
            None => command,
        }
    }
}

/// The exit status and the output of a program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ExecOutput {
    /// The exit code, if the program exited by itself.
    pub exitcode: Option<i64>,
    /// The signal, or on Windows the exception, that ended the program.
    pub signal: Option<i64>,
    /// The bytes that the program wrote to its standard output.
    pub stdout: Vec<u8>,
    /// The bytes that the program wrote to its standard error.
    pub stderr: Vec<u8>,
    /// Whether the program wrote more than the agent keeps, which is 16 MiB of each.
    pub truncated: bool,
}

impl ExecOutput {
    /// Returns whether the program exited with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exitcode == Some(0)
    }

    fn new(status: Status) -> Result<Self> {
        let bytes = |text: Option<String>| match text {
            Some(text) => decode::<GuestExecStatus>(&text),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            exitcode: status.exitcode,
            signal: status.signal,
            stdout: bytes(status.out_data)?,
            stderr: bytes(status.err_data)?,
            truncated: status.out_truncated == Some(true) || status.err_truncated == Some(true),
        })
    }
}

impl<M: Monitor> Agent<M> {
    /// Runs a program in the guest, and waits until it has exited.
    ///
    /// # Errors
    /// The program cannot be started, or has not exited in time: then it goes on.
    ///
    /// # Cancel safety
    /// If the future is dropped, a program that was started goes on.
    pub fn exec<'a>(&'a self, program: &'a Exec) -> M::Outcome<'a, Result<ExecOutput>> {
        M::run(run(self.client(), program))
    }
}

async fn run<M: Monitor>(agent: &M, program: &Exec) -> Result<ExecOutput> {
    let state = format!("`{}` to exit in the guest", Printable(&program.path));
    let limit = Limit::new(agent, program.within, state);
    let pid = limit.execute(agent, program.command()).await?.pid;
    let mut pause = PAUSES.0;
    loop {
        let status = limit.execute(agent, GuestExecStatus::new(pid)).await?;
        if status.exited {
            return ExecOutput::new(status);
        }
        agent.pause(limit.pause(agent, pause)?).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
