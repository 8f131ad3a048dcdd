//! Works with QAPI schemas.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use qmp_tools::cli::Completions;
use qmp_tools::schema::Failure;
use qmp_tools::schema::check::Check;
use qmp_tools::schema::diff::Diff;
use qmp_tools::schema::export::Export;
use qmp_tools::schema::generate::Generate;
use qmp_tools::schema::import::Import;

/// Works with QAPI schemas: checks, generates, imports, exports, compares
#[derive(Debug, Parser)]
#[command(name = "qmp-schema", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    completions: Completions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Says what is wrong with a schema
    Check(Check),
    /// Generates Rust from a schema
    Generate(Generate),
    /// Makes a schema of introspection, from a file or a live QEMU
    Import(Import),
    /// Makes introspection of a schema
    Export(Export),
    /// Says what changed between two schemas, and what of it breaks clients
    Diff(Diff),
}

const EXAMPLES: &str = "\
Examples:
  qmp-schema check qapi/qapi-schema.json
  qmp-schema generate my-vmm.json --command query-status -o src/vm.rs
  qmp-schema import unix:/run/vm.sock
  qmp-schema export --unmask my-vmm.json
  qmp-schema diff builtin unix:/run/vm.sock

Each subcommand has a --help of its own.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let unusable = if matches!(arguments.action, Some(Action::Diff(_))) { 2 } else { 1 };
    run(&arguments).unwrap_or_else(|failure| {
        eprint!("{failure}");
        ExitCode::from(unusable)
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.completions.print(Arguments::command())? {
        return Ok(ExitCode::SUCCESS);
    }
    match &arguments.action {
        Some(Action::Check(check)) => check.run()?,
        Some(Action::Generate(generate)) => generate.run()?,
        Some(Action::Import(import)) => import.run()?,
        Some(Action::Export(export)) => export.run()?,
        Some(Action::Diff(diff)) => return diff.run(),
        None => Arguments::command()
            .error(ErrorKind::MissingSubcommand, "no subcommand was given")
            .exit(),
    }
    Ok(ExitCode::SUCCESS)
}
