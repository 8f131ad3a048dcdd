//! `qmp-schema import`: converts introspection data, or the devices of a QEMU, to a schema.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use qmp_codegen::devices::import;
use qmp_codegen::introspection::{Names, import_exact};
use qmp_codegen::schema::Schema;
use qmp_codegen::{Builder, text};

use super::devices::{self, Asked};
use super::output::Output;
use super::{Failure, input, names};
use crate::cli::TimeoutArgs;
use crate::terminal::{inline, notice};

/// The number of names that are shown for each reason why something is left out.
const MAX_SHOWN: usize = 5;

/// The arguments of `qmp-schema import`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// A file with the reply to query-qmp-schema, '-' for standard input, the address of a QEMU, or
    /// 'builtin'; with --devices, the address of a QEMU, or a QEMU program to start
    #[arg(value_name = "FILE|ADDRESS|PROGRAM")]
    source: String,

    /// Import the devices of a QEMU, and not its commands; a program is started without a machine
    #[arg(long, conflicts_with_all = ["names", "record"])]
    devices: bool,

    /// Import only these devices, separated by commas; '*' stands for any text, and '!' before a name
    /// leaves devices out
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "devices")]
    only: Vec<String>,

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

A record has the numbers and the order of types, and the layout of the text. With --record, the schema \
also has the types that QEMU lists although nothing refers to them.

With --devices, each device becomes a struct, a branch of the union that the command device_add takes. \
Defaults and lists of values are included as far as QEMU reports them; it does not report which \
properties are read-only. To answer, QEMU creates each device, and exits if that fails because a \
module is missing. A program is then started again, and the device is skipped. A running machine is \
only asked about the devices of --only. The features of all CPU models are more than can be generated \
as Rust: leave them out with --only '!*-cpu'.

Examples:
  qmp-schema import unix:/run/vm.sock            the schema of a running QEMU
  qmp-schema import reply.json -o vm.json
  qmp-schema import reply.json -o vm.json --record vm.record.json
  qmp-schema import tcp:localhost:4444 --names qapi/qapi-schema.json --rust
  qmp-schema import --devices qemu-system-x86_64 --only 'virtio-*-pci,nvme' -o devices.json
  qmp-schema diff old-devices.json devices.json  which devices and properties another QEMU has";

impl Import {
    /// Converts introspection data to QAPI or Rust.
    ///
    /// # Errors
    /// Returns an error if the source cannot be read or is not valid introspection data, or if the
    /// output cannot be written.
    pub fn run(&self) -> Result<(), Failure> {
        if self.devices {
            return self.import_devices();
        }
        let names = names::names(self.names.as_deref())?;
        let introspection = input::read_source(&self.source, self.timeout)?;
        let schema = match &self.record {
            Some(path) => self.recorded(path, &introspection, &names)?,
            None => input::imported(&self.source, &introspection, &names)?,
        };
        self.output.write(&self.text(&schema)?)
    }

    /// Returns the schema as QAPI or Rust.
    fn text(&self, schema: &Schema) -> Result<String, Failure> {
        if !self.rust {
            return Ok(text::write(schema));
        }
        let generated = Builder::new().generate_from(schema);
        generated.map_err(|error| Failure::Schema(error.to_string()))
    }

    /// Imports devices, and prints what is left out.
    fn import_devices(&self) -> Result<(), Failure> {
        let Asked { devices, skipped } = devices::ask(&self.source, &self.only, self.timeout)?;
        let imported = import(&devices)?;
        for (name, reason) in &skipped {
            notice(&inline(&format!("skipped {name}: {reason}")));
        }
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, reason) in &imported.left_out {
            reasons.entry(reason).or_default().push(name);
        }
        for (reason, names) in reasons {
            let shown = names.iter().take(MAX_SHOWN).copied().collect::<Vec<_>>().join(", ");
            let more = if names.len() > MAX_SHOWN { ", ..." } else { "" };
            let count = names.len();
            notice(&inline(&format!("left out {count}, {reason}: {shown}{more}")));
        }
        self.output.write(&self.text(&imported.schema)?)
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
