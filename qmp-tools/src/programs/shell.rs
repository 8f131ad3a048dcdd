//! Sends commands to a monitor from a prompt, a script, or the command line.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Args, Parser};
use qmp_client::{Dialect, Error};

use crate::cli::{Completions, StandardOutput, TimeoutArgs, chain, status_of};
use crate::machine::{Machine, MachineArgs, Origin};
use crate::shell::output::{EventStyle, Mode};
use crate::shell::script::{Script, Tally};
use crate::shell::session::Peer;
use crate::shell::{Handles, LogFile, Outcome, Session, Settings, Setup, interact};
use crate::terminal::notice;

/// Send commands to a QMP monitor, one per line: 'command key=value ...' or JSON
#[derive(Debug, Parser)]
#[command(name = "qmp-shell", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    machine: MachineArgs,

    /// Talk to a guest agent, which has no greeting and no negotiation, as `qmp agent` does
    #[arg(short = 'N', long, conflicts_with = "launch")]
    skip_negotiation: bool,

    #[command(flatten)]
    options: ShellArgs,

    #[command(flatten)]
    completions: Completions,
}

/// Start a QEMU, send commands to it, and quit it at the end
#[derive(Debug, Parser)]
#[command(name = "qmp-shell-wrap", version, after_help = WRAP_EXAMPLES)]
pub struct WrapArguments {
    #[command(flatten)]
    options: ShellArgs,

    #[command(flatten)]
    timeout: TimeoutArgs,

    #[command(flatten)]
    completions: Completions,

    /// QEMU with its arguments (default: qemu-system-x86_64)
    #[arg(
        value_names = ["PROGRAM", "ARG"],
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    qemu: Vec<OsString>,
}

/// The arguments of all programs that are shells.
#[derive(Args, Clone, Debug, Default)]
pub struct ShellArgs {
    /// Execute COMMAND instead of reading standard input; may be repeated
    #[arg(short, long, value_name = "COMMAND")]
    command: Vec<String>,

    /// Execute the statements of FILE, before those of --command; may be repeated
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// Show replies and events over several lines: --output pretty
    #[arg(short, long, conflicts_with_all = ["output", "jsonl"])]
    pretty: bool,

    /// How to show replies: pretty (the default at a terminal), compact (the default elsewhere), table, raw
    /// or jsonl
    #[arg(long, value_name = "MODE", value_parser = mode, conflicts_with = "jsonl")]
    output: Option<Mode>,

    /// Print one JSON envelope per line, and nothing else: --output jsonl
    #[arg(long)]
    jsonl: bool,

    /// Show the commands that are sent, without their secrets
    #[arg(short, long)]
    verbose: bool,

    /// Send lines to the human monitor
    #[arg(short = 'H', long)]
    hmp: bool,

    /// Append all messages to FILE, without the secrets in commands
    #[arg(short, long, value_name = "FILE")]
    logfile: Option<PathBuf>,

    /// End a script at the first statement that fails
    #[arg(long)]
    exit_on_error: bool,

    /// Do not ask before a command ends the machine, such as `quit`
    #[arg(short, long)]
    yes: bool,
}

fn mode(text: &str) -> Result<Mode, String> {
    let modes = Mode::ALL.map(Mode::as_str).join(", ");
    Mode::named(text).ok_or_else(|| format!("the modes are {modes}"))
}

const EXAMPLES: &str = "\
The machine's schema decides the type of a value: serial=1e5 is text, size=64M a number of bytes, and \
up=on is true. With key:=JSON, the value is sent as it is. A dot in a key makes an object: \
file.driver=file. A word that starts with '#' begins a comment. `help` describes the syntax, and `help \
NAME` a command, an event or a type.

`wait EVENT [member=value] [--timeout SECONDS]` waits for an event that came after the last command \
was sent. `set` lists and sets options.

A command in a script has a deadline, --timeout or `set timeout=SECONDS`; at a prompt, --timeout only \
applies to connecting.

If no ADDRESS is given, the environment variable QMP_SOCKET is used, if it is set.

Exit status:
  0  all statements succeeded
  1  a statement failed
  2  the arguments are invalid, or a file cannot be opened
  3  no connection, or it was lost
  4  a deadline passed

