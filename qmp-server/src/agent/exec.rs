//! Running programs, which are not executed.

use qmp_types::QmpError;
use qmp_types::qga::commands::{GuestExec, GuestExecStatus};
use qmp_types::qga::types::{
    GuestExec as Started, GuestExecCaptureOutput as Capture, GuestExecCaptureOutputMode as Mode,
    GuestExecStatus as Status,
};

use super::guest::Guest;
use super::program::Process;
use crate::context::Context;
use crate::router::Router;

/// The number of programs whose exit status has not been read.
const MAX_PROCESSES: usize = 1 << 10;

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
