//! Prints a report about virtual machines.

use std::error::Error as StdError;
#[cfg(target_os = "linux")]
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
#[cfg(target_os = "linux")]
use qmp_client::qmp::{commands::Screendump, types::ImageFormat};
#[cfg(target_os = "linux")]
use qmp_vm::Workflows;
use serde::Serialize;

use crate::cli::{Completions, chain, print, status_of};
use crate::machine::{Machine, MachineArgs};
use crate::report::tree::{Drawing, Subject, tree};
use crate::report::{self, Report};
#[cfg(feature = "watch")]
use crate::terminal::can_move_cursor;
use crate::terminal::{inline, json, notice};
#[cfg(feature = "watch")]
use crate::watch;

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

    /// Print metrics in the format of Prometheus; `qmp_up` is 0 for a machine that does not answer
    #[arg(long, conflicts_with = "json")]
    metrics: bool,

    /// Print a tree instead of the report
    #[arg(long, value_name = "SUBJECT", conflicts_with = "metrics")]
    tree: Option<Subject>,

    /// Save a picture of the screen as PNG instead of printing a report
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "metrics", "tree", "others"])]
    screenshot: Option<PathBuf>,

    /// Show a live view with rates, jobs and events, until `q` is pressed
    #[cfg(feature = "watch")]
    #[arg(long, conflicts_with_all = ["json", "metrics", "tree"])]
    watch: bool,

    /// Ask the machines that are watched at this interval
    #[cfg(feature = "watch")]
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval, requires = "watch",
        allow_negative_numbers = true)]
    interval: Duration,

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
  vm-info --tree block /run/vm.sock         show which block node is below which
  vm-info web                               report on the machine with the name 'web'
  vm-info --watch /run/a.sock /run/b.sock   watch two machines
  vm-info --metrics /run/*.sock             print metrics for Prometheus
  vm-info --screenshot screen.png /run/vm.sock
  vm-info --launch qemu-system-x86_64 -display none

Exit status: 0 if there is a report on each machine, which names what the machine refused; 1 if a \
machine has no such tree or screen, or if one of several machines failed; 2 for invalid arguments; 3 if \
the connection failed; 4 if a deadline passed.";

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
    #[cfg(feature = "watch")]
    if arguments.watch {
        return watch_all(&machines, arguments.interval);
    }
    #[cfg(target_os = "linux")]
    if let Some(file) = &arguments.screenshot {
        let outcomes = each(&machines, |machine, _| save_screen(machine, file));
        return Ok(conclude(&outcomes));
    }
    if let Some(subject) = arguments.tree {
        let outcomes =
            each(&machines, |machine, args| Ok(tree(&machine.client, subject, within(args))?));
        print(arguments.render(&outcomes, |tree| Drawing(tree).to_string())?.as_bytes())?;
        return Ok(conclude(&outcomes));
    }
    let outcomes =
        each(&machines, |machine, args| Ok(report::collect(&machine.client, within(args))?));
    if arguments.metrics {
        let machines: Vec<_> = outcomes
            .iter()
            .map(|outcome| (outcome.label.as_str(), outcome.result.as_ref().ok()))
            .collect();
        print(report::metrics(&machines).as_bytes())?;
    } else {
        print(arguments.render(&outcomes, Report::to_string)?.as_bytes())?;
    }
    Ok(conclude(&outcomes))
}

/// Returns the time that a machine has to answer.
fn within(args: &MachineArgs) -> Duration {
    args.timeout.timeout.min(QUERIES_WITHIN)
}

/// Parses the interval of a live view.
#[cfg(feature = "watch")]
fn interval(text: &str) -> Result<Duration, String> {
    let interval = crate::cli::seconds(text)?;
    let is_allowed = (0.1..=3600.0).contains(&interval.as_secs_f64());
    is_allowed.then_some(interval).ok_or_else(|| "not from 0.1 to 3600 seconds".to_owned())
}

/// Shows a live view of the machines, if at least one can be connected to.
#[cfg(feature = "watch")]
fn watch_all(machines: &[MachineArgs], interval: Duration) -> Result<u8, Box<dyn StdError>> {
    if !can_move_cursor() {
        notice(
            "vm-info: --watch needs a terminal as its standard input and output, and one that can \
             move its cursor, as TERM says",
        );
        return Ok(2);
    }
    let signals = watch::Signals::handle()?;
    let outcomes = each_connection(machines, |machine, _| Ok(machine));
    if outcomes.iter().all(|outcome| outcome.result.is_err()) {
        return Ok(conclude(&outcomes));
    }
    let watched = |(outcome, args): (Outcome<Machine>, &MachineArgs)| watch::Watched {
        label: outcome.label,
        args: args.clone(),
        machine: outcome.result.map_err(|failure| failure.message),
    };
    watch::run(outcomes.into_iter().zip(machines).map(watched).collect(), interval, &signals)?;
    Ok(0)
}

/// Saves a picture of the screen.
#[cfg(target_os = "linux")]
fn save_screen(machine: &Machine, file: &Path) -> Result<(), Box<dyn StdError>> {
    let picture =
        machine.client.screenshot_with(|path| Screendump::new(path).format(ImageFormat::Png))?;
    let cannot = |error| format!("cannot write {}: {error}", inline(&file.display().to_string()));
    std::fs::write(file, picture).map_err(cannot)?;
    Ok(())
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

    /// Renders the results, as JSON or as text.
    fn render<T: Serialize>(
        &self,
        outcomes: &[Outcome<T>],
        text: impl Fn(&T) -> String,
    ) -> serde_json::Result<String> {
        if self.json { as_json(outcomes) } else { Ok(as_text(outcomes, text)) }
    }
}

/// The result for one machine.
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
    each_connection(machines, |machine, args| {
        let result = action(&machine, args)?;
        machine.finish()?;
        Ok(result)
    })
}

/// Connects to all machines at the same time.
fn each_connection<T: Send>(
    machines: &[MachineArgs],
    action: impl Fn(Machine, &MachineArgs) -> Result<T, Box<dyn StdError>> + Sync,
) -> Vec<Outcome<T>> {
    let one = |args: &MachineArgs| action(args.connect()?, args);
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

fn as_text<T>(outcomes: &[Outcome<T>], text: impl Fn(&T) -> String) -> String {
    if let [Outcome { result: Ok(report), .. }] = outcomes {
        return text(report);
    }
    let mut parts = Vec::new();
    for outcome in outcomes {
        let label = inline(&outcome.label);
        match &outcome.result {
            Ok(report) => parts.push(format!("==> {label} <==\n{}", text(report))),
            Err(_) if outcomes.len() == 1 => {}
            Err(failure) => parts.push(format!("==> {label} <==\n{}\n", failure.message)),
        }
    }
    parts.join("\n")
}

/// One of several machines, as it is printed as JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct OneOfSeveral<'a, T> {
    /// The address, as it was given.
    address: &'a str,
    /// The reason why the report is missing.
    error: Option<&'a str>,
    report: Option<&'a T>,
}

impl<'a, T> OneOfSeveral<'a, T> {
    fn new(outcome: &'a Outcome<T>) -> Self {
        let error = outcome.result.as_ref().err().map(|failure| failure.message.as_str());
        Self { address: &outcome.label, error, report: outcome.result.as_ref().ok() }
    }
}

fn as_json<T: Serialize>(outcomes: &[Outcome<T>]) -> serde_json::Result<String> {
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
