//! Running programs in the guest.

use std::fmt;
use std::time::Duration;

use qmp_client::{Result, protocol::Printable};
use qmp_types::qga::commands::{GuestExec, GuestExecStatus};
use qmp_types::qga::types::{
    GuestExecCaptureOutput, GuestExecCaptureOutputMode, GuestExecStatus as Status,
};

use super::bytes::{decode, encode};
use super::client::Agent;
use super::impossible::impossible;
use crate::limit::Limit;
use crate::monitor::Monitor;

/// The first and the longest pause between two looks at a program.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// The number of bytes that the agent keeps of an output stream.
const MAX_OUTPUT: usize = 16 << 20;

/// A program to be run in the guest.
///
/// The agent has limits:
///
/// - It keeps 16 MiB of each output stream, and drops the rest; the program goes on. All of it is
///   one message of up to 43 MiB, in base64.
/// - It returns the output once, when the program has exited. Output of a program that is still
///   running cannot be read.
/// - It has no command that ends a program. `timeout` of the guest can.
/// - The input travels in the command, all at once. More cannot be sent to a running program.
/// - It may be configured to refuse to run programs, with an error of the class `CommandNotFound`.
///
/// `Debug` shows neither arguments, nor values of the environment, nor the input: they may contain
/// passwords.
#[derive(Clone)]
#[must_use = "`Agent::exec` runs it"]
pub struct Exec {
    path: String,
    args: Vec<String>,
    env: Vec<String>,
    input: Option<Vec<u8>>,
    merged: bool,
    within: Duration,
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |variable: &String| variable.split('=').next().unwrap_or_default().to_owned();
        f.debug_struct("Exec")
            .field("path", &self.path)
            .field("arguments", &self.args.len())
            .field("env", &self.env.iter().map(name).collect::<Vec<_>>())
            .field("input_length", &self.input.as_ref().map(Vec::len))
            .field("merged", &self.merged)
            .field("within", &self.within)
            .finish()
    }
}

impl Exec {
    /// Creates a program from its path or name in the guest. It has no input, and 60 seconds to
    /// exit.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::Exec;
    ///
    /// let program = Exec::new("/usr/bin/tar")
    ///     .args(["-xz", "-C", "/srv"])
    ///     .input(*b"...")
    ///     .env("LANG", "C")
    ///     .within(Duration::from_secs(300));
    /// # drop(program);
    /// ```
    pub fn new(path: impl Into<String>) -> Self {
        let within = Duration::from_secs(60);
        Self {
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            input: None,
            merged: false,
            within,
        }
    }

    /// Adds an argument.
    ///
    /// ```
    /// use qmp_vm::Exec;
    ///
    /// let program = Exec::new("/bin/sh").arg("-c").arg("uname -a");
    /// ```
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Adds arguments.
    ///
    /// ```
    /// use qmp_vm::Exec;
    ///
    /// let program = Exec::new("/bin/sh").args(["-c", "uname -a"]);
    /// ```
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable. The first one replaces the environment that the program would
    /// inherit from the agent.
    ///
    /// ```
    /// use qmp_vm::Exec;
    ///
    /// let program = Exec::new("/bin/sh").env("LANG", "C");
    /// ```
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Sets the bytes that the program reads from its standard input.
    ///
    /// ```
    /// use qmp_vm::Exec;
    ///
    /// let program = Exec::new("/bin/sh").arg("-s").input("echo hello\n");
    /// ```
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Merges the standard error into the standard output, in the order in which the program writes.
    /// Agents have this since 8.0, and not on Windows; others refuse.
    ///
    /// ```
    /// use qmp_vm::Exec;
    ///
    /// let program = Exec::new("/bin/sh").args(["-c", "echo hello >&2"]).merge_output();
    /// ```
    pub fn merge_output(mut self) -> Self {
        self.merged = true;
        self
    }

    /// Sets the time within which the program must start and exit. A program that takes longer goes
    /// on; with [`Agent::spawn`], it can be waited for again.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::Exec;
    ///
    /// let program = Exec::new("/usr/bin/apt").arg("update").within(Duration::from_secs(300));
    /// ```
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    fn command(&self) -> GuestExec {
        // Older agents have only the flag.
        let capture = match self.merged {
            true => GuestExecCaptureOutput::Mode(GuestExecCaptureOutputMode::Merged),
            false => GuestExecCaptureOutput::Flag(true),
        };
        let mut command = GuestExec::new(self.path.clone()).capture_output(capture);
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
    /// The bytes that the program wrote to its standard output, and if the output was
    /// [merged](Exec::merge_output), to its standard error.
    pub stdout: Vec<u8>,
    /// The bytes that the program wrote to its standard error.
    pub stderr: Vec<u8>,
    /// Whether the program wrote more to its standard output than the agent keeps, which is 16 MiB.
    /// Exactly as much counts, too, since some agents do not tell the difference.
    pub stdout_truncated: bool,
    /// Whether the program wrote more to its standard error than the agent keeps, which is 16 MiB.
    pub stderr_truncated: bool,
}

impl ExecOutput {
    /// Returns whether the program exited with status 0, and not by a signal.
    ///
    /// ```
    /// # fn example(output: &qmp_vm::ExecOutput) {
    /// if !output.success() {
    ///     eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn success(&self) -> bool {
        self.exitcode == Some(0) && self.signal.is_none()
    }