Examples:
  qmp-shell                                 talk to a simulated machine
  qmp-shell unix:/run/vm.sock               open a prompt
  qmp-shell unix:/run/vm.sock -c stop -c 'set_link name=net0 up=false'
  qmp-shell unix:/run/vm.sock -c 'device_del id=d0' -c 'wait DEVICE_DELETED device=d0'
  qmp-shell localhost:4444 --jsonl -f setup.qmp
  qmp-shell unix:/run/vm.sock < commands    execute a file, one command per line";

const WRAP_EXAMPLES: &str = "\
The monitor is a connection that QEMU inherits: no other monitor is added or changed. QEMU quits with \
the shell. The exit status is that of qmp-shell.

Examples:
  qmp-shell-wrap qemu-system-x86_64 -M q35 -display none
  qmp-shell-wrap -c query-status -- qemu-system-x86_64 -S -display none";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    if let Some(status) = arguments.completions.main::<Arguments>() {
        return status;
    }
    let mut machine = arguments.machine.clone();
    if machine.address.is_none() && machine.launch.is_empty() {
        machine.address = std::env::var("QMP_SOCKET").ok().filter(|address| !address.is_empty());
    }
    run("qmp-shell", &machine, arguments.skip_negotiation, &arguments.options)
}

/// Runs `qmp-shell-wrap`, and returns its exit status.
#[must_use]
pub fn wrap(arguments: &WrapArguments) -> ExitCode {
    if let Some(status) = arguments.completions.main::<WrapArguments>() {
        return status;
    }
    let mut launch = arguments.qemu.clone();
    if launch.is_empty() {
        launch.push("qemu-system-x86_64".into());
    }
    let machine = MachineArgs { address: None, launch, timeout: arguments.timeout };
    run("qmp-shell-wrap", &machine, false, &arguments.options)
}

/// The exit status of an outcome.
pub(crate) fn status(outcome: Outcome) -> ExitCode {
    ExitCode::from(match outcome {
        Outcome::Done | Outcome::Ended => 0,
        Outcome::Failed | Outcome::Interrupted => 1,
        Outcome::Lost => 3,
        Outcome::Timeout => 4,
    })
}

/// The exit status for arguments that are invalid.
const USAGE: u8 = 2;
/// The exit status of a failure to connect.
const NO_CONNECTION: u8 = 3;
/// How long the last messages may take to be written to a log file.
const LOGGED: Duration = Duration::from_secs(5);

pub(super) fn run(
    program: &str,
    machine: &MachineArgs,
    is_agent: bool,
    options: &ShellArgs,
) -> ExitCode {
    let fails = |status: u8, error: &dyn std::error::Error| {
        notice(&format!("{program}: {}", chain(error)));
        ExitCode::from(status)
    };
    let scripts = match options.scripts() {
        Ok(scripts) => scripts,
        Err(error) => return fails(USAGE, &error),
    };
    let mut connection = machine.timeout.options();
    if is_agent && options.hmp {
        return fails(USAGE, &io::Error::other("a guest agent has no human monitor: omit --hmp"));
    }
    if is_agent {
        connection = connection.dialect(Dialect::Agent);
    }
    let mut logged = None;
    if let Some(path) = &options.logfile {
        match LogFile::open(path) {
            Ok(mut log) => {
                // Disconnected when the last message has been logged.
                let (logging, receiver) = mpsc::channel::<Infallible>();
                logged = Some(receiver);
                connection = connection.transcript(move |direction, text| {
                    let _ = &logging;
                    log.add(direction, text);
                });
            }
            Err(error) => return fails(USAGE, &error),
        }
    }
    let address = machine.address.clone().unwrap_or_default();
    let machine = match machine.connect_with(&connection) {
        Ok(connected) => (connected, machine.timeout.timeout),
        // An address that is none is a usage error.
        Err(error) if status_of(&*error) == USAGE => return fails(USAGE, &*error),
        Err(error) => return fails(NO_CONNECTION, &*error),
    };
    let peer = if is_agent { Peer::Agent } else { Peer::Monitor };
    let executed = execute(machine, peer, address, scripts, options);
    drop(connection);
    let _ = logged.map(|logged| logged.recv_timeout(LOGGED));
    match executed {
        Ok(outcome) => status(outcome),
        Err(error) => fails(1, &*error),
    }
}

