//! Prints a report about a virtual machine.

use std::process::ExitCode;

use clap::Parser;
use qmp_tools::programs::info::{self, Arguments};

fn main() -> ExitCode {
    info::main(&Arguments::parse())
}
