//! Sends commands to a monitor from a prompt, a script, or the command line.

use std::process::ExitCode;

use clap::Parser;
use qmp_tools::programs::shell::{self, Arguments};

fn main() -> ExitCode {
    shell::main(&Arguments::parse())
}
