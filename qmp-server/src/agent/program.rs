//! Programs: their exit status and output are given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qmp_types::qga::types::{GuestExecCaptureOutputMode as Mode, GuestExecStatus as Status};

/// The number of bytes that the agent keeps of each output stream.
const MAX_OUTPUT: usize = 16 << 20;

/// The exit status and the output of a program.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Program {
    exit_code: Option<i64>,
    signal: Option<i64>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The number of status queries before the exit, if the program exits.
    pub(super) polls: Option<u32>,
}

impl Program {
    /// Creates a program that exits with a code.
    ///
    /// ```
    /// # #[cfg(feature = "agent")] {
    /// use qmp_server::agent::Program;
    ///
    /// // Reported as running twice before it has exited.
    /// let program = Program::exits(1).stderr("cannot open").after_polls(2);
    /// # drop(program);
    /// # }
    /// ```
    pub fn exits(code: i64) -> Self {
        Self { exit_code: Some(code), polls: Some(0), ..Self::default() }
    }

    /// Creates a program that is ended by a signal.
    ///
    /// ```
    /// use qmp_server::agent::Program;
    ///
    /// let program = Program::killed_by(9);
    /// ```
    pub fn killed_by(signal: i64) -> Self {
        Self { signal: Some(signal), polls: Some(0), ..Self::default() }
    }

    /// Creates a program that never exits.
    ///
    /// ```
    /// use qmp_server::agent::Program;
    ///
    /// let program = Program::runs();
    /// ```
    pub fn runs() -> Self {
        Self::default()
    }

    /// Sets the bytes that the program writes to its standard output.
    ///
    /// ```
    /// use qmp_server::agent::Program;
    ///
    /// let program = Program::runs().stdout("Linux\n");
    /// ```
    pub fn stdout(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdout = bytes.into();
        self
    }

    /// Sets the bytes that the program writes to its standard error.
    ///
    /// ```
    /// use qmp_server::agent::Program;
    ///
    /// let program = Program::runs().stderr("no such file\n");
    /// ```
    pub fn stderr(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stderr = bytes.into();
        self
    }

    /// Makes this number of `guest-exec-status` report that the program is still running (default:
    /// 0).
    ///
    /// ```
    /// use qmp_server::agent::Program;
    ///
    /// let program = Program::runs().after_polls(3);
    /// ```
    pub fn after_polls(mut self, polls: u32) -> Self {
        self.polls = Some(polls);
        self
    }
}

/// A program that has been started.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) program: Program,
    pub(super) mode: Mode,
}

impl Process {
    /// Returns the status of the program, which has exited.
    pub(super) fn into_status(self) -> Status {
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
    if bytes.is_empty() {
        return (None, None);
    }
    let kept = &bytes[..bytes.len().min(MAX_OUTPUT)];
    (Some(STANDARD.encode(kept)), Some(kept.len() < bytes.len()))
}