    /// Returns whether the agent dropped part of the output.
    ///
    /// ```
    /// # fn example(output: &qmp_vm::ExecOutput) {
    /// if output.truncated() {
    ///     eprintln!("the guest agent kept a part of the output");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.stdout_truncated || self.stderr_truncated
    }

    fn new(status: Status) -> Result<Self> {
        let bytes = |text: Option<String>| match text {
            Some(text) => decode::<GuestExecStatus>(&text),
            None => Ok(Vec::new()),
        };
        let (stdout, stderr) = (bytes(status.out_data)?, bytes(status.err_data)?);
        Ok(Self {
            exitcode: status.exitcode,
            signal: status.signal,
            stdout_truncated: is_truncated(&stdout, status.out_truncated),
            stderr_truncated: is_truncated(&stderr, status.err_truncated),
            stdout,
            stderr,
        })
    }
}

/// Returns whether the agent dropped part of a stream, of which it kept these bytes.
///
/// Agents such as 10.0.2 mention only a stream that they truncated, and say `false` of it. Of later
/// ones, which mention every stream, that is the truth; it is taken for the other if there are
/// exactly as many bytes as an agent keeps, since a complete output is rarely that long.
fn is_truncated(kept: &[u8], mark: Option<bool>) -> bool {
    mark.is_some_and(|mark| mark || kept.len() == MAX_OUTPUT)
}

impl<M: Monitor> Agent<M> {
    /// Runs a program in the guest, and waits until it has exited.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// use qmp_vm::Exec;
    ///
    /// let output = guest.exec(&Exec::new("/bin/uname").arg("-r"))?;
    /// if output.success() {
    ///     // A guest is not trustworthy: escape what it prints.
    ///     println!("{}", output.stdout.escape_ascii());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The program cannot be started, or has not exited in time: then it goes on, and the error
    /// names its process ID, with which [`running`](Self::running) waits longer.
    ///
    /// # Cancel safety
    /// If the future is dropped, a program that was started goes on.
    pub fn exec<'a>(&'a self, program: &'a Exec) -> M::Outcome<'a, Result<ExecOutput>> {
        M::run(async move {
            let limit = limit(self.client(), program);
            let running = start(self, program, &limit).await?;
            running.wait_before(limit).await
        })
    }

    /// Starts a program in the guest, and does not wait for it. The program must start within the
    /// time that it has.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_vm::Exec;
    ///
    /// let update = guest.spawn(&Exec::new("/usr/bin/apt-get").arg("update"))?;
    /// println!("started, with the process ID {}", update.pid());
    /// let output = loop {
    ///     match update.wait(Duration::from_secs(10)) {
    ///         Err(error) if error.is_timeout() => println!("{error}"),
    ///         output => break output?,
    ///     }
    /// };
    /// # let _ = output;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The program cannot be started.
    ///
    /// # Cancel safety
    /// If the future is dropped, a program that was started goes on.
    pub fn spawn<'a>(&'a self, program: &'a Exec) -> M::Outcome<'a, Result<Running<M>>> {
        M::run(async move { start(self, program, &limit(self.client(), program)).await })
    }

    /// Returns a program that was started earlier, by this client or another one, from its process
    /// ID. The agent is not asked.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// // Started by an earlier run of this program.
    /// let output = guest.running(4711).wait(PATIENCE)?;
    /// println!("{}", output.success());
    /// # Ok(())
    /// # }
    /// ```
    pub fn running(&self, pid: i64) -> Running<M> {
        Running { agent: self.clone(), pid, name: "the program".to_owned() }
    }
}

/// A program that was started in the guest. Dropping this changes nothing: the program goes on.
///
/// The agent keeps the exit status and the output until they have been read once.
#[derive(Clone, Debug)]
#[must_use = "`wait` waits until the program has exited"]
pub struct Running<M> {
    agent: Agent<M>,
    pid: i64,
    /// The name of the program in errors.
    name: String,
}

