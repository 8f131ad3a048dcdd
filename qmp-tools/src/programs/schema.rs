//! Checks, imports, exports, compares and shows QAPI schemas, and generates Rust from them.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::Completions;
use crate::schema::Failure;
use crate::schema::check::Check;
use crate::schema::diff::Diff;
use crate::schema::export::Export;
use crate::schema::generate::Generate;
use crate::schema::import::Import;
use crate::schema::show::Show;
use crate::schema::site::Site;
use crate::terminal::print_diagnostics;

/// Show, check, import, export and compare QAPI schemas, and generate Rust from them
#[derive(Debug, Parser)]
#[command(name = "qmp-schema", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    completions: Completions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check a schema and report errors and warnings
    Check(Check),
    /// Generate Rust from a schema
    Generate(Generate),
    /// Convert introspection data, or the devices of a QEMU, to a schema
    Import(Import),
    /// Convert a schema to introspection data or JSON Schema
    Export(Export),
    /// List the changes between two schemas, and mark those that break clients
    Diff(Diff),
    /// Print the documentation of commands, events and types
    Show(Show),
    /// Write a schema's reference as a set of HTML pages
    Site(Site),
}

const EXAMPLES: &str = "\
Examples:
  qmp-schema check qapi/qapi-schema.json
  qmp-schema generate my-vmm.json --command query-status -o src/vm.rs
  qmp-schema import unix:/run/vm.sock
  qmp-schema export --unmask my-vmm.json
  qmp-schema diff builtin unix:/run/vm.sock
  qmp-schema show blockdev-mirror
  qmp-schema site reference

See 'qmp-schema <COMMAND> --help' for the options and examples of a command.";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    // `diff` uses status 1 for denied changes.
    let status = if matches!(arguments.action, Some(Action::Diff(_))) { 2 } else { 1 };
    run(arguments).unwrap_or_else(|failure| {
        print_diagnostics(&failure.to_string());
        ExitCode::from(status)
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.completions.print(Arguments::command())? {
        return Ok(ExitCode::SUCCESS);
    }
    match &arguments.action {
        Some(Action::Check(check)) => return check.run(),
        Some(Action::Generate(generate)) => generate.run()?,
        Some(Action::Import(import)) => import.run()?,
        Some(Action::Export(export)) => export.run()?,
        Some(Action::Diff(diff)) => return diff.run(),
        Some(Action::Show(show)) => show.run()?,
        Some(Action::Site(site)) => site.run()?,
        None => {
            Arguments::command().error(ErrorKind::MissingSubcommand, "a command is required").exit()
        }
    }
    Ok(ExitCode::SUCCESS)
}
