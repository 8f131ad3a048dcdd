//! Prints a report about a virtual machine.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Completions, chain, print};
use crate::machine::{MachineArgs, Origin};
use crate::report;
use crate::terminal::{self, notice};

/// Print a report about a virtual machine
#[derive(Debug, Parser)]
#[command(name = "vm-info", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    machine: MachineArgs,

    /// Print the report as JSON
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
  vm-info --launch qemu-system-x86_64 -display none";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            notice(&format!("vm-info: {}", chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    if arguments.completions.print(Arguments::command())? {
        return Ok(());
    }
    let machine = arguments.machine.connect()?;
    if matches!(machine.origin, Origin::Simulated) {
        notice(
            "no address was given: using a simulated machine; see --help to connect to a real one\n",
        );
    }
    let report = report::collect(&machine.client)?;
    let text = if arguments.json {
        format!("{}\n", terminal::json(&serde_json::to_string_pretty(&report)?))
    } else {
        report.to_string()
    };
    machine.finish()?;
    Ok(print(text.as_bytes())?)
}
