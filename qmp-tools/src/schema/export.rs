//! `qmp-schema export`.

use std::collections::HashSet;

use clap::Args;
use qmp_codegen::introspection::{Naming, export};
use serde_json::Value;

use super::output::Output;
use super::{Failure, input};

/// The arguments of `export`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// Files that make one schema, with all that they include; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Shows the names of types instead of numbers
    #[arg(long)]
    unmask: bool,

    /// Decides conditions with this symbol set, such as CONFIG_LINUX; may be given several times
    #[arg(long = "symbol", value_name = "NAME")]
    symbols: Vec<String>,

    /// Decides conditions with every symbol set; the default
    #[arg(long, conflicts_with_all = ["symbols", "no_symbols"])]
    all_symbols: bool,

    /// Decides conditions with no symbol set
    #[arg(long, conflicts_with = "symbols")]
    no_symbols: bool,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
The result is what a server with this schema answers to query-qmp-schema, an entry a line.

Examples:
  qmp-schema export my-vmm.json
  qmp-schema export qapi/qapi-schema.json --unmask --symbol CONFIG_LINUX --symbol CONFIG_VNC";

impl Export {
    /// Writes a schema as introspection.
    ///
    /// # Errors
    /// The schema is wrong; files cannot be read or written.
    pub fn run(&self) -> Result<(), Failure> {
        let loaded = input::written(&self.files)?;
        let naming = if self.unmask { Naming::Unmasked } else { Naming::Masked };
        let symbols: HashSet<&str> = self.symbols.iter().map(String::as_str).collect();
        let all = symbols.is_empty() && !self.no_symbols;
        let entries = export(&loaded.schema, naming, &|symbol| all || symbols.contains(symbol));
        self.output.write(&an_entry_a_line(&entries))
    }
}

fn an_entry_a_line(entries: &Value) -> String {
    let lines: Vec<String> =
        entries.as_array().into_iter().flatten().map(|entry| format!("\n {entry}")).collect();
    format!("[{}\n]\n", lines.join(","))
}
