//! `qmp-schema show`: prints the documentation of commands, events and types.

use clap::Args;

use super::{Failure, input, names};
use crate::cli::{TimeoutArgs, print};
use crate::reference::{self, Reference};
use crate::shell::complete::did_you_mean;
use crate::shell::help;
use crate::terminal;

/// The arguments of `qmp-schema show`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// The names of commands, events or types
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Show what another schema has: a QAPI file, a reply to query-qmp-schema, or the address of a
    /// QEMU, instead of the builtin schema
    #[arg(long, value_name = "FILE|ADDRESS")]
    schema: Option<String>,

    /// Wrap lines at this number of columns
    #[arg(long, value_name = "COLUMNS", default_value_t = 80)]
    width: usize,

    #[command(flatten)]
    timeout: TimeoutArgs,
}

const EXAMPLES: &str = "\
Arguments in brackets are optional. The example is a line for qmp-shell.

Examples:
  qmp-schema show blockdev-mirror
  qmp-schema show BLOCK_JOB_READY BlockJobType
  qmp-schema show device_add --schema unix:/run/vm.sock";

impl Show {
    /// Prints the documentation.
    ///
    /// # Errors
    /// Returns an error if the schema cannot be read or lacks a name, or if the output cannot be
    /// written.
    pub fn run(&self) -> Result<(), Failure> {
        let given = self.schema.as_deref().map(|source| self.read(source)).transpose()?;
        let mut pages = Vec::new();
        for name in &self.names {
            pages.push(page(name, given.as_ref(), self.width)?);
        }
        Ok(print(terminal::lines(&pages.join("\n\n")).as_bytes())?)
    }

    fn read(&self, source: &str) -> Result<Reference, Failure> {
        let text = input::read_source(source, self.timeout)?;
        if input::looks_like_introspection(&text) {
            let schema = input::imported(source, &text, &names::names(None)?)?;
            return Ok(Reference::of(&schema));
        }
        let root = match source {
            "-" => qmp_codegen::Root::Text { name: String::from("<stdin>"), text },
            file => qmp_codegen::Root::File(file.into()),
        };
        let loaded = qmp_codegen::load([root]).map_err(|error| input::invalid_schema(&error))?;
        Ok(Reference::of(&loaded.schema))
    }
}

fn page(name: &str, given: Option<&Reference>, width: usize) -> Result<String, Failure> {
    let builtin = [&reference::MONITOR, &reference::AGENT];
    let references = given.map_or(builtin.to_vec(), |given| vec![given]);
    let found = references.iter().find_map(|known| Some((known.find(name)?, *known)));
    if let Some((mut definition, known)) = found {
        if given.is_some() {
            // A running machine does not document what it has.
            let documented = builtin.iter().find_map(|reference| reference.find(name));
            definition.complete_from(documented.as_ref());
        }
        return Ok(help::page(&definition, known, None, width));
    }
    let names = references.iter().flat_map(|known| known.names());
    let help = did_you_mean(name, names).map(|name| format!("; did you mean '{name}'?"));
    Err(format!("the schema has no '{name}'{}", help.unwrap_or_default()).into())
}
