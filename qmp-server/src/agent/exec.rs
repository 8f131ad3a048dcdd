//! Programs, which are not executed: their exit status and output are given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qmp_types::QmpError;
use qmp_types::qga::commands::{GuestExec, GuestExecStatus};
use qmp_types::qga::types::{
    GuestExec as Started, GuestExecCaptureOutput as Capture, GuestExecCaptureOutputMode as Mode,
    GuestExecStatus as Status,
};

use super::guest::Guest;
use crate::context::Context;
use crate::router::Router;

/// The number of bytes that the agent keeps of each output stream.
const MAX_OUTPUT: usize = 16 << 20;

/// The number of programs whose exit status has not been read.
const MAX_PROCESSES: usize = 1 << 10;

/// The exit status and the output of a program.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Program {
    exit_code: Option<i64>,
    signal: Option<i64>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    polls: Option<u32>,
}

impl Program {
    /// Creates a program that exits with a code.
    pub fn exits(code: i64) -> Self {
        Self { exit_code: Some(code), polls: Some(0), ..Self::default() }
    }

    /// Creates a program that is ended by a signal.
    pub fn killed_by(signal: i64) -> Self {
        Self { signal: Some(signal), polls: Some(0), ..Self::default() }
    }

    /// Creates a program that never exits.
    pub fn runs() -> Self {
        Self::default()
    }

    /// Sets the bytes that the program writes to its standard output.
    pub fn stdout(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdout = bytes.into();
        self
    }

    /// Sets the bytes that the program writes to its standard error.
    pub fn stderr(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stderr = bytes.into();
        self
    }

    /// Makes this number of `guest-exec-status` report that the program is still running (default:
    /// 0).
    pub fn after_polls(mut self, polls: u32) -> Self {
        self.polls = Some(polls);
        self
    }
}

/// A program that has been started.
#[derive(Debug)]
pub(super) struct Process {
    program: Program,
    mode: Mode,
}

pub(super) fn add(router: Router<Guest>) -> Router<Guest> {
    router.command(exec).command(status)
}

fn exec(guest: &mut Guest, command: GuestExec, _: &mut Context) -> Result<Started, QmpError> {
    let path = &command.path;
    if let Some(input) = &command.input_data {
        super::files::decode(input)?;
    }
    let failed = |reason: &str| {
        // GLib's quotation marks.
        let desc = format!("Failed to execute child process \u{201c}{path}\u{201d} ({reason})");
        QmpError::generic(desc)
    };
    let program = guest.programs.get(path).ok_or_else(|| failed("No such file or directory"))?;
    if guest.processes.len() >= MAX_PROCESSES {
        return Err(failed("Resource temporarily unavailable"));
    }
    let mode = match command.capture_output {
        None | Some(Capture::Flag(false)) => Mode::None,
        Some(Capture::Mode(mode)) => mode,
        Some(_) => Mode::Separated,
    };
    let pid = guest.next_pid;
    guest.next_pid += 1;
    guest.processes.insert(pid, Process { program: program.clone(), mode });
    Ok(Started::new(pid))
}

fn status(
    guest: &mut Guest,
    command: GuestExecStatus,
    _: &mut Context,
) -> Result<Status, QmpError> {
    let pid = command.pid;
    let Some(process) = guest.processes.get_mut(&pid) else {
        // The agent formats the number wrongly.
        return Err(QmpError::generic("PID ld does not exist"));
    };
    match &mut process.program.polls {
        None => return Ok(Status::new(false)),
        Some(0) => {}
        Some(polls) => {
            *polls -= 1;
            return Ok(Status::new(false));
        }
    }
    // The agent reports the end of a program once.
    let ended = guest.processes.remove(&pid);
    Ok(ended.map_or_else(|| Status::new(false), Process::into_status))
}

impl Process {
    fn into_status(self) -> Status {
        let Self { program, mode } = self;
        let mut status = Status::new(true);
        status.exitcode = program.exit_code;
        status.signal = program.signal;
        let (stdout, stderr) = match mode {
            Mode::None => (Vec::new(), Vec::new()),
            Mode::Stdout => (program.stdout, Vec::new()),
            Mode::Stderr => (Vec::new(), program.stderr),
            Mode::Merged => ([program.stdout, program.stderr].concat(), Vec::new()),
            _ => (program.stdout, program.stderr),
        };
        (status.out_data, status.out_truncated) = captured(&stdout);
        (status.err_data, status.err_truncated) = captured(&stderr);
        status
    }
}

/// Returns the members of the reply for an output stream.
fn captured(bytes: &[u8]) -> (Option<String>, Option<bool>) {
    let kept = &bytes[..bytes.len().min(MAX_OUTPUT)];
    let data = (!kept.is_empty()).then(|| STANDARD.encode(kept));
    (data, (kept.len() < bytes.len()).then_some(true))
}