impl ShellArgs {
    /// Returns the scripts that the arguments name; none if standard input is a terminal.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn scripts(&self) -> io::Result<Vec<Script>> {
        let mut scripts = Vec::new();
        for path in &self.file {
            let name = path.display().to_string();
            if name == "-" {
                scripts.push(Script::read(None, io::stdin()));
                continue;
            }
            // A directory can be opened, and not read.
            let open = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
                true => Err(io::Error::from(io::ErrorKind::IsADirectory)),
                false => Ok(file),
            });
            let file =
                open.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
            scripts.push(Script::read(Some(name), file));
        }
        if !self.command.is_empty() {
            scripts.push(Script::commands(self.command.clone()));
        }
        if scripts.is_empty() && !io::stdin().is_terminal() {
            scripts.push(Script::read(None, io::stdin()));
        }
        Ok(scripts)
    }

    /// Returns the options of a session.
    pub(crate) fn settings(&self, is_interactive: bool, timeout: Duration) -> Settings {
        let is_terminal = is_interactive && io::stdout().is_terminal();
        let mode = match (self.output, self.jsonl, self.pretty || is_terminal) {
            (Some(mode), _, _) => mode,
            (None, true, _) => Mode::Jsonl,
            (None, false, true) => Mode::Pretty,
            (None, false, false) => Mode::Compact,
        };
        Settings {
            output: mode,
            event_style: is_terminal.then_some(EventStyle::Line),
            timeout: (!is_interactive).then_some(timeout),
            verbose: self.verbose,
            hmp: self.hmp,
            exit_on_error: self.exit_on_error,
            color: is_terminal && std::env::var_os("NO_COLOR").is_none(),
            ..Settings::default()
        }
    }
}

/// Executes scripts, or reads commands from a person if there are none.
fn execute(
    (machine, timeout): (Machine, Duration),
    peer: Peer,
    address: String,
    scripts: Vec<Script>,
    options: &ShellArgs,
) -> Result<Outcome, Box<dyn std::error::Error>> {
    let client = machine.client.clone();
    let is_interactive = scripts.is_empty();
    if matches!(machine.origin, Origin::Simulated) {
        notice(
            "no address was given: using a simulated machine; see --help to connect to a real one",
        );
    }
    let settings = options.settings(is_interactive, timeout);
    let outcome = if is_interactive {
        let then = match machine.origin {
            Origin::Address => "keeps running",
            Origin::Launched(_) | Origin::Simulated => "stops",
        };
        let server = match peer {
            Peer::Monitor => format!("QEMU {}", client.version()),
            Peer::Agent => String::from("A guest agent"),
        };
        notice(&format!("{server}. Press Ctrl-D to leave; the machine {then}."));
        let asks = !options.yes && !matches!(machine.origin, Origin::Simulated);
        let setup = Setup { client: client.clone(), peer, address };
        interact(&setup, |Handles { output, messages, confirm }| {
            let session = Session::new(client, output, messages, settings).peer(peer);
            if asks { session.confirm(confirm) } else { session }
        })?
    } else {
        let messages = Box::new(io::stderr());
        let mut session =
            Session::new(client, StandardOutput::new(), messages, settings).peer(peer);
        run_scripts(&mut session, scripts)?
    };
    finish(machine)?;
    Ok(outcome)
}

/// Executes scripts one after the other. An output that is closed, as with `| head`, ends them.
pub(crate) fn run_scripts<W: Write>(
    session: &mut Session<W>,
    scripts: Vec<Script>,
) -> io::Result<Outcome> {
    let mut tally = Tally::default();
    for mut script in scripts {
        match tally.run(session, &mut script) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(error),
        }
    }
    Ok(tally.worst())
}

/// Ends the session. A connection that was lost has been reported already.
fn finish(machine: Machine) -> Result<(), Error> {
    match machine.finish() {
        Err(error) if error.is_closed() => Ok(()),
        other => other,
    }
}
