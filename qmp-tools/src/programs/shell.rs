//! Sends commands to a monitor from a prompt, a script, or the command line.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use qmp_client::Error;

use crate::cli::{Completions, chain};
use crate::machine::{Machine, MachineArgs, Origin};
use crate::shell::{Engine, LineError, Outcome, Setup, Shell, interact, parse};
use crate::terminal::notice;

/// Send commands to a QMP monitor, one per line: 'command key=value ...' or JSON
#[derive(Debug, Parser)]
#[command(name = "qmp-shell", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    machine: MachineArgs,

    /// Execute COMMAND instead of reading standard input; may be repeated
    #[arg(short, long, value_name = "COMMAND")]
    command: Vec<String>,

    /// Pretty-print replies and events; the default at a terminal
    #[arg(short, long)]
    pretty: bool,

    /// Do not ask before a command ends the machine
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    completions: Completions,
}

const EXAMPLES: &str = "\
A value that is valid JSON is sent as such; any other value is a string, and so is everything in
single quotes: id='123'. A dot in a key makes an object: file.driver=file. A word that starts with
'#' begins a comment. The exit status is 1 if a command failed.

Examples:
  qmp-shell                                 talk to a simulated machine
  qmp-shell unix:/run/vm.sock               open a prompt
  qmp-shell unix:/run/vm.sock -c stop -c 'set_link name=net0 up=false'
  qmp-shell unix:/run/vm.sock < commands    execute a file, one command per line";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(Outcome::Failed | Outcome::Lost) => ExitCode::FAILURE,
        Ok(Outcome::Done | Outcome::Ended) => ExitCode::SUCCESS,
        Err(error) => {
            notice(&format!("qmp-shell: {}", chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn std::error::Error>> {
    if arguments.completions.print(Arguments::command())? {
        return Ok(Outcome::Done);
    }
    let machine = arguments.machine.connect()?;
    let client = machine.client.clone();
    let events = client.raw_events();
    let interactive = arguments.command.is_empty() && io::stdin().is_terminal();
    if matches!(machine.origin, Origin::Simulated) {
        notice(
            "no address was given: using a simulated machine; see --help to connect to a real one",
        );
    }
    let pretty = arguments.pretty || (interactive && io::stdout().is_terminal());
    let outcome = if interactive {
        let then = match machine.origin {
            Origin::Address => "keeps running",
            Origin::Launched(_) | Origin::Simulated => "stops",
        };
        let version = client.version();
        notice(&format!("QEMU {version}. Press Ctrl-D to leave; the machine {then}."));
        let setup = Setup {
            client: client.clone(),
            prompt: "(QEMU) ",
            address: arguments.machine.address.clone().unwrap_or_default(),
            asks: !matches!(machine.origin, Origin::Simulated) && !arguments.yes,
        };
        interact(&setup, |output| Executor(Shell::new(client, events, output, pretty)))?
    } else {
        let mut shell = Shell::new(client, events, io::stdout().lock(), pretty);
        if arguments.command.is_empty() {
            script(&mut shell, io::stdin().lock())?
        } else {
            let lines = arguments.command.iter().map(|line| Ok(line.clone()));
            execute(&mut shell, lines)?
        }
    };
    finish(machine)?;
    Ok(outcome)
}

/// Ends the session. A connection that was lost has been reported already.
fn finish(machine: Machine) -> Result<(), Error> {
    match machine.finish() {
        Err(error) if error.is_closed() => Ok(()),
        other => other,
    }
}

fn script<W: Write>(shell: &mut Shell<W>, input: impl BufRead) -> io::Result<Outcome> {
    execute(shell, input.lines())
}

/// Executes every line, and returns [`Outcome::Failed`] if any of them failed. JSON that is
/// incomplete at the end of a line continues on the next.
fn execute<W: Write>(
    shell: &mut Shell<W>,
    lines: impl Iterator<Item = io::Result<String>>,
) -> io::Result<Outcome> {
    let mut overall = Outcome::Done;
    let mut pending = String::new();
    let mut lines = lines;
    while let Some(line) = lines.next() {
        pending += &line?;
        // An unclosed quote fails its own line; it must not swallow those that follow.
        if matches!(parse(&pending), Err(LineError::Unclosed('{' | '['))) {
            pending.push('\n');
            continue;
        }
        match shell.line(&std::mem::take(&mut pending))? {
            Outcome::Done => {}
            Outcome::Failed => overall = Outcome::Failed,
            Outcome::Ended => return check_nothing_follows(lines, overall),
            Outcome::Lost => return Ok(Outcome::Lost),
        }
    }
    match shell.line(&pending)? {
        Outcome::Failed | Outcome::Lost => Ok(Outcome::Failed),
        Outcome::Done | Outcome::Ended => Ok(overall),
    }
}

/// Fails if a command follows after the machine has exited; blank lines and comments are fine.
fn check_nothing_follows(
    lines: impl Iterator<Item = io::Result<String>>,
    overall: Outcome,
) -> io::Result<Outcome> {
    for line in lines {
        let line = line?;
        if parse(&line) != Ok(None) {
            notice(&format!("not executed because the machine has exited: {}", line.trim()));
            return Ok(Outcome::Failed);
        }
    }
    Ok(overall)
}

/// Executes commands for the prompt.
struct Executor(Shell<Box<dyn Write + Send>>);

impl Engine for Executor {
    fn run(&mut self, command: &str) -> io::Result<Outcome> {
        self.0.line(command)
    }

    fn pump(&mut self, within: Duration) -> io::Result<Outcome> {
        self.0.events(within)
    }
}
