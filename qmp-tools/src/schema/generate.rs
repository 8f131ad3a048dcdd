//! `qmp-schema generate`: generates Rust.

use clap::Args;
use qmp_codegen::{Builder, LoadOptions};

use super::configuration::ConfigurationArgs;
use super::output::Output;
use super::{Failure, input};

/// The arguments of `qmp-schema generate`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Generate {
    /// Files of one schema, read together with all files that they include; '-' is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Generate only the command NAME and the types that it uses; may be repeated
    #[arg(long = "command", value_name = "NAME")]
    commands: Vec<String>,

    /// Generate only the event NAME and the types that it uses; may be repeated
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,

    /// Only warn about keys, pragmas, and definitions that a fork has added to the language
    #[arg(long)]
    allow_unknown: bool,

    #[command(flatten)]
    configuration: ConfigurationArgs,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
The output is the code that qmp_codegen::Builder generates in a build script, formatted, and depends \
on the crate qmp-types. If any commands or events are selected, all others of both kinds are left out. Conditions \
are documented, unless --config or --like decides about them.

Examples:
  qmp-schema generate my-vmm.json -o src/vm.rs
  qmp-schema generate qapi/qapi-schema.json --command query-status --event SHUTDOWN
  qmp-schema generate qapi/qapi-schema.json --like unix:/run/vm.sock";

impl Generate {
    /// Generates Rust from a schema.
    ///
    /// # Errors
    /// Returns an error if the schema is invalid or lacks a selected command or event, or if a file
    /// cannot be read or written.
    pub fn run(&self) -> Result<(), Failure> {
        let options = LoadOptions::new().allow_unknown(self.allow_unknown);
        let loaded = input::load_files(&self.files, &options)?;
        let mut builder = Builder::new();
        if let Some(configuration) = self.configuration.read(&loaded.schema)? {
            builder = builder.configuration(configuration);
        }
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
