//! `qmp-schema check`: reports errors and warnings.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use qmp_codegen::diagnostic::{Diagnostic, Format, Severity, render_as};
use qmp_codegen::diff::diff_within;
use qmp_codegen::schema::Schema;
use qmp_codegen::source::Sources;
use qmp_codegen::{LoadError, LoadOptions, Loaded};

use super::changes::{ChangeFormat, Changes};
use super::exceptions::Exceptions;
use super::input::Detected;
use super::{Failure, git, input};
use crate::cli::print;
use crate::terminal;

/// The arguments of `qmp-schema check`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Files of one schema, read together with all files that they include; '-' is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Also warn about the style of documentation: sentences, `(default: X)`, `(since X)`
    #[arg(long)]
    prose: bool,

    /// Only report errors
    #[arg(short, long)]
    quiet: bool,

    /// The form in which errors and warnings are printed
    #[arg(long, value_enum, default_value = "human")]
    format: FormatArg,

    /// Only warn about keys, pragmas, and definitions that a fork has added to the language
    #[arg(long)]
    allow_unknown: bool,

    /// Exit with status 1 if there are warnings
    #[arg(long, conflicts_with = "quiet")]
    deny_warnings: bool,

    /// Also list the changes since REF that break clients: the files as they are in a revision of
    /// their git repository are compared with what they are now
    #[arg(long, value_name = "git:REF")]
    against: Option<String>,

    /// Accept the breaking changes that FILE lists, one per line: PATH # REASON
    #[arg(long, value_name = "FILE", requires = "against")]
    exceptions: Option<PathBuf>,
}

/// The forms of diagnostics.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// Text with the lines in question, on standard error
    Human,
    /// One line each: file:line:column: severity: message [rule]
    Short,
    /// One JSON object per line
    Json,
    /// A log in SARIF 2.1.0
    Sarif,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Human => Self::Human,
            FormatArg::Short => Self::Short,
            FormatArg::Json => Self::Json,
            FormatArg::Sarif => Self::Sarif,
        }
    }
}

/// The number of errors and of warnings that are reported. A schema of QEMU has up to 250.
const MAX_DIAGNOSTICS: usize = 10_000;

const EXAMPLES: &str = "\
Formats other than 'human' are printed to standard output, and are complete even if the schema is \
invalid. Their members and rules are described in the documentation of qmp_codegen::diagnostic.

With --against, changes are printed to standard output, too, in the same format; 'sarif' has none. See \
'qmp-schema diff --help' for exceptions.

The exit status is 0 if the schema is valid; 1 if it has errors, a file cannot be read, or a change \
since --against breaks clients and has no exception; and 2 if the arguments are invalid.

Examples:
  qmp-schema check qapi/qapi-schema.json
  qmp-schema check qmp-spec.json qmp-events.json
  qmp-schema check --quiet --format short old/qapi-schema.json
  qmp-schema check --format sarif my-vmm.json > my-vmm.sarif
  qmp-schema check my-vmm.json --against git:main --exceptions accepted.txt
  qmp-schema check --format json my-vmm.json | jq -r 'select(.rule == \"doc-missing\").definition'";

impl Check {
    /// Checks a schema.
    ///
    /// # Errors
    /// Returns an error if standard input cannot be read or standard output cannot be written.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let options = LoadOptions::new()
            .prose(self.prose)
            .allow_unknown(self.allow_unknown)
            .max_diagnostics(MAX_DIAGNOSTICS);
        let roots =
            self.files.iter().map(|file| input::root(file)).collect::<Result<Vec<_>, _>>()?;
        match options.load(roots) {
            Ok(Loaded { schema, sources, warnings, .. }) => {
                let status = self.report(&sources, warnings, "")?;
                match &self.against {
                    Some(revision) => self.compare(revision, schema, status),
                    None => Ok(status),
                }
            }
            Err(error) => {
                let hint = input::introspection_hint(&error);
                let LoadError { sources, diagnostics, .. } = error;
                self.report(&sources, diagnostics, &hint)
            }
        }
    }

    /// Lists the changes since a revision that break clients.
    fn compare(
        &self,
        revision: &str,
        schema: Schema,
        status: ExitCode,
    ) -> Result<ExitCode, Failure> {
        let format = match self.format {
            FormatArg::Human => ChangeFormat::Human,
            FormatArg::Short => ChangeFormat::Short,
            FormatArg::Json => ChangeFormat::Json,
            FormatArg::Sarif => {
                return Err("SARIF has no changes: choose another --format with --against".into());
            }
        };
        let mut exceptions = Exceptions::read(self.exceptions.as_deref())?;
        let options = LoadOptions::new().allow_unknown(self.allow_unknown);
        let old = git::detect(revision, &self.files, &options)?;
        let new = Detected { schema, is_introspection: false };
        let difference = diff_within(&old.schema, &new.schema, input::scope(&old, &new));
        let mut changes = Changes::from(difference);
        changes.only_breaking();
        changes.except(&mut exceptions);
        let revision = revision.trim_start_matches("git:");
        let summary = match changes.breaking() {
            0 => format!("No change since {revision} breaks clients.\n"),
            1 => format!("\n1 change since {revision} breaks clients.\n"),
            count => format!("\n{count} changes since {revision} break clients.\n"),
        };
        changes.print(format, &summary)?;
        Ok(if changes.breaking() > 0 { changes.status() } else { status })
    }

    fn report(
        &self,
        sources: &Sources,
        mut diagnostics: Vec<Diagnostic>,
        hint: &str,
    ) -> Result<ExitCode, Failure> {
        let is_error = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
        let failed = match self.deny_warnings {
            true => !diagnostics.is_empty(),
            false => diagnostics.iter().any(is_error),
        };
        if self.quiet {
            diagnostics.retain(is_error);
        }
        let text = render_as(self.format.into(), sources, &diagnostics);
        match self.format {
            FormatArg::Human => terminal::print_diagnostics(&format!("{text}{hint}")),
            FormatArg::Short => print(terminal::lines(&text).as_bytes())?,
            FormatArg::Json | FormatArg::Sarif => print(terminal::json(&text).as_bytes())?,
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
