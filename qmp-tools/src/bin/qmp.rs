//! All programs in one, and a stand-in for QEMU where its name begins with `qemu-system-`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use qmp_tools::cli::Completions;
use qmp_tools::programs::{agent, info, manual, schema, shell};
use qmp_tools::terminal::notice;

/// Talk to virtual machines over QMP, and simulate them
#[derive(Debug, Parser)]
#[command(name = "qmp", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    completions: Completions,
}

#[derive(Debug, Subcommand)]
enum Action {
    Agent(agent::Arguments),
    Completions(manual::CompletionsArguments),
    Info(info::Arguments),
    #[cfg(unix)]
    Ls(qmp_tools::programs::ls::Arguments),
    Manual(manual::ManualArguments),
    #[cfg(unix)]
    Proxy(Box<qmp_tools::programs::proxy::Arguments>),
    #[cfg(unix)]
    Record(Box<qmp_tools::programs::record::Arguments>),
    #[cfg(unix)]
    Replay(qmp_tools::programs::replay::Arguments),
    Schema(schema::Arguments),
    Shell(shell::Arguments),
    #[cfg(unix)]
    Sim(Box<qmp_tools::programs::sim::Arguments>),
}

fn main() -> ExitCode {
    #[cfg(unix)]
    if let Some(status) = qmp_tools::sim::emulator::main_if_named() {
        return status;
    }
    let arguments = Arguments::parse();
    match &arguments.action {
        Some(Action::Agent(arguments)) => agent::main(arguments),
        Some(Action::Completions(arguments)) => {
            manual::completions(arguments, Arguments::command())
        }
        Some(Action::Manual(arguments)) => manual::manual(arguments, Arguments::command()),
        Some(Action::Info(arguments)) => info::main(arguments),
        #[cfg(unix)]
        Some(Action::Ls(arguments)) => qmp_tools::programs::ls::main(arguments),
        #[cfg(unix)]
        Some(Action::Proxy(arguments)) => qmp_tools::programs::proxy::main(arguments),
        #[cfg(unix)]
        Some(Action::Record(arguments)) => qmp_tools::programs::record::main(arguments),
        #[cfg(unix)]
        Some(Action::Replay(arguments)) => qmp_tools::programs::replay::main(arguments),
        Some(Action::Schema(arguments)) => schema::main(arguments),
        Some(Action::Shell(arguments)) => shell::main(arguments),
        #[cfg(unix)]
        Some(Action::Sim(arguments)) => qmp_tools::programs::sim::main(arguments),
        None => match arguments.completions.print(Arguments::command()) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                notice(&format!("qmp: {error}"));
                ExitCode::FAILURE
            }
        },
    }
}
