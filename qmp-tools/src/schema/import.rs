//! `qmp-schema import`: converts introspection data to a schema.

use std::path::{Path, PathBuf};

use clap::Args;
use qmp_codegen::introspection::{Names, import_exact};
use qmp_codegen::schema::Schema;
use qmp_codegen::{Builder, text};

use super::output::Output;
use super::{Failure, input, names};
use crate::cli::TimeoutArgs;

/// The arguments of `qmp-schema import`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// A file with the reply to query-qmp-schema, '-' for standard input, the address of a QEMU, or
    /// 'builtin'
    #[arg(value_name = "FILE|ADDRESS")]
    source: String,

    /// Take the names of types from FILE: a table of names, or a schema
    #[arg(long, value_name = "FILE")]
    names: Option<String>,

    /// Also write to FILE what the schema does not express, so that `qmp-schema export --record FILE`
    /// returns the introspection data byte for byte
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Write Rust instead of QAPI
    #[arg(long)]
    rust: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    timeout: TimeoutArgs,
}

const EXAMPLES: &str = "\
Introspection data does not include the names of types. A type gets the name that it has in the same \
place of the builtin schema, or of the file given by --names. Any other type is named after the path \
that leads to it, such as QueryBlockReturnInserted; an empty table, {}, names all types this way.

A record has the numbers and the order of types, and the layout of the text. With it, the schema also \
has the types that nothing refers to, which QEMU lists, too.

Examples:
  qmp-schema import unix:/run/vm.sock            the schema of a running QEMU
  qmp-schema import reply.json -o vm.json
  qmp-schema import reply.json -o vm.json --record vm.record.json
  qmp-schema import tcp:localhost:4444 --names qapi/qapi-schema.json --rust";

impl Import {
    /// Converts introspection data to QAPI or Rust.
    ///
    /// # Errors
    /// Returns an error if the source cannot be read or is not valid introspection data, or if the
    /// output cannot be written.
    pub fn run(&self) -> Result<(), Failure> {
        let names = names::names(self.names.as_deref())?;
        let introspection = input::read_source(&self.source, self.timeout)?;
        let schema = match &self.record {
            Some(path) => self.recorded(path, &introspection, &names)?,
            None => input::imported(&self.source, &introspection, &names)?,
        };
        let text = if self.rust {
            let generated = Builder::new().generate_from(&schema);
            generated.map_err(|error| Failure::Schema(error.to_string()))?
        } else {
            text::write(&schema)
        };
        self.output.write(&text)
    }
    /// Imports with a record, and writes it.
    fn recorded(&self, path: &Path, text: &str, names: &Names) -> Result<Schema, Failure> {
        let (schema, record) =
            import_exact(text, names).map_err(|error| format!("{}: {error}", self.source))?;
        std::fs::write(path, format!("{}\n", record.to_json()))
            .map_err(|error| format!("cannot write '{}': {error}", path.display()))?;
        Ok(schema)
    }
}
