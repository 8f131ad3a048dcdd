//! Writes the man pages and the completion scripts of all programs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{info, schema, shell};
use crate::cli::{chain, create_directory, print};
use crate::terminal::{inline, notice};

/// Write the man pages of all programs
#[derive(Debug, Parser)]
#[command(name = "manual", version, after_help = MANUAL_EXAMPLES)]
pub struct ManualArguments {
    /// The directory to write to, which is created if it is missing
    directory: PathBuf,
}

/// Print the completion script of a shell, or write those of all programs
#[derive(Debug, Parser)]
#[command(name = "completions", version, after_help = COMPLETIONS_EXAMPLES)]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,

    /// Write the scripts of all programs to DIRECTORY, instead of printing that of qmp
    directory: Option<PathBuf>,
}

const MANUAL_EXAMPLES: &str = "\
Examples:
  qmp manual ~/.local/share/man/man1
  qmp manual . && man ./qmp-record.1";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  qmp completions bash > ~/.local/share/bash-completion/completions/qmp
  qmp completions bash ~/.local/share/bash-completion/completions
  qmp completions zsh ~/.zfunc
  qmp completions fish ~/.config/fish/completions";

/// Writes the man pages of `qmp`, whose arguments are given, and of the other programs.
#[must_use]
pub fn manual(arguments: &ManualArguments, qmp: Command) -> ExitCode {
    status("manual", write_pages(&arguments.directory, qmp))
}

/// Writes completion scripts of `qmp`, whose arguments are given, and of the other programs.
#[must_use]
pub fn completions(arguments: &CompletionsArguments, qmp: Command) -> ExitCode {
    let result = match &arguments.directory {
        Some(directory) => write_scripts(directory, arguments.shell, qmp),
        None => {
            let mut text = Vec::new();
            clap_complete::generate(arguments.shell, &mut { qmp }, "qmp", &mut text);
            print(&text)
        }
    };
    status("completions", result)
}

fn status(name: &str, result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            notice(&format!("qmp {name}: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Returns the programs other than `qmp`.
fn others() -> [Command; 4] {
    [
        info::Arguments::command(),
        schema::Arguments::command(),
        shell::Arguments::command(),
        shell::WrapArguments::command(),
    ]
}

fn write_scripts(directory: &Path, shell: Shell, qmp: Command) -> io::Result<()> {
    create(directory)?;
    for mut program in [qmp].into_iter().chain(others()) {
        let name = program.get_name().to_owned();
        let path = clap_complete::generate_to(shell, &mut program, name, directory)
            .map_err(|error| named("write to", directory, &error))?;
        notice(&inline(&path.display().to_string()));
    }
    Ok(())
}

fn write_pages(directory: &Path, qmp: Command) -> io::Result<()> {
    create(directory)?;
    let mut pages = Pages { directory, written: BTreeSet::new() };
    for program in [qmp].into_iter().chain(others()) {
        let mut program = program.disable_help_subcommand(true);
        program.build();
        pages.write(&program)?;
    }
    notice(&format!(
        "{} pages in {}",
        pages.written.len(),
        inline(&directory.display().to_string())
    ));
    Ok(())
}

fn create(directory: &Path) -> io::Result<()> {
    create_directory(directory).map_err(|error| named("create", directory, &error))
}

fn named(action: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {action} '{}': {error}", path.display()))
}

struct Pages<'d> {
    directory: &'d Path,
    /// The names of the pages. `qmp shell` and `qmp-shell` have the same.
    written: BTreeSet<String>,
}

impl Pages<'_> {
    /// Writes the page of a program or subcommand that has been built, and those of its subcommands.
    fn write(&mut self, command: &Command) -> io::Result<()> {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        if self.written.insert(name.clone()) {
            let page = page(command, &name)?;
            let file = self.directory.join(format!("{name}.1"));
            fs::write(&file, page).map_err(|error| named("write", &file, &error))?;
        }
        command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .try_for_each(|sub| self.write(sub))
    }
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let source = concat!("qmp ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).title(name).source(source).manual("QMP tools");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().any(|sub| !sub.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    notes(command, name).to_writer(&mut page)?;
    Ok(page)
}

/// Returns the notes and examples. Their indented lines stay as they are, and others are filled.
fn notes(command: &Command, name: &str) -> Roff {
    let mut roff = Roff::new();
    if let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        let text = text.to_string();
        let (examples, notes): (Vec<&str>, Vec<&str>) =
            text.split("\n\n").partition(|paragraph| paragraph.starts_with("Examples:\n"));
        for (title, paragraphs) in [("NOTES", notes), ("EXAMPLES", examples)] {
            if !paragraphs.is_empty() {
                roff.control("SH", [title]);
            }
            for paragraph in paragraphs {
                roff.control("PP", []);
                for line in paragraph.lines().filter(|line| *line != "Examples:") {
                    let is_literal = line.starts_with(' ');
                    roff.control(if is_literal { "nf" } else { "fi" }, []);
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
            }
        }
    }
    let called = command.get_bin_name().unwrap_or(name);
    if called != name && others().iter().any(|program| program.get_name() == name) {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(format!("The program {name} is the same as '{called}'."))]);
    }
    roff
}
