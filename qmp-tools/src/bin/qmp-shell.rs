//! Talks to a monitor, line by line.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use qmp_client::Error;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryCommands;
use qmp_tools::cli::{Completions, chain};
use qmp_tools::machine::{Machine, MachineArgs, Origin};
use qmp_tools::shell::{LineError, Outcome, Printer, Prompt, Shell, parse};

/// Talks to a monitor: a command a line, as `command key=value ...` or as JSON
#[derive(Debug, Parser)]
#[command(name = "qmp-shell", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    machine: MachineArgs,

    /// Executes this command instead of reading lines; may be given several times
    #[arg(short, long, value_name = "COMMAND")]
    command: Vec<String>,

    /// Prints over several lines; the default at a terminal
    #[arg(short, long)]
    pretty: bool,

    #[command(flatten)]
    completions: Completions,
}

const EXAMPLES: &str = "\
Values are JSON where they are JSON and strings otherwise; 'quoted' is always a string, a dot in a
key makes an object. The exit status is 1 if a command failed.

Examples:
  qmp-shell                                 a simulated machine
  qmp-shell unix:/run/vm.sock               a prompt
  qmp-shell unix:/run/vm.sock -c stop -c 'set_link name=net0 up=false'
  qmp-shell unix:/run/vm.sock < commands    a command a line, # for comments";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(Outcome::Failed | Outcome::Lost) => ExitCode::FAILURE,
        Ok(Outcome::Done | Outcome::Ended) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qmp-shell: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn std::error::Error>> {
    if arguments.completions.print(Arguments::command())? {
        return Ok(Outcome::Done);
    }
    let Machine { client, origin } = arguments.machine.connect()?;
    let interactive = arguments.command.is_empty() && io::stdin().is_terminal();
    if origin == Origin::Simulated {
        eprintln!("No address given: this is a simulated machine. See --help for a real one.");
    }
    let pretty = arguments.pretty || (interactive && io::stdout().is_terminal());
    let (outcome, client) = if interactive {
        let then = if origin == Origin::Address { "goes on" } else { "ends" };
        eprintln!("QEMU {}. Ctrl-D leaves, and the machine {then}.", client.version());
        (Outcome::Done, converse(client, pretty)?)
    } else {
        let mut shell = Shell::new(client, io::stdout().lock(), pretty);
        let outcome = if arguments.command.is_empty() {
            script(&mut shell, io::stdin().lock())?
        } else {
            let lines = arguments.command.iter().map(|line| Ok(line.clone()));
            execute(&mut shell, lines)?
        };
        (outcome, Some(shell.into_client()))
    };
    if let Some(client) = client {
        finish(Machine { client, origin })?;
    }
    Ok(outcome)
}

/// A machine that has ended already is finished.
fn finish(machine: Machine) -> Result<(), Error> {
    match machine.finish() {
        Err(error) if error.is_closed() => Ok(()),
        other => other,
    }
}

fn script<W: Write>(shell: &mut Shell<W>, input: impl BufRead) -> io::Result<Outcome> {
    execute(shell, input.lines())
}

/// Executes every line, and says whether all went well. A line that is not complete goes on in
/// the next.
fn execute<W: Write>(
    shell: &mut Shell<W>,
    lines: impl Iterator<Item = io::Result<String>>,
) -> io::Result<Outcome> {
    let mut all = Outcome::Done;
    let mut pending = String::new();
    let mut lines = lines;
    while let Some(line) = lines.next() {
        pending += &line?;
        // A quote that is not closed is a mistake of its line, not of all that follow.
        if matches!(parse(&pending), Err(LineError::Open('{' | '['))) {
            pending.push('\n');
            continue;
        }
        match shell.line(&std::mem::take(&mut pending))? {
            Outcome::Done => {}
            Outcome::Failed => all = Outcome::Failed,
            Outcome::Ended => return rest_is_blank(lines, all),
            Outcome::Lost => return Ok(Outcome::Lost),
        }
    }
    match shell.line(&pending)? {
        Outcome::Failed | Outcome::Lost => Ok(Outcome::Failed),
        Outcome::Done | Outcome::Ended => Ok(all),
    }
}

/// What is left when the machine has ended cannot be executed; only comments go without.
fn rest_is_blank(
    lines: impl Iterator<Item = io::Result<String>>,
    all: Outcome,
) -> io::Result<Outcome> {
    for line in lines {
        let line = line?;
        if parse(&line) != Ok(None) {
            eprintln!("not executed, since the machine has ended: {}", line.trim());
            return Ok(Outcome::Failed);
        }
    }
    Ok(all)
}

/// The editor waits for a person, the connection for events; neither waits for the other.
fn converse(
    mut client: Client,
    pretty: bool,
) -> Result<Option<Client>, Box<dyn std::error::Error>> {
    let mut prompt = Prompt::new(commands(&mut client))?;
    let printer = prompt.printer();
    let (requests, inbox) = mpsc::channel();
    let (done, outcomes) = mpsc::channel();
    let connection = std::thread::spawn(move || attend(client, &printer, pretty, &inbox, &done));
    while let Some(command) = prompt.read()? {
        // The answer comes before the next prompt.
        if requests.send(command).is_err() || outcomes.recv() != Ok(Outcome::Done) {
            break;
        }
    }
    drop(requests);
    Ok(connection.join().ok().flatten())
}

/// What the machine can execute; nothing, if it does not say.
fn commands(client: &mut Client) -> Vec<String> {
    let known = client.execute(QueryCommands::new()).unwrap_or_default();
    let mut names: Vec<String> = known.into_iter().map(|command| command.name).collect();
    names.sort_unstable();
    names
}

/// Executes lines as they come, and prints events in between.
fn attend(
    client: Client,
    printer: &Printer,
    pretty: bool,
    inbox: &Receiver<String>,
    done: &Sender<Outcome>,
) -> Option<Client> {
    /// How long a line may have to wait for the look at the connection to end.
    const LOOK: Duration = Duration::from_millis(20);
    let mut shell = Shell::new(client, printer.clone(), pretty);
    loop {
        match inbox.try_recv() {
            Ok(line) => {
                let outcome = match shell.line(&line).unwrap_or(Outcome::Lost) {
                    // A line that failed is no reason to leave.
                    Outcome::Failed => Outcome::Done,
                    other => other,
                };
                if outcome != Outcome::Done {
                    eprintln!("The connection has ended.");
                }
                if done.send(outcome).is_err() || outcome != Outcome::Done {
                    return None;
                }
            }
            Err(TryRecvError::Disconnected) => return Some(shell.into_client()),
            Err(TryRecvError::Empty) => {
                if shell.events(LOOK).unwrap_or(Outcome::Lost) != Outcome::Done {
                    // The editor does not return before a key is pressed.
                    let _ = writeln!(printer.clone(), "The connection has ended. Enter leaves.");
                    return None;
                }
            }
        }
    }
}
