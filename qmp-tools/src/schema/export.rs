//! `qmp-schema export`: converts a schema to introspection data.

use std::collections::HashSet;

use clap::Args;
use qmp_codegen::introspection::{Naming, export};
use serde_json::Value;

use super::configuration::ConfigurationArgs;
use super::output::Output;
use super::{Failure, input};

/// The arguments of `qmp-schema export`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// Files of one schema, read together with all files that they include; '-' is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Use the names of types instead of numbers
    #[arg(long)]
    unmask: bool,

    /// Evaluate conditions with symbol NAME defined, such as CONFIG_LINUX; may be repeated
    #[arg(long = "symbol", value_name = "NAME")]
    symbols: Vec<String>,

    /// Evaluate conditions with every symbol defined; the default
    #[arg(long, conflicts_with_all = ["symbols", "no_symbols"])]
    all_symbols: bool,

    /// Evaluate conditions with no symbol defined
    #[arg(long, conflicts_with = "symbols")]
    no_symbols: bool,

    #[command(flatten)]
    configuration: ConfigurationArgs,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
The output is the value that a server with this schema returns for query-qmp-schema, with one entry
per line.

Examples:
  qmp-schema export my-vmm.json
  qmp-schema export qapi/qapi-schema.json --unmask --symbol CONFIG_LINUX --symbol CONFIG_VNC";

impl Export {
    /// Converts a schema to introspection data.
    ///
    /// # Errors
    /// Returns an error if the schema is invalid, or if a file cannot be read or written.
    pub fn run(&self) -> Result<(), Failure> {
        let loaded = input::load_files(&self.files)?;
        let naming = if self.unmask { Naming::Unmasked } else { Naming::Masked };
        let symbols: HashSet<&str> = self.symbols.iter().map(String::as_str).collect();
        let all = symbols.is_empty() && !self.no_symbols;
        let configuration = self.configuration.read(&loaded.schema)?;
        // Symbols that are not known hold, as all do by default.
        let known = |symbol: &str| configuration.as_ref().and_then(|one| one.state(symbol));
        let holds = |symbol: &str| known(symbol).unwrap_or(all || symbols.contains(symbol));
        let entries = export(&loaded.schema, naming, &holds);
        self.output.write(&one_entry_per_line(&entries))
    }
}

fn one_entry_per_line(entries: &Value) -> String {
    let lines: Vec<String> =
        entries.as_array().into_iter().flatten().map(|entry| format!("\n {entry}")).collect();
    format!("[{}\n]\n", lines.join(","))
}
