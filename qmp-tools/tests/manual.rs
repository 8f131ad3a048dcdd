//! Man pages and completion scripts: there is one of each for every program and subcommand, and the
//! tools that read them accept them.

#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use support::{Directory, QMP, SCHEMA, SHELL, VM_INFO, run};

fn names(directory: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Returns the names in the list of subcommands of a program's help.
fn subcommands(program: &[&str]) -> Vec<String> {
    let help = run(QMP, &[program, &["--help"]].concat()).ok();
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let list = list.lines().take_while(|line| !line.is_empty());
    // A description may go on in the next line, which is further indented.
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Runs a program that checks a file, if this machine has it.
fn accepts(program: &str, arguments: &[&str], file: &str) {
    let Ok(output) = Command::new(program).args(arguments).arg(file).output() else {
        println!("{program} is missing");
        return;
    };
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.is_empty(), "{program} {arguments:?} {file}: {err}");
}

#[test]
fn every_program_and_subcommand_has_a_page() {
    let directory = Directory::new();
    let path = directory.path("man1");
    run(QMP, &["manual", &path]).ok();
    let pages = names(&path);
    let mut expected: BTreeSet<String> =
        ["qmp", "qmp-schema", "qmp-shell", "qmp-shell-wrap", "vm-info"].map(str::to_owned).into();
    for name in subcommands(&[]) {
        expected.extend(subcommands(&[&name]).iter().map(|sub| format!("qmp-{name}-{sub}")));
        expected.insert(format!("qmp-{name}"));
    }
    assert!(expected.contains("qmp-record-show") && expected.contains("qmp-schema-site"));
    let expected: BTreeSet<String> = expected.into_iter().map(|name| name + ".1").collect();
    assert_eq!(pages, expected);
    for page in &pages {
        let file = format!("{path}/{page}");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}");
        accepts("man", &["--warnings=mac,reg", "-P", "cat", "-l"], &file);
        accepts("mandoc", &["-Tlint", "-Werror"], &file);
    }
    let record = std::fs::read_to_string(format!("{path}/qmp-record.1")).unwrap();
    let (_, examples) = record.split_once(".SH EXAMPLES\n.PP\n.nf\n").unwrap();
    assert!(examples.lines().next().unwrap().trim().starts_with("qmp record"), "{examples}");
}

/// A line that was broken by hand where the terminal breaks none, or elsewhere, leaves a ragged paragraph.
#[test]
fn paragraphs_of_help_fill_a_terminal_of_any_width() {
    const WIDTH: usize = 70;
    let mut programs: Vec<Vec<String>> = vec![Vec::new()];
    let mut lines = 0;
    while let Some(program) = programs.pop() {
        let arguments: Vec<&str> = program.iter().map(String::as_str).collect();
        let next = subcommands(&arguments).into_iter();
        programs.extend(next.map(|name| [program.clone(), vec![name]].concat()));
        let mut command = Command::new(QMP);
        command.args(&program).arg("--help").env("COLUMNS", WIDTH.to_string());
        let help = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let shown: Vec<&str> = help.lines().collect();
        for pair in shown.windows(2) {
            let is_text = |line: &str| line.starts_with(char::is_alphanumeric);
            // A usage and a title have lines of their own.
            if !is_text(pair[0]) || !is_text(pair[1]) {
                continue;
            }
            let word = pair[1].split(' ').next().unwrap();
            let length = pair[0].len() + 1 + word.len();
            assert!(length > WIDTH, "{program:?}: {pair:#?}");
            lines += 1;
        }
    }
    assert!(lines > 50, "{lines}");
}

/// An error said of a file only that it exists.
#[test]
fn a_file_is_not_a_directory() {
    let directory = Directory::new();
    let file = directory.write("file", "");
    for arguments in
        [&["manual", &*file][..], &["completions", "bash", &file], &["schema", "site", &file]]
    {
        let error = run(QMP, arguments).failed(1);
        assert!(error.contains("file': not a directory"), "{error}");
    }
}

#[test]
fn every_program_has_completions() {
    let directory = Directory::new();
    for (shell, script, check) in [
        ("bash", "qmp.bash", &["bash", "-n"]),
        ("zsh", "_qmp", &["zsh", "-n"]),
        ("fish", "qmp.fish", &["fish", "-n"]),
    ] {
        let path = directory.path(shell);
        run(QMP, &["completions", shell, &path]).ok();
        let scripts = names(&path);
        assert_eq!(scripts.len(), 5, "{scripts:?}");
        for name in &scripts {
            accepts(check[0], &check[1..], &format!("{path}/{name}"));
        }
        let printed = run(QMP, &["completions", shell]).ok();
        assert_eq!(printed, std::fs::read_to_string(format!("{path}/{script}")).unwrap());
        for (program, name) in
            [(QMP, "qmp"), (VM_INFO, "vm-info"), (SHELL, "qmp-shell"), (SCHEMA, "qmp-schema")]
        {
            let script = script.replace("qmp", name);
            let written = std::fs::read_to_string(format!("{path}/{script}")).unwrap();
            assert_eq!(run(program, &["--completions", shell]).ok(), written, "{name}");
        }
    }
}
