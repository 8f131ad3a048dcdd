//! Executes commands of a guest agent from a prompt, a script, or the command line.

use std::process::ExitCode;

use clap::Parser;

use super::shell::{self, ShellArgs};
use crate::cli::{Completions, TimeoutArgs};
use crate::machine::MachineArgs;

/// Execute commands of a guest agent: run programs, copy files, 'guest-COMMAND key=value ...'
#[derive(Debug, Parser)]
#[command(name = "qmp-agent", version, after_help = EXAMPLES)]
// A guest agent has no human monitor.
#[command(mut_arg("hmp", |argument| argument.hide(true)))]
pub struct Arguments {
    /// Address of the agent's socket: unix:/run/agent.sock, tcp:localhost:4445, or a path
    #[arg(required_unless_present = "completions")]
    address: Option<String>,

    #[command(flatten)]
    timeout: TimeoutArgs,

    #[command(flatten)]
    options: ShellArgs,

    #[command(flatten)]
    completions: Completions,
}

const EXAMPLES: &str = "\
Statements, besides the agent's commands:
  exec PROGRAM [ARG...]  run a program; the statement fails unless it exits with 0
  cat PATH               show a text file of the guest
  get PATH [FILE]        copy a file from the guest
  put FILE [PATH]        copy a file to the guest
  fsinfo                 list the guest's file systems

The exit status is that of qmp-shell: 0, or 1 if a statement failed, 2 if the arguments are invalid, \
3 if there is no connection, 4 if a deadline passed.

Examples:
  qmp agent /run/agent.sock -c 'exec uname -r'
  qmp agent /run/agent.sock -c 'get /var/log/syslog syslog' -c fsinfo
  qmp agent /run/agent.sock --jsonl -c 'guest-file-open path=/tmp/x mode=w'";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    if let Some(status) = arguments.completions.main::<Arguments>() {
        return status;
    }
    let address = arguments.address.clone();
    let machine = MachineArgs { address, launch: Vec::new(), timeout: arguments.timeout };
    shell::run("qmp agent", &machine, true, &arguments.options)
}
