//! `qmp-schema export`: converts a schema to introspection data or JSON Schema.

use std::collections::HashSet;

use clap::{Args, ValueEnum};
use qmp_codegen::introspection::{Naming, Record};
use qmp_codegen::json_schema::Role;
use qmp_codegen::schema::Schema;
use qmp_codegen::{LoadOptions, introspection, json_schema};
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

    /// Write this format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Use the names of types instead of numbers
    #[arg(long)]
    unmask: bool,

    /// Write introspection data with the numbers, order and layout that an import has recorded in FILE
    #[arg(long, value_name = "FILE", conflicts_with = "unmask")]
    record: Option<String>,

    /// In JSON Schema, describe the messages of this program
    #[arg(long = "for", value_name = "PROGRAM", value_enum)]
    role: Option<Program>,

    /// Evaluate conditions with symbol NAME defined, such as CONFIG_LINUX; may be repeated
    #[arg(long = "symbol", value_name = "NAME")]
    symbols: Vec<String>,

    /// Evaluate conditions with every symbol defined; the default, except for JSON Schema, which has
    /// everything and its conditions
    #[arg(long, conflicts_with_all = ["symbols", "no_symbols"])]
    all_symbols: bool,

    /// Evaluate conditions with no symbol defined
    #[arg(long, conflicts_with = "symbols")]
    no_symbols: bool,

    /// Only warn about keys, pragmas, and definitions that a fork has added to the language
    #[arg(long)]
    allow_unknown: bool,

    #[command(flatten)]
    configuration: ConfigurationArgs,

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
A JSON Schema has definitions of messages, such as '#/$defs/message:command', of the arguments and \
the return value of each command, such as '#/$defs/query-block:returns', of the data of each event, \
such as '#/$defs/STOP:data', and of types. Those of types that may have more members and values than \
the schema end with ':open', such as '#/$defs/BlockInfo:open'.

Examples:
  qmp-schema export my-vmm.json
  qmp-schema export qapi/qapi-schema.json --unmask --symbol CONFIG_LINUX --symbol CONFIG_VNC
  qmp-schema export qapi/qapi-schema.json --format json-schema -o qmp.schema.json
  qmp-schema export vm.json --record vm.record.json      as imported";

impl Export {
    /// Converts a schema to introspection data or JSON Schema.
    ///
    /// # Errors
    /// Returns an error if the schema is invalid, or if a file cannot be read or written.
    pub fn run(&self) -> Result<(), Failure> {
        let options = LoadOptions::new().allow_unknown(self.allow_unknown);
        let loaded = input::load_files(&self.files, &options)?;
        let symbols: HashSet<&str> = self.symbols.iter().map(String::as_str).collect();
        let all = symbols.is_empty() && !self.no_symbols;
        let configuration = self.configuration.read(&loaded.schema)?;
        // Symbols that are not known hold, as all do by default.
        let known = |symbol: &str| configuration.as_ref().and_then(|one| one.state(symbol));
        let holds = |symbol: &str| known(symbol).unwrap_or(all || symbols.contains(symbol));
        let text = match (self.format, self.role, &self.record) {
            (Format::Introspection, None, Some(file)) => recorded(file, &loaded.schema, &holds)?,
            (Format::Introspection, None, None) => {
                let naming = if self.unmask { Naming::Unmasked } else { Naming::Masked };
                one_entry_per_line(&introspection::export(&loaded.schema, naming, &holds))
            }
            (Format::JsonSchema, role, None) if !self.unmask => {
                let role = match role {
                    Some(Program::Server) => Role::Server,
                    Some(Program::Client) | None => Role::Client,
                };
                // A client cannot know which symbols are defined.
                let asked = self.all_symbols
                    || self.no_symbols
                    || !symbols.is_empty()
                    || configuration.is_some();
                let resolved = asked.then(|| loaded.schema.resolved(&holds));
                let schema = resolved.as_ref().unwrap_or(&loaded.schema);
                format!("{:#}\n", json_schema::export(schema, role))
            }
            (Format::Introspection, Some(_), _) => {
                return Err("--for requires --format json-schema".into());
            }
            (Format::JsonSchema, ..) => {
                return Err("--unmask and --record require --format introspection".into());
            }
        };
        self.output.write(&text)
    }
}

/// Exports introspection data with a record of an import.
fn recorded(file: &str, schema: &Schema, holds: &dyn Fn(&str) -> bool) -> Result<String, Failure> {
    let record = Record::from_json(&input::read(file)?);
    let record = record.map_err(|error| format!("{file}: {error}"))?;
    Ok(record.export(schema, holds))
}

fn one_entry_per_line(entries: &Value) -> String {
    let lines: Vec<String> =
        entries.as_array().into_iter().flatten().map(|entry| format!("\n {entry}")).collect();
    format!("[{}\n]\n", lines.join(","))
}
