//! `qmp-schema check`: reports errors and warnings.

use clap::Args;

use qmp_codegen::LoadOptions;

use super::{Failure, input};

/// The arguments of `qmp-schema check`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Files of one schema, read together with all files that they include; '-' is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Also warn about the style of documentation: sentences, `(default: X)`, `(since X)`
    #[arg(long)]
    prose: bool,
}

const EXAMPLES: &str = "\
Errors and warnings are printed to standard error. The exit status is 1 if the schema has errors.

Examples:
  qmp-schema check qapi/qapi-schema.json
  qmp-schema check qmp-spec.json qmp-events.json";

impl Check {
    /// Checks a schema.
    ///
    /// # Errors
    /// Returns an error if the schema is invalid or cannot be read.
    pub fn run(&self) -> Result<(), Failure> {
        input::load_with(&self.files, LoadOptions::new().prose(self.prose)).map(drop)
    }
}
