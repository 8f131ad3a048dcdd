//! Starts a QEMU, and sends commands to it.

use std::process::ExitCode;

use clap::Parser;
use qmp_tools::programs::shell::{self, WrapArguments};

fn main() -> ExitCode {
    shell::wrap(&WrapArguments::parse())
}
