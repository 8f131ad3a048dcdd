//! `qmp-schema check`.

use clap::Args;

use super::{Failure, input};

/// The arguments of `check`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Files that make one schema, with all that they include; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

const EXAMPLES: &str = "\
What is wrong or questionable is said on standard error. The exit status is 1 if there are errors.

Examples:
  qmp-schema check qapi/qapi-schema.json
  qmp-schema check qmp-spec.json qmp-events.json";

impl Check {
    /// Checks a schema.
    ///
    /// # Errors
    /// It is wrong, or cannot be read.
    pub fn run(&self) -> Result<(), Failure> {
        input::written(&self.files).map(drop)
    }
}
