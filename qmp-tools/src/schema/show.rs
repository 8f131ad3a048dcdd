//! `qmp-schema show`: prints the documentation of commands, events and types.

use clap::Args;

use super::{Failure, document};
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
        let read = |source| Ok::<_, Failure>(Reference::of(&document::read(source, self.timeout)?));
        let given = self.schema.as_deref().map(read).transpose()?;
        let mut pages = Vec::new();
        for name in &self.names {
            pages.push(page(name, given.as_ref(), self.width)?);
        }
        Ok(print(terminal::lines(&pages.join("\n\n")).as_bytes())?)
    }
}

fn page(name: &str, given: Option<&Reference>, width: usize) -> Result<String, Failure> {
    let builtin = [&reference::MONITOR, &reference::AGENT];
    let references = given.map_or(builtin.to_vec(), |given| vec![given]);
    let found = references.iter().find_map(|known| Some((known.find(name)?, *known)));
    if let Some((definition, known)) = found {
        return Ok(help::page(&definition, known, None, width));
    }
    let names = references.iter().flat_map(|known| known.names());
    let help = did_you_mean(name, names).map(|name| format!("; did you mean '{name}'?"));
    Err(format!("the schema has no '{name}'{}", help.unwrap_or_default()).into())
}
