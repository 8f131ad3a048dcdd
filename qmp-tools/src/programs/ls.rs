//! Lists the QEMUs of this host.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cli::{print, seconds};
use crate::host::{self, Directories, Host, Survey};
use crate::terminal::{json, notice};

/// List the QEMUs of this host and their monitors
#[derive(Debug, Parser)]
#[command(name = "qmp-ls", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Print JSON: an array with an object for each QEMU
    #[arg(long)]
    json: bool,

    /// Wait at most this long for each QEMU's answer
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds,
        allow_negative_numbers = true)]
    timeout: Duration,

    /// Read /proc and the sockets of managers below this directory
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    root: Option<PathBuf>,
}

const EXAMPLES: &str = "\
A QEMU is asked for its state only if its monitor is free: 'held by' names the client that is \
connected. The name, the number of a manager, the UUID or the pid of a machine can be given to every \
program instead of an address. Without permission to look into the processes of other users, some \
columns are empty.

The members of an object of --json are always there, and null if they are unknown: name, id (of the \
manager), uuid, pid, user, program, manager, state (in QMP's terms, or process-stopped, no-answer or \
not-running), version, and monitors. Those of a monitor are kind (qmp or human), address, use (free, \
held, awaits-first-client, connects, closed, not-a-socket or unknown), holders and advice.

Examples:
  qmp ls
  qmp ls --json | jq -r '.[] | select(.state == \"paused\").name'
  qmp info web                              report on the machine with the name 'web'";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            notice(&format!("qmp ls: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let host = arguments.root.as_ref().map_or_else(Host::default, Host::below);
    let survey = Survey::of(&host, &Directories::of_user());
    let entries = host::entries(&survey, arguments.timeout);
    let text = if arguments.json {
        format!("{}\n", json(&serde_json::to_string_pretty(&entries)?))
    } else if entries.is_empty() {
        notice("no QEMU was found");
        return Ok(());
    } else {
        host::table(&entries)
    };
    Ok(print(text.as_bytes())?)
}
