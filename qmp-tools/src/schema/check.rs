//! `qmp-schema check`.

use clap::Args;

use qmp_codegen::{LoadOptions, diagnostic};

use super::{Failure, input};

/// The arguments of `check`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Files that make one schema, with all that they include; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Also warn about the style of documentation: sentences, `(default: X)`, `(since X)`
    #[arg(long)]
    prose: bool,
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
        let roots =
            self.files.iter().map(|file| input::root(file)).collect::<Result<Vec<_>, _>>()?;
        let loaded = LoadOptions::new().prose(self.prose).load(roots);
        let loaded = loaded.map_err(|error| input::wrong(&error))?;
        eprint!("{}", diagnostic::render(&loaded.sources, &loaded.warnings));
        Ok(())
    }
}
