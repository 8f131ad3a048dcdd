//! Checks, imports, exports and compares QAPI schemas, and generates Rust from them.

use std::process::ExitCode;

use clap::Parser;
use qmp_tools::programs::schema::{self, Arguments};

fn main() -> ExitCode {
    schema::main(&Arguments::parse())
}