impl<M: Monitor> Running<M> {
    /// Returns the process ID in the guest.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(program: &qmp_vm::Running<qmp_client::blocking::Client>) {
    /// println!("process {} of the guest", program.pid());
    /// # }
    /// ```
    #[must_use]
    pub fn pid(&self) -> i64 {
        self.pid
    }

    /// Waits until the program has exited. After a timeout, this can be called again; after success,
    /// the agent does not know the program any more.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(program: &qmp_vm::Running<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let output = program.wait(Duration::from_secs(10))?;
    /// println!("{}", String::from_utf8_lossy(&output.stdout));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The program has not exited in time: then it goes on. Or the agent does not know it.
    ///
    /// # Cancel safety
    /// If the future is dropped, the program goes on. If it had just exited, its output may be lost.
    pub fn wait(&self, within: Duration) -> M::Outcome<'_, Result<ExecOutput>> {
        M::run(self.wait_before(Limit::new(self.agent.client(), within, self.to_exit())))
    }

    /// Returns the exit status and the output if the program has exited.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// use qmp_vm::Exec;
    ///
    /// let update = guest.spawn(&Exec::new("/usr/bin/apt-get").arg("update"))?;
    /// if let Some(output) = update.try_wait()? {
    ///     println!("{}", output.success());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The agent does not know the program.
    ///
    /// # Cancel safety
    /// That of [`wait`](Self::wait).
    pub fn try_wait(&self) -> M::Outcome<'_, Result<Option<ExecOutput>>> {
        M::run(async move {
            let status = self.agent.client().execute(GuestExecStatus::new(self.pid)).await?;
            status.exited.then(|| ExecOutput::new(status)).transpose()
        })
    }

    async fn wait_before(&self, mut limit: Limit) -> Result<ExecOutput> {
        limit.describe(self.to_exit());
        let agent = self.agent.client();
        let mut pause = PAUSES.0;
        loop {
            let status = limit.execute(agent, GuestExecStatus::new(self.pid)).await?;
            if status.exited {
                return ExecOutput::new(status);
            }
            agent.pause(limit.pause(agent, pause)?).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn to_exit(&self) -> String {
        format!("{} (process {}) to exit in the guest", self.name, self.pid)
    }
}

fn limit<M: Monitor>(agent: &M, program: &Exec) -> Limit {
    Limit::new(
        agent,
        program.within,
        format!("`{}` to start in the guest", Printable(&program.path)),
    )
}

async fn start<M: Monitor>(agent: &Agent<M>, program: &Exec, limit: &Limit) -> Result<Running<M>> {
    let pid = limit.execute(agent.client(), program.command()).await?.pid;
    if pid <= 0 {
        return Err(impossible::<GuestExec>(format_args!("the process ID {pid}")));
    }
    Ok(Running { agent: agent.clone(), pid, name: format!("`{}`", Printable(&program.path)) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secrets() {
        let program = Exec::new("chpasswd").arg("hunter2").env("TOKEN", "hunter2").input("hunter2");
        let shown = format!("{program:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("chpasswd") && shown.contains("TOKEN"), "{shown}");
        // The bytes of the input, as numbers.
        assert!(!shown.contains("104"), "{shown}");
    }

    /// An agent may report both.
    #[test]
    fn a_program_that_a_signal_ended_has_not_succeeded() {
        let output = ExecOutput { exitcode: Some(0), ..ExecOutput::default() };
        assert!(output.success());
        assert!(!ExecOutput { signal: Some(9), ..output }.success());
    }

    /// Agents of different age say it differently.
    #[test]
    fn a_truncated_stream_is_recognized() {
        let full = encode(&vec![0; MAX_OUTPUT]);
        let truncated = |data: &str, mark| {
            let mut status = Status::new(true);
            (status.out_data, status.out_truncated) = (Some(data.to_owned()), mark);
            let output = ExecOutput::new(status.clone()).unwrap();
            (status.err_data, status.out_data) = (status.out_data, None);
            (status.err_truncated, status.out_truncated) = (status.out_truncated, None);
            let swapped = ExecOutput::new(status).unwrap();
            assert_eq!(swapped.truncated(), output.truncated());
            assert_eq!(swapped.stderr_truncated, output.stdout_truncated);
            assert!(!swapped.stdout_truncated && !output.stderr_truncated);
            output.stdout_truncated
        };
        // As 10.0.2 does: marked only if truncated, with a false value.
        assert!(truncated(&full, Some(false)));
        assert!(!truncated(&full, None));
        assert!(!truncated("eA==", None));
        // As later ones do.
        assert!(truncated(&full, Some(true)));
        assert!(!truncated("eA==", Some(false)));
        // An agent with another limit.
        assert!(truncated("eA==", Some(true)));
    }
}
