//! `qmp-schema diff`: compares two schemas.

use std::process::ExitCode;

use clap::Args;
use qmp_codegen::diff::{Difference, Scope, diff_within};

use super::{Failure, input};
use crate::cli::{TimeoutArgs, print};
use crate::terminal;

/// The arguments of `qmp-schema diff`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// A schema file, a file of introspection data, the address of a QEMU, or 'builtin'
    old: String,

    /// The schema to compare with OLD, given in the same ways
    new: String,

    /// Print the changes as JSON
    #[arg(long)]
    json: bool,

    /// Exit with status 1 if a change breaks clients
    #[arg(long)]
    deny_breaking: bool,

    #[command(flatten)]
    timeout: TimeoutArgs,
}

const EXAMPLES: &str = "\
The kind of a file is detected from its content. 'builtin' is the schema that this program was built \
with. If either side is introspection data, only what introspection can express is compared.

The exit status is 0 on success, 1 if --deny-breaking found a breaking change, and 2 on errors.

Examples:
  qmp-schema diff v10/qapi-schema.json v11/qapi-schema.json
  qmp-schema diff builtin unix:/run/vm.sock      how this QEMU differs from the builtin schema
  qmp-schema diff --deny-breaking released.json my-vmm.json";

impl Diff {
    /// Compares two schemas and prints the changes.
    ///
    /// # Errors
    /// Returns an error if either schema is invalid or cannot be read.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let old = input::detect(&self.old, self.timeout)?;
        let new = input::detect(&self.new, self.timeout)?;
        let scope = if old.is_introspection || new.is_introspection {
            Scope::Introspection
        } else {
            Scope::Schema
        };
        let difference = diff_within(&old.schema, &new.schema, scope);
        let text = if self.json {
            terminal::json(&format!("{:#}\n", difference.to_json())).into_owned()
        } else {
            terminal::lines(&format!("{difference}{}", summary(&difference))).into_owned()
        };
        print(text.as_bytes())?;
        let denied = self.deny_breaking && difference.is_breaking();
        Ok(if denied { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Returns a line that counts the changes, or nothing if there are none: the difference then says
/// so itself.
fn summary(difference: &Difference) -> String {
    let breaking = difference.changes.iter().filter(|change| change.breaking).count();
    match difference.changes.len() {
        0 => String::new(),
        1 => format!("\n1 change, {breaking} breaking.\n"),
        count => format!("\n{count} changes, {breaking} breaking.\n"),
    }
}
