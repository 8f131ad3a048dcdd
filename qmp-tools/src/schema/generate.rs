//! `qmp-schema generate`.

use clap::Args;
use qmp_codegen::Builder;

use super::output::Output;
use super::{Failure, input};

/// The arguments of `generate`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Generate {
    /// Files that make one schema, with all that they include; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Takes only this command, and the types that it reaches; may be given several times
    #[arg(long = "command", value_name = "NAME")]
    commands: Vec<String>,

    /// Takes only this event, and the types that it reaches; may be given several times
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
The result is what a build script gets from qmp_codegen::Builder; it needs the crate qmp-types.
A selection of commands leaves all events out that are not selected, and the other way round.

Examples:
  qmp-schema generate my-vmm.json -o src/vm.rs
  qmp-schema generate qapi/qapi-schema.json --command query-status --event SHUTDOWN";

impl Generate {
    /// Generates Rust from a schema.
    ///
    /// # Errors
    /// The schema is wrong, or does not have what was asked for; files cannot be read or written.
    pub fn run(&self) -> Result<(), Failure> {
        let loaded = input::written(&self.files)?;
        let mut builder = Builder::new();
        if !self.commands.is_empty() {
            builder = builder.commands(self.commands.iter().cloned());
        }
        if !self.events.is_empty() {
            builder = builder.events(self.events.iter().cloned());
        }
        let code = builder
            .generate_from(&loaded.schema)
            .map_err(|error| Failure::Schema(error.to_string()))?;
        self.output.write(&code)
    }
}
