//! What both clients of a guest agent have in common.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qmp_types::qga::commands::{
    GuestExec, GuestExecStatus, GuestFileRead, GuestFileWrite, GuestShutdown,
};
use qmp_types::qga::types::{
    GuestExecCaptureOutput, GuestExecStatus as Status, GuestFileRead as Piece,
};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Mismatch, Timeout, WaitedFor};
use crate::machine::Deadline;

/// How much of a file travels in one message: well below the agent's limits.
const PIECE: usize = 48 * 1024;
/// The pauses between two looks at a program grow from this to that.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
/// How long freezing or thawing may take: the guest writes all that it has not written yet.
pub(crate) const FREEZING: Duration = Duration::from_secs(5 * 60);

/// How a guest is to shut down.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ShutdownMode {
    /// Its power goes off.
    #[default]
    Powerdown,
    /// It stands still, its power on.
    Halt,
    /// It starts again.
    Reboot,
}

impl ShutdownMode {
    /// The name on the wire, such as `powerdown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Powerdown => "powerdown",
            Self::Halt => "halt",
            Self::Reboot => "reboot",
        }
    }

    pub(crate) fn command(self) -> GuestShutdown {
        GuestShutdown::new().mode(self.as_str())
    }
}

/// Where a guest keeps its memory while it is suspended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SuspendMode {
    /// On its disk; its power goes off.
    Disk,
    /// In its memory.
    Ram,
    /// In both: the disk counts if the power fails.
    Hybrid,
}

/// A program to be run in the guest.
#[derive(Clone, Debug)]
#[must_use = "it is run by `exec` of an agent"]
pub struct Exec {
    path: String,
    args: Vec<String>,
    env: Vec<String>,
    input: Option<Vec<u8>>,
    within: Duration,
}

impl Exec {
    /// The program at this path of the guest's, or of this name, with nothing to read, and a
    /// minute to end.
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

    /// Sets a variable of its environment; the first one replaces the agent's own environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// What it reads from its standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// How long it may take. Afterwards it runs on: the agent has no command to end it.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// When to look at it, beginning now.
    pub(crate) fn looks(&self, now: Instant) -> Looks {
        let (within, deadline) = (self.within, Deadline::after(now, self.within));
        Looks { pause: PAUSES.0, within, deadline }
    }

    pub(crate) fn command(&self) -> GuestExec {
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

/// What a program left behind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ExecOutput {
    /// Its exit status, if it exited by itself.
    pub exitcode: Option<i64>,
    /// The signal, or on Windows the exception, that ended it.
    pub signal: Option<i64>,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
    /// Whether it wrote more than the agent keeps, 16 MiB each.
    pub truncated: bool,
}

impl ExecOutput {
    /// Whether it exited with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exitcode == Some(0)
    }

    pub(crate) fn new(status: Status) -> Result<Self, Error> {
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

/// The looks at a program that runs: ever rarer.
#[derive(Debug)]
pub(crate) struct Looks {
    pause: Duration,
    within: Duration,
    deadline: Option<Deadline>,
}

impl Looks {
    /// How long to pause before the next look.
    ///
    /// # Errors
    /// The program has had its time.
    pub(crate) fn pause(&mut self, now: Instant) -> Result<Duration, Error> {
        let left = self.deadline.map(|limit| limit.at.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Timeout::new(WaitedFor::Exit, self.within).into());
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSES.1);
        Ok(left.map_or(pause, |left| left.min(pause)))
    }
}

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Reading {
    handle: i64,
    limit: usize,
    bytes: Vec<u8>,
    ended: bool,
}

impl Reading {
    pub(crate) fn new(handle: i64, limit: usize) -> Self {
        Self { handle, limit, bytes: Vec::new(), ended: false }
    }

    /// What reads the next piece, if there is one.
    pub(crate) fn next(&self) -> Option<GuestFileRead> {
        let left = self.limit.saturating_sub(self.bytes.len());
        let count = i64::try_from(PIECE.min(left)).unwrap_or(1);
        (count > 0 && !self.ended).then(|| GuestFileRead::new(self.handle).count(count))
    }

    pub(crate) fn take(&mut self, piece: &Piece) -> Result<(), Error> {
        let read = decode::<GuestFileRead>(&piece.buf_b64)?;
        self.ended = piece.eof || read.is_empty();
        self.bytes.extend_from_slice(&read);
        Ok(())
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Writing<'b> {
    handle: i64,
    left: &'b [u8],
}

impl<'b> Writing<'b> {
    pub(crate) fn new(handle: i64, bytes: &'b [u8]) -> Self {
        Self { handle, left: bytes }
    }

    /// What writes the next piece, if there is one.
    pub(crate) fn next(&self) -> Option<GuestFileWrite> {
        let piece = self.left.chunks(PIECE).next()?;
        Some(GuestFileWrite::new(self.handle, encode(piece)))
    }

    /// So many bytes of the piece are written.
    pub(crate) fn written(&mut self, count: i64) {
        let piece = self.left.len().min(PIECE);
        // A guest that claims to have written nothing would keep us here for ever.
        let written = usize::try_from(count).unwrap_or(0).max(1).min(piece);
        self.left = self.left.split_at(written).1;
    }
}

/// Whether file systems may be frozen, after freezing them failed. A command that the agent does
/// not have, or that is disabled since they are frozen already, has frozen nothing.
pub(crate) fn may_have_frozen(error: &Error) -> bool {
    !error.is_command_not_found()
}

fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes in the reply to a command.
fn decode<C: qmp_types::Command>(text: &str) -> Result<Vec<u8>, Error> {
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(bytes),
        // Read as JSON once more, for an error that shows where and what.
        Err(_) => qmp_types::decode::<Bytes>(&serde_json::Value::from(text).to_string())
            .map(|bytes| bytes.0)
            .map_err(|error| Mismatch::reply(C::NAME.into(), error).into()),
    }
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}
