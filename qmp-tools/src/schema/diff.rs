//! `qmp-schema diff`: compares two schemas.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use qmp_codegen::LoadOptions;
use qmp_codegen::diff::diff_within;

use super::changes::{ChangeFormat, Changes};
use super::exceptions::Exceptions;
use super::input::Detected;
use super::used_by::Touched;
use super::{Failure, git, input};
use crate::cli::{TimeoutArgs, print};
use crate::terminal::{self, notice};

/// The arguments of `qmp-schema diff`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// A schema file, a file of introspection data, the address of a QEMU, or 'builtin'
    old: String,

    /// The schema to compare with OLD, given in the same ways
    #[arg(required_unless_present = "against")]
    new: Option<String>,

    /// Compare OLD, a file in a git repository, as it was in the revision REF, with what it is now
    #[arg(long, value_name = "git:REF", conflicts_with = "new")]
    against: Option<String>,

    /// List only the changes that affect these: recordings, lists of commands and events, or build
    /// scripts (.rs) that select them
    #[arg(long, value_name = "FILE", num_args = 1..)]
    used_by: Vec<String>,

    /// Accept the breaking changes that FILE lists, one per line: PATH # REASON
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,

    /// The form in which changes are printed
    #[arg(long, value_enum, default_value = "human")]
    format: ChangeFormat,

    /// Print the changes as JSON, as one object
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Exit with status 1 if a change breaks clients; --used-by implies it
    #[arg(long)]
    deny_breaking: bool,

    #[command(flatten)]
    timeout: TimeoutArgs,
}

const EXAMPLES: &str = "\
The kind of a file is detected from its content. 'builtin' is the schema that this program was built \
with. If either side is introspection data, only what introspection can express is compared.

With --used-by, a recording uses the members, values and branches of its messages; a command that \
failed uses nothing. A list has one name per line. Each change is shown with its path in the message, \
and with the file, line and time of its first use. A member that replies may lack is a breaking change \
only if OLD always sent it. What OLD does not have is not compared, which the summary or a warning says.

A line of --exceptions has the path of a change as it is printed, 'command NAME: PATH', or the beginning \
of one and '*', and a reason after '#'. Exceptions that match no change are reported.

The exit status is 0 on success, 1 if --deny-breaking or --used-by found a breaking change without an \
exception, and 2 on errors.

Examples:
  qmp-schema diff v10/qapi-schema.json v11/qapi-schema.json
  qmp-schema diff builtin unix:/run/vm.sock      how this QEMU differs from the builtin schema
  qmp-schema diff --deny-breaking released.json my-vmm.json
  qmp-schema diff my-vmm.json --against git:main
  qmp-schema diff builtin v7.2/qapi-schema.json --used-by session.qmp tests/*.qmp
  qmp-schema diff builtin unix:/run/vm.sock --used-by build.rs --exceptions accepted.txt";

impl Diff {
    /// Compares two schemas and prints the changes.
    ///
    /// # Errors
    /// Returns an error if either schema is invalid or cannot be read.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let mut exceptions = Exceptions::read(self.exceptions.as_deref())?;
        let (old, new) = self.schemas()?;
        let scope = input::scope(&old, &new);
        let mut touched = Touched::new(&old.schema, &new.schema, scope);
        let mut changes = match &self.used_by[..] {
            [] => Changes::from(diff_within(&old.schema, &new.schema, scope)),
            files => {
                files.iter().try_for_each(|file| touched.file(file))?;
                touched.changes()
            }
        };
        changes.except(&mut exceptions);
        let is_used = !self.used_by.is_empty();
        if self.json {
            let mut json = changes.to_json();
            if is_used {
                json.insert("used".to_owned(), touched.used().into());
            }
            let text = format!("{:#}\n", serde_json::Value::from(json));
            print(terminal::json(&text).as_bytes())?;
        } else {
            let summary = if is_used { touched.summary(&changes) } else { summary(&changes) };
            changes.print(self.format, &summary)?;
            if self.format != ChangeFormat::Human {
                let omissions = touched.omissions();
                omissions.iter().for_each(|text| notice(&format!("warning: {text}")));
            }
        }
        let denies = self.deny_breaking || is_used;
        Ok(if denies { changes.status() } else { ExitCode::SUCCESS })
    }

    fn schemas(&self) -> Result<(Detected, Detected), Failure> {
        let new = self.new.as_deref().unwrap_or(&self.old);
        let old = match &self.against {
            Some(revision) => {
                git::detect(revision, std::slice::from_ref(&self.old), &LoadOptions::new())?
            }
            None => input::detect(&self.old, self.timeout)?,
        };
        Ok((old, input::detect(new, self.timeout)?))
    }
}

/// Counts the changes, for people.
fn summary(changes: &Changes) -> String {
    let breaking = changes.breaking();
    match changes.listed.len() {
        0 => "No changes.\n".to_owned(),
        1 => format!("\n1 change, {breaking} breaking.\n"),
        count => format!("\n{count} changes, {breaking} breaking.\n"),
    }
}
