//! A program that passes for QEMU, with its arguments.
//!
//! ```text
//! arguments ─> options (which exist) ─> monitors ─> machine ─> pid file ─> Running
//!                                         daemon: the same in a second process
//! ```

mod daemon;
mod machine;
mod monitors;
mod options;
mod pid_file;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use qmp_server::Simulator;

use self::daemon::Daemon;
use self::options::{Given, Options};
use self::pid_file::PidFile;
use super::running::Running;
use super::signals::Signals;
use crate::terminal::{inline, notice};

/// The name by which the program goes unless it is called by another.
pub const NAME: &str = "qemu-system-x86_64";

/// The beginning of the names by which the program is QEMU.
const PREFIX: &str = "qemu-system-";

/// The hint for an invalid identifier.
const ID_HINT: &str =
    "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.";

/// An error with QEMU's message.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The option and its argument, or nothing.
    at: Option<String>,
    message: String,
    /// The lines that QEMU prints after the error.
    hint: &'static str,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { at: None, message: message.into(), hint: "" }
    }

    /// Returns the error of an option, which is printed before it.
    pub(crate) fn of(given: &Given, message: impl Into<String>) -> Self {
        let message = message.into();
        let hint = match message.as_str() {
            "Parameter 'id' expects an identifier" => ID_HINT,
            _ => "",
        };
        Self { at: Some(given.to_string()), message, hint }
    }

    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }
}

/// Runs the program if the process was started by a name of QEMU's, and returns its exit status.
#[must_use]
pub fn main_if_named() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next()?;
    let name = Path::new(&program).file_name()?.to_str()?;
    if !name.starts_with(PREFIX) {
        return None;
    }
    Some(main(name, &arguments.collect::<Vec<_>>()))
}

/// Runs the program with QEMU's arguments, and returns its exit status.
#[must_use]
pub fn main(name: &str, arguments: &[String]) -> ExitCode {
    match run(name, arguments) {
        Ok(status) => status,
        Err(Refusal { at, message, hint }) => {
            let at = at.map(|at| format!("{at}: ")).unwrap_or_default();
            complain(name, &format!("{at}{message}"));
            if !hint.is_empty() {
                notice(hint);
            }
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, arguments: &[String]) -> Result<ExitCode, Refusal> {
    let options = Options::parse(arguments)?;
    if options.has("version") {
        let version = Simulator::VERSION;
        let text = format!("QEMU emulator version {version} (simulated machine)\n");
        let _ = crate::cli::print(text.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    if options.has("daemonize") && options.has("nographic") {
        return Err(Refusal::new("-nographic cannot be used with -daemonize"));
    }
    let daemon = match options.has("daemonize") {
        true => match Daemon::split(name, arguments).map_err(failed)? {
            Daemon::Parent(status) => return Ok(status),
            Daemon::Child(child) => Some(child),
        },
        false => None,
    };
    // Before any thread is spawned.
    let signals = Signals::hold_ignored().map_err(failed)?;
    let pid_file = options.last("pidfile").map(PidFile::create).transpose()?;
    let monitors = monitors::open(name, &options)?;
    let simulator = machine::build(&options)?;
    let running = Running::start(simulator, monitors).map_err(failed)?;
    if let Some(child) = daemon {
        child.report_ready().map_err(failed)?;
    }
    let called = name.to_owned();
    let announce = move |signal| complain(&called, &format!("terminating on signal {signal}"));
    running.end_on(signals, announce).map_err(failed)?;
    running.wait().map_err(failed)?;
    drop(pid_file);
    Ok(ExitCode::SUCCESS)
}

/// Prints an error as QEMU does. A standard error that is closed is ignored.
fn complain(name: &str, message: &str) {
    let _ = writeln!(io::stderr(), "{}: {}", inline(name), inline(message));
}

fn failed(error: io::Error) -> Refusal {
    Refusal::new(error.to_string())
}
