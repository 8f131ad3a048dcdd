//! `qmp-schema export`: converts a schema to introspection data or JSON Schema.

use std::collections::HashSet;

use clap::{Args, ValueEnum};
use qmp_codegen::introspection::Naming;
use qmp_codegen::json_schema::Role;
use qmp_codegen::{introspection, json_schema};
use serde_json::Value;

use super::output::Output;
use super::{Failure, input};

/// The arguments of `qmp-schema export`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// Files of one schema, read together with all files that they include; '-' is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Write this format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Use the names of types instead of numbers
    #[arg(long, conflicts_with = "role")]
    unmask: bool,

    /// In JSON Schema, describe the messages of this program
    #[arg(long = "for", value_name = "PROGRAM", value_enum, requires = "format")]
    role: Option<Program>,

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
    output: Output,
}

/// The formats of the output.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// The value that a server with this schema returns for query-qmp-schema, one entry per line
    #[default]
    Introspection,
    /// JSON Schema (draft 2020-12) of all messages, types, commands and events
    JsonSchema,
}

/// The programs whose messages a JSON Schema can describe.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Program {
    /// Replies and events may have members and values that the schema lacks; the default
    Client,
    /// Replies and events have only what is in the schema
    Server,
}

const EXAMPLES: &str = "\
A JSON Schema has a definition for each type, such as '#/$defs/BlockInfo', for the arguments and the
return value of each command, such as '#/$defs/query-block:returns', for the data of each event, such
as '#/$defs/STOP:data', and for whole messages, such as '#/$defs/message:command'.

Examples:
  qmp-schema export my-vmm.json
  qmp-schema export qapi/qapi-schema.json --unmask --symbol CONFIG_LINUX --symbol CONFIG_VNC
  qmp-schema export qapi/qapi-schema.json --format json-schema -o qmp.schema.json";

impl Export {
    /// Converts a schema to introspection data or JSON Schema.
    ///
    /// # Errors
    /// Returns an error if the schema is invalid, or if a file cannot be read or written.
    pub fn run(&self) -> Result<(), Failure> {
        let loaded = input::load_files(&self.files)?;
        let symbols: HashSet<&str> = self.symbols.iter().map(String::as_str).collect();
        let all = symbols.is_empty() && !self.no_symbols;
        let holds = |symbol: &str| all || symbols.contains(symbol);
        self.output.write(&match self.format {
            Format::Introspection => {
                let naming = if self.unmask { Naming::Unmasked } else { Naming::Masked };
                one_entry_per_line(&introspection::export(&loaded.schema, naming, &holds))
            }
            Format::JsonSchema => {
                let role = match self.role {
                    Some(Program::Server) => Role::Server,
                    Some(Program::Client) | None => Role::Client,
                };
                format!("{:#}\n", json_schema::export(&loaded.schema, role, &holds))
            }
        })
    }
}

fn one_entry_per_line(entries: &Value) -> String {
    let lines: Vec<String> =
        entries.as_array().into_iter().flatten().map(|entry| format!("\n {entry}")).collect();
    format!("[{}\n]\n", lines.join(","))
}
