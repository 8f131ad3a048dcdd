//! `qmp-schema diff`.

use std::process::ExitCode;

use clap::Args;
use qmp_codegen::diff::{Difference, Scope, diff_within};

use super::{Failure, input};
use crate::cli::{Patience, print};

/// The arguments of `diff`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// A schema file, a file of introspection, the address of a QEMU, or `builtin`
    old: String,

    /// The same
    new: String,

    /// Prints JSON
    #[arg(long)]
    json: bool,

    /// Fails, with exit status 1, if a change breaks clients
    #[arg(long)]
    deny_breaking: bool,

    #[command(flatten)]
    patience: Patience,
}

const EXAMPLES: &str = "\
What a text is, is told by its content; `builtin` is the schema that this program was built with.
If one side is introspection, only what introspection shows is compared.

The exit status is 0, or 1 if --deny-breaking denies a change, or 2 if a side cannot be had.

Examples:
  qmp-schema diff v10/qapi-schema.json v11/qapi-schema.json
  qmp-schema diff builtin unix:/run/vm.sock      what this QEMU has, and has not
  qmp-schema diff --deny-breaking released.json my-vmm.json";

impl Diff {
    /// Compares two schemas.
    ///
    /// # Errors
    /// One of them is wrong, or cannot be had.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let old = input::any(&self.old, self.patience)?;
        let new = input::any(&self.new, self.patience)?;
        let scope = if old.is_introspection || new.is_introspection {
            Scope::Introspection
        } else {
            Scope::Schema
        };
        let difference = diff_within(&old.schema, &new.schema, scope);
        let text = if self.json {
            format!("{:#}\n", difference.to_json())
        } else {
            format!("{difference}{}", summary(&difference))
        };
        print(text.as_bytes())?;
        let denied = self.deny_breaking && difference.is_breaking();
        Ok(if denied { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Nothing, if the difference says so itself.
fn summary(difference: &Difference) -> String {
    let breaking = difference.changes.iter().filter(|change| change.breaking).count();
    match difference.changes.len() {
        0 => String::new(),
        1 => format!("\n1 change, {breaking} breaking.\n"),
        count => format!("\n{count} changes, {breaking} breaking.\n"),
    }
}
