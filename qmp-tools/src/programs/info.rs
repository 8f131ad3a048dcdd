//! Prints a report about virtual machines.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use qmp_client::{Error, WaitedFor};
use serde::Serialize;

use crate::cli::{Completions, chain, print};
use crate::machine::{Machine, MachineArgs};
use crate::report::{self, Report};
use crate::terminal::{inline, json, notice};

/// The longest time that a machine has to answer the queries of a report.
const QUERIES_WITHIN: Duration = Duration::from_secs(10);

/// Print a report about virtual machines
#[derive(Debug, Parser)]
#[command(name = "vm-info", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    machine: MachineArgs,

    /// Addresses of more machines, which are queried at the same time
    #[arg(value_name = "ADDRESS", conflicts_with = "launch")]
    others: Vec<String>,

    /// Print the report as JSON, in which every section is present
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    completions: Completions,
}

const EXAMPLES: &str = "\
Examples:
  vm-info                                   report on a simulated machine
  vm-info unix:/run/vm.sock                 report on a QEMU that was started with
                                            -qmp unix:/run/vm.sock,server=on,wait=off
  vm-info --json tcp:localhost:4444         connect over TCP and print JSON
  vm-info /run/a.sock /run/b.sock           report on several machines
  vm-info --launch qemu-system-x86_64 -display none

Exit status: 0 if everything was reported, 1 if a machine refused what was asked for or if one of
several machines failed, 2 for invalid arguments, 3 if the connection failed, 4 for a deadline.";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            notice(&format!("vm-info: {}", chain(&*error)));
            ExitCode::from(status_of(&*error))
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8, Box<dyn StdError>> {
    if arguments.completions.print(Arguments::command())? {
        return Ok(0);
    }
    let machines = arguments.machines();
    if arguments.is_simulated() {
        notice(
            "no address was given: using a simulated machine; see --help to connect to a real one\n",
        );
    }
    let outcomes = each(&machines, |machine, args| {
        Ok(report::collect(&machine.client, args.timeout.timeout.min(QUERIES_WITHIN))?)
    });
    let text = if arguments.json { as_json(&outcomes)? } else { as_text(&outcomes) };
    print(text.as_bytes())?;
    Ok(conclude(&outcomes))
}

impl Arguments {
    fn is_simulated(&self) -> bool {
        self.machine.address.is_none() && self.machine.launch.is_empty()
    }

    /// Returns the arguments of each machine.
    fn machines(&self) -> Vec<MachineArgs> {
        let other = |address: &String| MachineArgs {
            address: Some(address.clone()),
            ..self.machine.clone()
        };
        let first = std::iter::once(self.machine.clone());
        first.chain(self.others.iter().map(other)).collect()
    }
}

/// What became of one machine.
struct Outcome<T> {
    /// The address, or what the machine is instead.
    label: String,
    result: Result<T, Failure>,
}

/// The failure of one machine.
struct Failure {
    status: u8,
    message: String,
}

impl From<Box<dyn StdError>> for Failure {
    fn from(error: Box<dyn StdError>) -> Self {
        Self { status: status_of(&*error), message: chain(&*error) }
    }
}

/// Does something with each machine, at the same time.
fn each<T: Send>(
    machines: &[MachineArgs],
    action: impl Fn(&Machine, &MachineArgs) -> Result<T, Box<dyn StdError>> + Sync,
) -> Vec<Outcome<T>> {
    let one = |args: &MachineArgs| -> Result<T, Box<dyn StdError>> {
        let machine = args.connect()?;
        let result = action(&machine, args)?;
        machine.finish()?;
        Ok(result)
    };
    std::thread::scope(|threads| {
        let spawn = |args| threads.spawn(move || one(args).map_err(Failure::from));
        let running: Vec<_> = machines.iter().map(|args| (label(args), spawn(args))).collect();
        let join = |(label, thread): (String, std::thread::ScopedJoinHandle<'_, _>)| {
            let panicked = || Failure { status: 1, message: "the thread panicked".to_owned() };
            Outcome { label, result: thread.join().unwrap_or_else(|_| Err(panicked())) }
        };
        running.into_iter().map(join).collect()
    })
}

fn label(args: &MachineArgs) -> String {
    match (&args.address, args.launch.first()) {
        (Some(address), _) => address.clone(),
        (None, Some(program)) => program.to_string_lossy().into_owned(),
        (None, None) => String::from("simulated"),
    }
}

fn as_text(outcomes: &[Outcome<Report>]) -> String {
    if let [Outcome { result: Ok(report), .. }] = outcomes {
        return report.to_string();
    }
    let mut parts = Vec::new();
    for outcome in outcomes {
        let label = inline(&outcome.label);
        match &outcome.result {
            Ok(report) => parts.push(format!("==> {label} <==\n{report}")),
            Err(_) if outcomes.len() == 1 => {}
            Err(failure) => parts.push(format!("==> {label} <==\n{}\n", failure.message)),
        }
    }
    parts.join("\n")
}

/// One of several machines, as it is printed as JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct OneOfSeveral<'a> {
    /// The address, as it was given.
    address: &'a str,
    /// The reason why there is no report.
    error: Option<&'a str>,
    report: Option<&'a Report>,
}

impl<'a> OneOfSeveral<'a> {
    fn new(outcome: &'a Outcome<Report>) -> Self {
        let error = outcome.result.as_ref().err().map(|failure| failure.message.as_str());
        Self { address: &outcome.label, error, report: outcome.result.as_ref().ok() }
    }
}

fn as_json(outcomes: &[Outcome<Report>]) -> serde_json::Result<String> {
    let text = match outcomes {
        [Outcome { result: Ok(report), .. }] => serde_json::to_string_pretty(report)?,
        [_] => return Ok(String::new()),
        _ => {
            let all: Vec<_> = outcomes.iter().map(OneOfSeveral::new).collect();
            serde_json::to_string_pretty(&serde_json::json!({ "machines": all }))?
        }
    };
    Ok(format!("{}\n", json(&text)))
}

/// Reports the machines that failed, and returns the exit status.
fn conclude<T>(outcomes: &[Outcome<T>]) -> u8 {
    let mut statuses = Vec::new();
    for outcome in outcomes {
        let Err(failure) = &outcome.result else {
            statuses.push(0);
            continue;
        };
        statuses.push(failure.status);
        if outcomes.len() == 1 {
            notice(&format!("vm-info: {}", failure.message));
        } else {
            notice(&format!("vm-info: {}: {}", inline(&outcome.label), failure.message));
        }
    }
    match statuses.split_first() {
        Some((first, rest)) if rest.iter().all(|status| status == first) => *first,
        _ => 1,
    }
}

/// Returns the exit status for an error.
fn status_of(error: &(dyn StdError + 'static)) -> u8 {
    match error.downcast_ref::<Error>() {
        Some(Error::Server(_)) => 1,
        Some(Error::Misuse(_)) => 2,
        Some(Error::Transport(error)) if error.error.kind() == ErrorKind::InvalidInput => 2,
        Some(Error::Timeout(timeout)) => match timeout.waited_for {
            WaitedFor::Connection(_) => 3,
            _ => 4,
        },
        Some(_) => 3,
        None => 1,
    }
}
