//! `qmp-schema import`.

use clap::Args;
use qmp_codegen::{Builder, text};

use super::output::Output;
use super::{Failure, input, names};
use crate::cli::Patience;

/// The arguments of `import`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// Introspection: a file with what query-qmp-schema answers, `-` for standard input, the
    /// address of a QEMU, or `builtin`
    #[arg(value_name = "FILE|ADDRESS")]
    source: String,

    /// Takes the names of types from this file: a table of names, or a schema
    #[arg(long, value_name = "TABLE")]
    names: Option<String>,

    /// Prints Rust instead of QAPI
    #[arg(long)]
    rust: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    patience: Patience,
}

const EXAMPLES: &str = "\
Introspection does not show what types are called. They get the names that the toolkit's own schema
has in the same places, or those of --names; the rest is named after the path that leads there, such
as QueryBlockReturnInserted. An empty table, {}, names everything so.

Examples:
  qmp-schema import unix:/run/vm.sock            what this QEMU has, as a schema
  qmp-schema import reply.json -o vm.json
  qmp-schema import tcp:localhost:4444 --names qapi/qapi-schema.json --rust";

impl Import {
    /// Writes introspection as QAPI or as Rust.
    ///
    /// # Errors
    /// It is no introspection, or cannot be had.
    pub fn run(&self) -> Result<(), Failure> {
        let names = names::names(self.names.as_deref())?;
        let introspection = input::introspection(&self.source, self.patience)?;
        let schema = input::imported(&self.source, &introspection, &names)?;
        let text = if self.rust {
            let generated = Builder::new().generate_from(&schema);
            generated.map_err(|error| Failure::Schema(error.to_string()))?
        } else {
            text::write(&schema)
        };
        self.output.write(&text)
    }
}
